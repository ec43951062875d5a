// From an entry to a sealed record's content, in one HSM session: transport key, device key, wrap, certificate. Handles are
// looked up once per segment, never in its loop.
#pragma once

#include <string>
#include <vector>

#include "appliance/gate/transport_keys.h"
#include "appliance/plan/plan.h"
#include "token/items.h"
#include "wrap/base/random.h"
#include "wrap/p11/probe.h"
#include "wrap/p11/session.h"
#include "wrap/se/atecc608_builder.h"
#include "wrap/se/pkcs11_builder.h"
#include "wrap/x509/certificate_builder.h"
#include "wrap/x509/linted_shape.h"
#include "wrap/x509/path.h"
#include "wrap/x509/request.h"

namespace keyferry::v1 {
class MakeSegment;
}

namespace keyferry::appliance {

struct MadeRecord {
  token::Record record;
  x509::CertificateSerial serial;
  Bytes nonce_id = {};  // atecc608: 16, may occur once in history
  Bytes request = {};   // under an outside CA: PKCS#10, DER; the record has neither certificate nor challenge then
};

enum class Sample { No, Yes };

class RecordMaker {
 public:
  /// Session (logged in) and facts outlive this; all belong to one thread. A certificate of the first entry and a
  /// throw-away key is made and linted whole: every one that is signed must equal it but for what differs by device. `entries`: the segment's, checked to be the
  /// plan's. Error{Refused}: the CA's certificate is not for the key in the HSM, the template refuses an entry, a master
  /// or vendor key is unknown. Error{NotFound}: a key is not in the HSM.
  RecordMaker(p11::Session& session,
              const p11::ProbeResult& facts,
              const BatchPlan& batch,
              const v1::MakeSegment& request,
              const std::vector<se::Entry>& entries);

  /// One key for one SE. The device key and its transport key are destroyed when this returns, also by an error. Outside
  /// the HSM nothing of either is ever in the clear, but for families that need it (plaintext()): in locked memory, inside
  /// this call. Each call has a new serial: what an error left behind is never
  /// certified twice. A sample is verified in software: that the pair belongs together and that the certificate is good.
  /// Error{Hsm} from the module.
  [[nodiscard]] MadeRecord make(const se::Entry& entry, RecordNo number, RandomSource& random, Sample sample);

  /// What is in the clear outside the HSM while a record is made, as a sentence; empty: nothing.
  [[nodiscard]] std::string plaintext() const;

  /// Keys whose C_DestroyObject failed so far: they live until the session is closed.
  [[nodiscard]] int failed_destroys() const { return session_.failed_destroys(); }

 private:
  /// A payload, and the public key of what is in it.
  struct Sealed {
    Bytes payload;
    crypto::PublicKey public_key;
    Bytes nonce_id = {};
    Bytes request = {};
  };

  [[nodiscard]] Sealed seal(const se::Entry& entry, RandomSource& random, Sample sample);
  [[nodiscard]] Sealed seal_atecc608(const se::Entry& entry, p11::ObjectHandle transport, RandomSource& random);
  [[nodiscard]] Bytes sign_request(const se::Entry& entry, p11::ObjectHandle private_key, const crypto::PublicKey& public_key);
  void verify_pair(p11::ObjectHandle private_key, const crypto::PublicKey& public_key);
  void verify_certificate(const token::Record& record) const;
  void lint(const se::Entry& entry);

  p11::Session& session_;
  std::optional<x509::RequestBuilder> requests_;  // under an outside CA: these are made, not certificates
  std::vector<Bytes> issuers_;  // of every record: the CA's certificate, then those above it
  x509::CertificateFacts issuer_;
  x509::DeviceTemplate template_;
  x509::CertificateBuilder certificates_;
  std::optional<x509::LintedShape> linted_;  // since the constructor
  se::Pkcs11Builder payloads_;
  std::optional<se::Atecc608Builder> atecc608_;  // of batches of that family
  bool attests_ = false;                         // its profile names an attestation slot
  std::string plaintext_;
  TransportKeys transports_;
  p11::ObjectHandle ca_key_;
};

[[nodiscard]] token::Family token_family(se::Family family);

/// SystemRandom asked for 4 KiB at a time; what was given out is overwritten. For serials and challenges, which are
/// public. One thread.
class PooledRandom final : public RandomSource {
 public:
  explicit PooledRandom(RandomSource& source) : source_{source} {}

  void fill(std::span<std::uint8_t> out) override;

 private:
  static constexpr std::size_t kPoolBytes = 4096;
  RandomSource& source_;
  Bytes pool_;
  std::size_t used_ = 0;
};

}  // namespace keyferry::appliance
