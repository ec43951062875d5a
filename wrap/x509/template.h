// Certificate templates: what officers approve about the certificates of a batch, and the lint that
// refuses a template or an entry before the first key is made.
//
//   device      end entity for a device's signing key: a subject, digitalSignature, no choice more
//   matter-dac  Matter's Device Attestation Certificate: as device, with vendor and product id in
//               the subject, under a Product Attestation Intermediate of the same vendor (and
//               product, if it names one); at most 600 octets
//   custom      end entity with further key usages, extended key usages, policies, alternative
//               names, extensions
//
// A template file is flat TOML; an unknown key refuses it:
//   template = "matter-dac"
//   subject = "CN=ACME {device_serial},O=ACME"        # pattern.h
//   not_before = "2026-01-01T00:00:00Z"               # both or neither; else the plan says them
//   not_after = "9999-12-31T23:59:59Z"
//   vendor_id = "FFF1"                                # Matter: four upper-case hex digits
//   product_id = "8000"
//   matter_form = "attributes"                        # or "common-name"
//   certification_declaration = "64 hex digits"       # SHA-256 of the product's (declaration.h)
//   declaration_signer = "64 hex digits"              # SHA-256 of its signer's certificate in DER
//   alt_names = ["dns:{device_serial}.example"]       # alt_name.h
//   key_usage = ["digitalSignature", "keyAgreement"]  # digitalSignature is the default, and a must
//   extended_key_usage = ["clientAuth", "1.3.6.1.4.1.99999.7"]
//   policies = ["1.3.6.1.4.1.99999.8"]
//   extensions = [{ oid = "1.3.6.1.4.1.99999.9", value = "0500" }]
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "wrap/base/bytes.h"
#include "wrap/base/clock.h"
#include "wrap/base/error.h"
#include "wrap/base/ids.h"
#include "wrap/x509/alt_name.h"
#include "wrap/x509/key_usage.h"
#include "wrap/x509/pattern.h"

namespace keyferry::x509 {

struct CertificateFacts;  // wrap/x509/certificate.h

inline constexpr std::string_view kDeviceTemplateName = "device";
inline constexpr std::string_view kMatterDacTemplateName = "matter-dac";
inline constexpr std::string_view kCustomTemplateName = "custom";

inline constexpr std::size_t kMaxTemplateBytes = 16U * 1024;  ///< of a template file
inline constexpr std::size_t kMaxExtendedKeyUsages = 8;
inline constexpr std::size_t kMaxPolicies = 8;
inline constexpr std::size_t kMaxExtraExtensions = 8;
inline constexpr std::size_t kMaxExtraExtensionBytes = 1024;

/// An extension that the product gives no meaning to. Never critical: no verifier of ours would
/// know it, so every device would fail at the line.
struct ExtraExtension {
  std::string oid;
  Bytes value;  ///< DER of one value: what the extension's OCTET STRING holds

  friend bool operator==(const ExtraExtension&, const ExtraExtension&) = default;
};

struct DeviceTemplate {
  std::string name{kDeviceTemplateName};
  std::string subject;  ///< pattern, see pattern.h
  UtcMillis
      not_before{};       ///< 1950 to 9999; written to the second; both 0: not said by the template
  UtcMillis not_after{};  ///< after not_before
  Bytes issuer_name{};  ///< DER Name of the issuer, taken from its certificate: 14 to 1,024 octets
  Bytes issuer_key_identifier{};         ///< the issuer's subjectKeyIdentifier: 1 to 64 octets
  std::vector<std::string> alt_names{};  ///< patterns, see alt_name.h
  std::uint16_t key_usage = kDigitalSignature;    ///< key_usage.h
  std::vector<std::string> extended_key_usage{};  ///< names of RFC 5280 4.2.1.12 or dotted OIDs
  std::vector<std::string> policies{};            ///< dotted OIDs
  std::vector<ExtraExtension> extensions{};
  MatterIds matter{};
  std::optional<Digest> certification_declaration{};  ///< SHA-256 of the file (declaration.h)
  std::optional<Digest> declaration_signer{};  ///< SHA-256 of the certificate that signed it, in DER

  friend bool operator==(const DeviceTemplate&, const DeviceTemplate&) = default;
};

/// A template file; issuer name and key identifier stay empty. Refusals: "template-syntax" (no
/// TOML), "template-field" (unknown, missing, of another type or out of bounds; names the field),
/// and those of check_template.
[[nodiscard]] std::variant<DeviceTemplate, Refusal> parse_template(std::string_view toml);

/// The one text of a template, which parse_template reads back to the equal value; the issuer is
/// not part of it, and validity only when it is set. Keys in a fixed order, none that has its
/// default.
[[nodiscard]] std::string template_text(const DeviceTemplate& device_template);

/// The subject pattern with the template's Matter ids in it. Refusals as SubjectPattern's.
[[nodiscard]] std::variant<SubjectPattern, Refusal> subject_pattern(
    const DeviceTemplate& device_template);

/// DER OID for a name of RFC 5280 4.2.1.12 ("clientAuth") or a dotted OID; nothing for anything
/// else.
[[nodiscard]] std::optional<Bytes> extended_key_usage_oid(std::string_view text);

/// The lint of a template alone, without validity and issuer. Nothing if it is sound. Refusals:
/// "template-unknown" (name), "subject-pattern", "subject-value", "subject-not-unique" (neither
/// serial in it, nor in an alternative name), "alt-name", "template-field" (a field that this
/// template does not have, or that is out of bounds).
[[nodiscard]] std::optional<Refusal> check_template(const DeviceTemplate& device_template);

/// The lint of a template for use. Refusals: those of check_template, "validity" (order or range),
/// "issuer" (name or key identifier missing or malformed), "certificate-size" (Matter: may become
/// longer than 600 octets).
[[nodiscard]] std::optional<Refusal> validate(const DeviceTemplate& device_template);

/// The template for one entry of the plan: subject and alternative names. For whole plans keep a
/// CertificateBuilder.
[[nodiscard]] std::optional<Refusal> validate(const DeviceTemplate& device_template,
                                              const SubjectFields& fields);

/// The template under this issuer's certificate: names and key identifiers agree, it is a CA that
/// may sign certificates, and leafs begin no earlier and end no later than it does. For matter-dac:
/// the issuer is a PAI (path length 0, keyCertSign and cRLSign), of the same vendor, and of the
/// same product when it names one; for others: its subject has no Matter ids. Refusals "issuer",
/// "validity", "matter-pai", "matter-vendor", "matter-product", "matter-issuer".
[[nodiscard]] std::optional<Refusal> validate(const DeviceTemplate& device_template,
                                              const CertificateFacts& issuer);

/// Octets of the longest certificate that this template can give; the issuer must be set.
/// Error{Refused} when check_template refuses.
[[nodiscard]] std::size_t max_certificate_bytes(const DeviceTemplate& device_template);

}  // namespace keyferry::x509
