// HPKE (RFC 9180), base mode: DHKEM(P-256, HKDF-SHA256) = 0x0010, HKDF-SHA256 = 0x0001, AES-GCM.
// The recipient's private half is an interface, so that it can stay in an HSM or a TPM: one ECDH is
// all that is asked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include "wrap/base/bytes.h"
#include "wrap/base/secret_bytes.h"
#include "wrap/crypto/aead.h"
#include "wrap/crypto/hpke_schedule.h"
#include "wrap/crypto/signing.h"
#include "wrap/crypto/soft_key.h"

namespace keyferry::crypto {

/// The private half of a P-256 key that agrees on secrets.
class DhPrivateKey {
 public:
  virtual ~DhPrivateKey() = default;

  [[nodiscard]] virtual const PublicKey& public_key() const = 0;

  /// The x coordinate of the shared point, 32 octets. Throws Error (Hsm, Internal) when it cannot.
  [[nodiscard]] virtual SecretBytes dh(const PublicKey& peer) = 0;

 protected:
  DhPrivateKey() = default;
  DhPrivateKey(const DhPrivateKey&) = default;
  DhPrivateKey(DhPrivateKey&&) = default;
  DhPrivateKey& operator=(const DhPrivateKey&) = default;
  DhPrivateKey& operator=(DhPrivateKey&&) = default;
};

class SoftDhKey final : public DhPrivateKey {
 public:
  explicit SoftDhKey(SoftKey key) : key_{std::move(key)} {}

  [[nodiscard]] const PublicKey& public_key() const override { return key_.public_key(); }

  [[nodiscard]] SecretBytes dh(const PublicKey& peer) override { return key_.ecdh_x(peer); }

 private:
  SoftKey key_;
};

/// What the key schedule leaves on both sides (RFC 9180 §5.1). Messages go one way only: the same
/// key and nonce would serve both directions, so sealing and opening are two types.
class HpkeContext {
 public:
  /// RFC 9180 §5.3. size_bytes: 1..kHkdfMaxOutputBytes, else Error{InvalidArgument}.
  [[nodiscard]] SecretBytes export_secret(ByteView exporter_context, std::size_t size_bytes) const;

 protected:
  HpkeContext(HpkeSuite suite, HpkeKeySchedule schedule);

  [[nodiscard]] Bytes nonce() const;
  void step();

  AesGcm aead_;

 private:
  HpkeSuite suite_;
  SecretBytes base_nonce_;
  SecretBytes exporter_secret_;
  std::uint64_t sequence_ = 0;
};

class HpkeSender final : public HpkeContext {
 public:
  HpkeSender(HpkeSuite suite, HpkeKeySchedule schedule) : HpkeContext{suite, std::move(schedule)} {}

  /// The next message: ciphertext and 16-octet tag (RFC 9180 §5.2).
  [[nodiscard]] Bytes seal(ByteView aad, ByteView plaintext);
};

class HpkeReceiver final : public HpkeContext {
 public:
  HpkeReceiver(HpkeSuite suite, HpkeKeySchedule schedule)
      : HpkeContext{suite, std::move(schedule)} {}

  /// The next message; nothing, and no step ahead, when the tag is wrong.
  [[nodiscard]] std::optional<SecretBytes> open(ByteView aad, ByteView ciphertext_and_tag);
};

/// `auto [enc, context] = setup_base_sender(...)`; enc: the encapsulated key, 65 octets.
struct HpkeSenderSetup {
  Bytes enc;
  HpkeSender context;
};

/// RFC 9180 §5.1.1 with a new ephemeral key.
[[nodiscard]] HpkeSenderSetup setup_base_sender(HpkeSuite suite,
                                                const PublicKey& recipient,
                                                ByteView info);

/// The same with the ephemeral key given: for vectors only. Used twice, it gives both messages
/// away.
[[nodiscard]] HpkeSenderSetup setup_base_sender(HpkeSuite suite,
                                                const PublicKey& recipient,
                                                ByteView info,
                                                const SoftKey& ephemeral);

/// RFC 9180 §5.1.1. Nothing if `enc` is not a point on the curve in 65 octets, or the private half
/// answered other than 32 octets that are not all zero. A wrong `enc` or `info` shows only when
/// something is opened.
[[nodiscard]] std::optional<HpkeReceiver> setup_base_receiver(HpkeSuite suite,
                                                              ByteView enc,
                                                              DhPrivateKey& recipient,
                                                              ByteView info);

}  // namespace keyferry::crypto
