// Signatures of ours: ECDSA over P-256 with SHA-256 (FIPS 186-4), raw r || s of 64 octets, over a
// digest that says what kind of thing is signed, so that no signature passes for one of another
// kind. Verification by libcrypto.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "wrap/base/bytes.h"
#include "wrap/base/ids.h"

struct ec_key_st;  // libcrypto's, so that its headers stay out of ours

namespace keyferry::crypto {

enum class SignatureKind {
  Container,  // a sealed container's trailer; the bytes are its 32-octet digest
  Approval,
  EnrolmentRequest,
  EnrolmentAnswer,
  ApplianceCard,
  StationLogHead,
  Receipt,
  HsmState,
  TokenCard,
  RegistryAck,
  Preparation,
  Backup,  // what a backup file of the HSM holds
  RevocationList,
  Custody,
  Challenge,  // an SE answers its record's challenge: batch id, u32be record number, the 32 octets
  OfficerCard,       // a person's key and role, by that key
  OfficerChallenge,  // an officer's token shows that it holds the key: 32 random octets of this process
  Transcript,  // somebody who was present at a ceremony: v1.CeremonyStatement
  PreparationOrder,  // kf-export to a preparer: v1.PreparationOrder
};

struct SignatureKindName {
  SignatureKind kind;
  std::string_view name;
};

/// The one table of kinds, in the order of the enumeration.
inline constexpr std::array kSignatureKinds{
    SignatureKindName{SignatureKind::Container, "container"},
    SignatureKindName{SignatureKind::Approval, "approval"},
    SignatureKindName{SignatureKind::EnrolmentRequest, "enrolment-request"},
    SignatureKindName{SignatureKind::EnrolmentAnswer, "enrolment-answer"},
    SignatureKindName{SignatureKind::ApplianceCard, "appliance-card"},
    SignatureKindName{SignatureKind::StationLogHead, "station-log-head"},
    SignatureKindName{SignatureKind::Receipt, "receipt"},
    SignatureKindName{SignatureKind::HsmState, "hsm-state"},
    SignatureKindName{SignatureKind::TokenCard, "token-card"},
    SignatureKindName{SignatureKind::RegistryAck, "registry-ack"},
    SignatureKindName{SignatureKind::Preparation, "preparation"},
    SignatureKindName{SignatureKind::Backup, "backup"},
    SignatureKindName{SignatureKind::RevocationList, "revocation-list"},
    SignatureKindName{SignatureKind::Custody, "custody"},
    SignatureKindName{SignatureKind::Challenge, "challenge"},
    SignatureKindName{SignatureKind::OfficerCard, "officer-card"},
    SignatureKindName{SignatureKind::OfficerChallenge, "officer-challenge"},
    SignatureKindName{SignatureKind::Transcript, "transcript"},
    SignatureKindName{SignatureKind::PreparationOrder, "preparation-order"},
};

[[nodiscard]] std::string_view signature_kind_name(SignatureKind kind);

/// What is signed: SHA-256("keyferry/v1/" KIND, one zero octet, u64be length of `bytes`, `bytes`).
[[nodiscard]] Digest signing_digest(SignatureKind kind, ByteView bytes);

/// A P-256 public key: a point on the curve, never the one at infinity. A value of 65 octets,
/// ordered by them.
class PublicKey {
 public:
  static constexpr std::size_t kPointBytes = 65;
  static constexpr std::size_t kSpkiBytes = 91;

  /// point: 0x04, x, y (SEC 1 §2.3.3). Nothing for another form or a point that is not on the
  /// curve.
  [[nodiscard]] static std::optional<PublicKey> from_point(ByteView point);

  /// DER SubjectPublicKeyInfo (RFC 5480) in its one form: id-ecPublicKey, named curve prime256v1,
  /// uncompressed point. Nothing for anything else: other encodings of the same key would have
  /// another KeyId.
  [[nodiscard]] static std::optional<PublicKey> from_spki(ByteView der);

  [[nodiscard]] ByteView point() const { return point_; }

  [[nodiscard]] Bytes spki_der() const;

  /// SHA-256 of spki_der().
  [[nodiscard]] KeyId key_id() const;

  friend auto operator<=>(const PublicKey&, const PublicKey&) = default;

 private:
  PublicKey() = default;

  std::array<std::uint8_t, kPointBytes> point_{};
};

inline constexpr std::size_t kSignatureBytes = 64;

/// A public key that is made ready once for many verifications. Several threads may use one at the
/// same time.
class Verifier {
 public:
  explicit Verifier(const PublicKey& key);
  Verifier(Verifier&&) noexcept = default;
  Verifier& operator=(Verifier&&) noexcept = default;
  ~Verifier() = default;

  /// True if `signature` is 64 octets, r and s are in 1..n-1, and it is this key's over `digest`. A
  /// high s is as good as a low one, so a signature is no identity: compare what was signed.
  [[nodiscard]] bool verify(const Digest& digest, ByteView signature) const;

 private:
  struct Free {
    void operator()(ec_key_st* key) const;
  };

  std::unique_ptr<ec_key_st, Free> key_;
};

/// Verifier{key}.verify(digest, signature).
[[nodiscard]] bool verify(const PublicKey& key, const Digest& digest, ByteView signature);

/// The same over signing_digest(kind, bytes): the form for everything that is signed here.
[[nodiscard]] bool verify(const PublicKey& key,
                          SignatureKind kind,
                          ByteView bytes,
                          ByteView signature);

/// Raw r || s as DER Ecdsa-Sig-Value (RFC 3279 §2.2.3), as certificates and command lines want
/// it: 8..72 octets. Other than 64 octets throw Error{InvalidArgument}.
[[nodiscard]] Bytes raw_to_der_signature(ByteView signature);

/// The reverse; nothing unless `der` is exactly one such value in DER, with r and s of at most 32
/// octets and not negative.
[[nodiscard]] std::optional<Bytes> der_to_raw_signature(ByteView der);

/// True when s is at most (n - 1) / 2: of the two signatures (r, s) and (r, n - s), both valid over
/// the same digest, evidence keeps this one. Other than 64 octets: false.
[[nodiscard]] bool is_low_s(ByteView signature);

/// That one of the two. Error{InvalidArgument} unless there are 64 octets and s is in 1..n-1.
[[nodiscard]] Bytes to_low_s(ByteView signature);

/// Who can sign with one P-256 key: a SoftKey, or a key in an HSM.
class Signer {
 public:
  virtual ~Signer() = default;

  [[nodiscard]] virtual const PublicKey& public_key() const = 0;

  /// ECDSA over `digest`: raw r || s, 64 octets. Throws Error (Hsm, Internal) when it cannot.
  [[nodiscard]] virtual Bytes sign_digest(const Digest& digest) = 0;

 protected:
  Signer() = default;
  Signer(const Signer&) = default;
  Signer(Signer&&) = default;
  Signer& operator=(const Signer&) = default;
  Signer& operator=(Signer&&) = default;
};

/// signer.sign_digest(signing_digest(kind, bytes)); Error{Internal} if the signer gave other than
/// 64 octets.
[[nodiscard]] Bytes sign(Signer& signer, SignatureKind kind, ByteView bytes);

}  // namespace keyferry::crypto
