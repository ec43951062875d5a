// Certificate templates: what officers approve about the certificates of a batch, and the lint that
// refuses a template or an entry before the first key is made.
//
// A subject pattern is a list of `TYPE=text` joined by commas, e.g.
// "CN={device_serial},O=ACME,serialNumber={se_serial}". One attribute = one RDN, encoded in the
// order written. Types: CN, O, OU, C, serialNumber, each at most once. C and serialNumber are
// PrintableString (RFC 5280 appendix A: X520countryName, X520SerialNumber), the others UTF8String.
// Placeholders: {device_serial} {se_serial} {key_name} {part} {lot}; {se_serial} is the serial's
// lower-case hex. Text outside of placeholders is UTF-8 without control characters and without , =
// + " \ < > ; # { }. Bounds: 1 to 64 characters a value (X.520 ub-common-name and the like), C two
// capital letters, pattern 512 octets.
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
#include "wrap/x509/name.h"

namespace keyferry::x509 {

struct CertificateFacts;  // wrap/x509/certificate.h

/// The only template so far: an end-entity certificate for a device key: see certificate_builder.h.
inline constexpr std::string_view kDeviceTemplateName = "device";

inline constexpr std::size_t kMaxPatternBytes = 512;
inline constexpr std::size_t kMaxValueChars = 64;

struct DeviceTemplate {
  std::string name{kDeviceTemplateName};
  std::string subject;   ///< pattern, see above
  UtcMillis not_before;  ///< 1950 to 9999; written to the second
  UtcMillis not_after;   ///< after not_before
  Bytes issuer_name;     ///< DER Name of the issuer, taken from its certificate: 14 to 1,024 octets
  Bytes issuer_key_identifier;  ///< the issuer's subjectKeyIdentifier: 1 to 64 octets
};

/// What one entry of the plan puts into its subject.
struct SubjectFields {
  std::optional<std::string> device_serial;  ///< may be given only at the line
  SeSerial se_serial;
  std::string key_name;
  std::string part;
  std::string lot;
};

enum class Placeholder : std::uint8_t { DeviceSerial, SeSerial, KeyName, Part, Lot };

/// A parsed subject pattern.
class SubjectPattern {
 public:
  /// Refusals: "subject-pattern" (syntax, unknown type or placeholder, type twice), "subject-value"
  /// (bounds, characters).
  [[nodiscard]] static std::variant<SubjectPattern, Refusal> parse(std::string_view pattern);

  [[nodiscard]] bool uses(Placeholder placeholder) const;

  /// Nothing if this entry's subject can be made. Refusals: "device-serial-missing" (the pattern
  /// uses {device_serial}, the entry has none), "subject-value" (empty, too long, or a character
  /// that its type does not allow).
  [[nodiscard]] std::optional<Refusal> check(const SubjectFields& fields) const;

  /// Appends the DER Name to `out`. What check() refuses throws Error{Refused}.
  void append_name(Bytes& out, const SubjectFields& fields) const;

 private:
  struct Piece {  // text, then the placeholder if any
    std::string text;
    std::optional<Placeholder> placeholder;
  };

  struct Part {
    Attribute attribute;
    std::vector<Piece> pieces;
  };

  [[nodiscard]] static std::variant<Part, Refusal> parse_part(std::string_view text);
  [[nodiscard]] static std::optional<Refusal> render(const Part& part,
                                                     const SubjectFields& fields,
                                                     std::string& out);

  std::vector<Part> parts_;
};

/// The lint of a template alone. Nothing if it is sound. Refusals: "template-unknown" (name),
/// "subject-pattern", "subject-value", "subject-not-unique" (neither serial in it), "validity"
/// (order or range), "issuer" (name or key identifier missing or malformed).
[[nodiscard]] std::optional<Refusal> validate(const DeviceTemplate& device_template);

/// The template for one entry of the plan: as SubjectPattern::check. For whole plans keep a
/// SubjectPattern.
[[nodiscard]] std::optional<Refusal> validate(const DeviceTemplate& device_template,
                                              const SubjectFields& fields);

/// The template under this issuer's certificate: names and key identifiers agree, it is a CA that
/// may sign certificates, and leafs begin no earlier and end no later than it does. Refusal
/// "issuer" or "validity".
[[nodiscard]] std::optional<Refusal> validate(const DeviceTemplate& device_template,
                                              const CertificateFacts& issuer);

/// DER Name for a pattern without placeholders (names of CAs); the same syntax and bounds. Refusals
/// as parse().
[[nodiscard]] std::variant<Bytes, Refusal> fixed_name(std::string_view pattern);

}  // namespace keyferry::x509
