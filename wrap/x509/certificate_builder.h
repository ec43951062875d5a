// Certificates that we issue: X.509 v3 (RFC 5280), P-256 keys (RFC 5480), ecdsa-with-SHA256 (RFC
// 5758 3.2). Signing is somebody else's: the builder gives the to-be-signed part, takes a raw
// signature, and gives the certificate.
//
// End entity: basicConstraints critical (cA FALSE, so an empty sequence), keyUsage critical, what
// the template has of extendedKeyUsage, certificatePolicies, subjectAltName and further extensions,
// then subjectKeyIdentifier and authorityKeyIdentifier. Serial: serial.h. Key
// identifier: SHA-1 of the 65-octet point (RFC 5280 4.2.1.2 (1)), 20 octets. Validity: UTCTime through 2049, GeneralizedTime from 2050; 99991231235959Z says "no
// well-defined end" (RFC 5280 4.1.2.5).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "wrap/base/bytes.h"
#include "wrap/base/clock.h"
#include "wrap/base/error.h"
#include "wrap/crypto/signing.h"
#include "wrap/x509/serial.h"
#include "wrap/x509/template.h"

namespace keyferry::x509 {

using KeyIdentifier = BytesId<struct KeyIdentifierTag, 20>;

[[nodiscard]] KeyIdentifier key_identifier(const crypto::PublicKey& key);

/// Builds leafs of one template; everything that does not change is encoded once.
/// Several threads may use one at the same time.
class CertificateBuilder {
 public:
  /// Error{Refused} with the lint's text when validate(device_template) refuses.
  explicit CertificateBuilder(const DeviceTemplate& device_template);

  /// Nothing if this entry's certificate can be made. Refusals: "device-serial-missing",
  /// "subject-value", "alt-name".
  [[nodiscard]] std::optional<Refusal> check(const SubjectFields& fields) const;

  /// DER TBSCertificate. Error{Refused} when the entry's names cannot be made (check() it before),
  /// Error{InvalidArgument} for a serial that is not ours.
  [[nodiscard]] Bytes to_be_signed(const CertificateSerial& serial,
                                   const SubjectFields& subject,
                                   const crypto::PublicKey& key) const;

  [[nodiscard]] const SubjectPattern& subject_pattern() const { return pattern_; }

 private:
  SubjectPattern pattern_;
  std::vector<AltNamePattern>
      alt_names_;         // those of the template when one of them has a placeholder
  Bytes before_subject_;  // signature algorithm, issuer, validity
  Bytes usages_;          // extensions before the alternative names, and those if they are fixed
  Bytes rest_;            // the others; its subject key identifier is to be patched
  std::size_t key_identifier_at_ = 0;  // in rest_
};

/// DER Certificate from a TBSCertificate of ours and the raw r||s (64 octets) over its SHA-256.
/// Error{InvalidArgument} unless `tbs` is one SEQUENCE and the signature has 64 octets.
[[nodiscard]] Bytes assemble(ByteView tbs, ByteView raw_signature);

enum class CaKind : std::uint8_t {
  Root,          ///< self-signed
  Intermediate,  ///< under another CA
  MatterPaa,     ///< Product Attestation Authority: self-signed, path length 1 or absent, vendor
                 ///< optional, no product
  MatterPai      ///< Product Attestation Intermediate: path length 0, vendor, product optional
};

/// "root", "intermediate", "matter-paa", "matter-pai".
[[nodiscard]] std::string_view ca_kind_name(CaKind kind);
[[nodiscard]] std::optional<CaKind> ca_kind_from_name(std::string_view name);

[[nodiscard]] constexpr bool is_self_signed(CaKind kind) {
  return kind == CaKind::Root || kind == CaKind::MatterPaa;
}

/// What a CA certificate says.
struct CaSpec {
  std::string subject;  ///< pattern without placeholders, e.g. "CN=ACME device CA,O=ACME,C=DE"
  UtcMillis not_before{};
  UtcMillis not_after{};
  std::optional<std::uint8_t> path_length =
      std::uint8_t{0};  ///< CAs that may follow below it; nothing: no limit
  CaKind kind = CaKind::Root;
  MatterIds matter{};  ///< Matter's kinds alone; added to the subject
};

/// The spec alone. Refusals: "subject-pattern", "subject-value", "validity", "ca-path-length" (not
/// what the kind has), "ca-matter" (ids missing or not for this kind), "certificate-size" (Matter:
/// longer than 600 octets under any issuer).
[[nodiscard]] std::optional<Refusal> validate(const CaSpec& spec);

/// The spec of an intermediate under this issuer: a CA with path length to spare, validity inside;
/// a PAI's issuer is self-signed and of the same vendor if it names one, and no product. Refusals:
/// those of validate(spec), "issuer", "validity", "ca-path-length", "matter-vendor", "ca-matter".
[[nodiscard]] std::optional<Refusal> validate(const CaSpec& spec, const CertificateFacts& issuer);

/// DER Name: the pattern's attributes and Matter's. Error{Refused} for what validate(spec) refuses.
[[nodiscard]] Bytes ca_name(const CaSpec& spec);

/// DER TBSCertificate of a self-signed CA: issuer = subject; basicConstraints critical (cA TRUE,
/// pathLen if any), keyUsage critical keyCertSign and cRLSign, subjectKeyIdentifier, and
/// authorityKeyIdentifier of the same value. Error{Refused}: what validate(spec) refuses.
/// Error{InvalidArgument}: a serial that is not ours, or a kind that has an issuer.
[[nodiscard]] Bytes ca_to_be_signed(const CaSpec& spec,
                                    const CertificateSerial& serial,
                                    const crypto::PublicKey& key);

/// The same under `issuer`, for Intermediate and MatterPai. Error{Refused}: what validate(spec,
/// issuer) refuses.
[[nodiscard]] Bytes ca_to_be_signed(const CaSpec& spec,
                                    const CertificateSerial& serial,
                                    const crypto::PublicKey& key,
                                    const CertificateFacts& issuer);

}  // namespace keyferry::x509
