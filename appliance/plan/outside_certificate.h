// A batch under an outside CA: what is asked of that CA for each key, and what its certificate must be to be taken. One
// place for front end and worker: what the front end lets through, the worker checks again by the same rules.
#pragma once

#include <optional>
#include <variant>
#include <vector>

#include "appliance/plan/plan.h"
#include "wrap/crypto/signing.h"
#include "wrap/se/entry.h"
#include "wrap/x509/certificate.h"
#include "wrap/x509/template.h"

namespace keyferry::appliance {

/// A waiting segment is opened in one piece, beside its certificates, in one message (16 MiB).
inline constexpr std::uint32_t kMaxOutsideSegmentRecords = 2048;
inline constexpr std::size_t kMaxOutsideCertificateBytes = 4096;  // as token::kMaxCertificateBytes
/// A certificate may begin so much after it is taken in: clocks and time zones of others.
inline constexpr std::int64_t kMaxOutsideDelayMillis = std::int64_t{24} * 3600 * 1000;

/// What an entry of the list puts into its certificate.
[[nodiscard]] x509::SubjectFields subject_fields(const se::Entry& entry);

/// 16 octets that stand for an outside certificate's serial where serials of ours have 16: leading octets of
/// SHA-256("keyferry/v1/outside-serial", zero octet, u16be length, DER issuer name, serial). Two CAs may use one serial.
[[nodiscard]] Bytes outside_serial_id(const x509::CertificateFacts& certificate);

/// The key that a certificate says it is for, of any profile; nothing unless it is a P-256 key in a well-formed
/// certificate. To tell whose certificate it is that is refused.
[[nodiscard]] std::optional<crypto::PublicKey> key_in_certificate(ByteView der);

class OutsideCertificates {
 public:
  /// issuers: certificate of the outside CA, then those above it, DER; at least one. Error{Refused} when the first is none.
  OutsideCertificates(const BatchPlan& batch, std::vector<Bytes> issuers);

  /// What `der` says, if it may be used for this key and entry. Refusals: those of x509::check_outside_certificate,
  /// "certificate-size", "certificate-sha1", "certificate-issuer", "certificate-signature", "certificate-expired",
  /// "certificate-not-yet-valid" (begins more than a day after now), and "lint" of the whole chain, by the rules that our own
  /// certificates are held against.
  [[nodiscard]] std::variant<x509::CertificateFacts, Refusal> check(ByteView der,
                                                                    const x509::SubjectFields& entry,
                                                                    const crypto::PublicKey& key,
                                                                    UtcMillis now) const;

 private:
  std::vector<Bytes> issuers_;
  x509::CertificateFacts issuer_;
  x509::DeviceTemplate template_;
};

}  // namespace keyferry::appliance
