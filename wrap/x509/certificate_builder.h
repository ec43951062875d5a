// Certificates that we issue: X.509 v3 (RFC 5280), P-256 keys (RFC 5480), ecdsa-with-SHA256 (RFC
// 5758 3.2). Signing is somebody else's: the builder gives the to-be-signed part, takes a raw
// signature, and gives the certificate.
//
// Device leaf: basicConstraints critical (cA FALSE, so an empty sequence), keyUsage critical
// digitalSignature, subjectKeyIdentifier and authorityKeyIdentifier; no extendedKeyUsage. Serial:
// 16 octets whose top bits are 01, so positive and of one length. Key identifier: SHA-1 of the
// 65-octet point (RFC 5280 4.2.1.2 (1)), 20 octets.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <variant>

#include "wrap/base/bytes.h"
#include "wrap/base/clock.h"
#include "wrap/base/error.h"
#include "wrap/base/random.h"
#include "wrap/crypto/signing.h"
#include "wrap/x509/template.h"

namespace keyferry::x509 {

using CertificateSerial = BytesId<struct CertificateSerialTag, 16>;
using KeyIdentifier = BytesId<struct KeyIdentifierTag, 20>;

/// 126 random bits behind 01 (RFC 5280 4.1.2.2: positive, at most 20 octets).
[[nodiscard]] CertificateSerial make_serial(RandomSource& random);

/// True for serials that make_serial can give.
[[nodiscard]] bool is_our_serial(const CertificateSerial& serial);

[[nodiscard]] KeyIdentifier key_identifier(const crypto::PublicKey& key);

/// Builds leafs of one template; everything that does not change is encoded once.
/// Several threads may use one at the same time.
class CertificateBuilder {
 public:
  /// Error{Refused} with the lint's text when validate(device_template) refuses.
  explicit CertificateBuilder(const DeviceTemplate& device_template);

  /// DER TBSCertificate. Error{Refused} when the entry's subject cannot be made (check it before:
  /// SubjectPattern), Error{InvalidArgument} for a serial that is not ours.
  [[nodiscard]] Bytes to_be_signed(const CertificateSerial& serial,
                                   const SubjectFields& subject,
                                   const crypto::PublicKey& key) const;

  [[nodiscard]] const SubjectPattern& subject_pattern() const { return pattern_; }

 private:
  SubjectPattern pattern_;
  Bytes before_subject_;  // signature algorithm, issuer, validity
  Bytes extensions_;      // [3], with the subject key identifier to be patched
  std::size_t key_identifier_at_ = 0;
};

/// DER Certificate from a TBSCertificate of ours and the raw r||s (64 octets) over its SHA-256.
/// Error{InvalidArgument} unless `tbs` is one SEQUENCE and the signature has 64 octets.
[[nodiscard]] Bytes assemble(ByteView tbs, ByteView raw_signature);

/// What a self-signed CA certificate says.
struct CaSpec {
  std::string subject;  ///< pattern without placeholders, e.g. "CN=ACME device CA,O=ACME,C=DE"
  UtcMillis not_before;
  UtcMillis not_after;
  std::uint8_t path_length = 0;  ///< CAs that may follow below it
};

/// DER TBSCertificate of a self-signed root: issuer = subject; basicConstraints critical (cA TRUE,
/// pathLen), keyUsage critical keyCertSign and cRLSign, subjectKeyIdentifier, and
/// authorityKeyIdentifier of the same value. Error{Refused}: subject or validity are not sound.
/// Error{InvalidArgument}: a serial that is not ours.
[[nodiscard]] Bytes ca_to_be_signed(const CaSpec& spec,
                                    const CertificateSerial& serial,
                                    const crypto::PublicKey& key);

}  // namespace keyferry::x509
