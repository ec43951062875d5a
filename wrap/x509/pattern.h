// Patterns: text with placeholders that a template fills from one entry of a plan.
//
// Placeholders: {device_serial} {se_serial} {key_name} {part} {lot}; {se_serial} is the serial's
// lower-case hex. In templates with a Matter vendor or product id also {vid} and {pid}: four
// upper-case hex digits. `{` and `}` stand for nothing else.
//
// A subject pattern is a list of `TYPE=text` joined by commas, e.g.
// "CN={device_serial},O=ACME,serialNumber={se_serial}". One attribute = one RDN, encoded in the
// order written. Types: CN, O, OU, C, serialNumber, ST, L, each at most once, and DC. C and
// serialNumber are PrintableString (RFC 5280 appendix A: X520countryName, X520SerialNumber), DC is
// IA5String, the others UTF8String. Text outside of placeholders is UTF-8 without control
// characters and without , = + " \ < > ; # { }. Bounds: 1 to 64 characters a value (X.520
// ub-common-name and the like; ST and L 128), C two capital letters, pattern 512 octets.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "wrap/base/bytes.h"
#include "wrap/base/error.h"
#include "wrap/base/ids.h"
#include "wrap/x509/matter.h"
#include "wrap/x509/name.h"

namespace keyferry::x509 {

inline constexpr std::size_t kMaxPatternBytes = 512;

/// What one entry of the plan puts into its certificate.
struct SubjectFields {
  std::optional<std::string> device_serial;  ///< may be given only at the line
  SeSerial se_serial;
  std::string key_name;
  std::string part;
  std::string lot;
};

enum class Placeholder : std::uint8_t { DeviceSerial, SeSerial, KeyName, Part, Lot };

/// A parsed pattern of one value.
class ValuePattern {
 public:
  /// {vid} and {pid} become text here. Refusal "subject-pattern": a brace or placeholder that there
  /// is not, or {vid} or {pid} where `ids` has none. `what` names the value in refusals, e.g. "CN".
  [[nodiscard]] static std::variant<ValuePattern, Refusal> parse(std::string_view pattern,
                                                                 std::string_view what,
                                                                 const MatterIds& ids = {});

  [[nodiscard]] bool uses(Placeholder placeholder) const;
  [[nodiscard]] bool is_fixed() const;

  /// The text outside of placeholders, piece by piece joined.
  [[nodiscard]] std::string fixed_text() const;

  /// Most octets that the placeholders of a value can add: all of them are ASCII.
  [[nodiscard]] std::size_t max_placeholder_bytes() const;

  /// Replaces `out` by the value. Refusal "device-serial-missing": the pattern uses
  /// {device_serial}, the entry has none.
  [[nodiscard]] std::optional<Refusal> render(const SubjectFields& fields, std::string& out) const;

  /// Appends fixed text.
  void append_text(std::string_view text);

 private:
  struct Piece {  // text, then the placeholder if any
    std::string text;
    std::optional<Placeholder> placeholder;
  };

  std::vector<Piece> pieces_;
};

/// A parsed subject pattern.
class SubjectPattern {
 public:
  /// Refusals: "subject-pattern" (syntax, unknown type or placeholder, type twice), "subject-value"
  /// (bounds, characters).
  [[nodiscard]] static std::variant<SubjectPattern, Refusal> parse(std::string_view pattern,
                                                                   const MatterIds& ids = {});

  /// Matter's ids in the form that `ids` says: two attributes behind those of the pattern, or "
  /// Mvid:FFF1 Mpid:8000" behind the common name. Refusal "subject-pattern": no common name to hold
  /// them, or one that holds such text already; "subject-value": it becomes too long. From then on
  /// check() refuses an entry whose values would put such text into the common name.
  [[nodiscard]] std::optional<Refusal> add_matter_ids(const MatterIds& ids);

  [[nodiscard]] bool uses(Placeholder placeholder) const;

  /// Nothing if this entry's subject can be made. Refusals: "device-serial-missing" (the pattern
  /// uses {device_serial}, the entry has none), "subject-value" (empty, too long, a character that
  /// its type does not allow, or "Mvid:" or "Mpid:" from the entry beside Matter's own ids).
  [[nodiscard]] std::optional<Refusal> check(const SubjectFields& fields) const;

  /// Appends the DER Name to `out`. What check() refuses throws Error{Refused}.
  void append_name(Bytes& out, const SubjectFields& fields) const;

  /// Octets of the longest DER Name that append_name can make.
  [[nodiscard]] std::size_t max_name_bytes() const;

 private:
  struct Part {
    Attribute attribute;
    ValuePattern value;
  };

  [[nodiscard]] static std::variant<Part, Refusal> parse_part(std::string_view text,
                                                              const MatterIds& ids);
  [[nodiscard]] std::optional<Refusal> render(const Part& part,
                                              const SubjectFields& fields,
                                              std::string& out) const;

  std::vector<Part> parts_;
  bool has_matter_ids_ = false;
  std::string matter_text_;  // that ends the common name; empty where the ids are attributes
};

/// DER Name for a pattern without placeholders (names of CAs); the same syntax and bounds. Refusals
/// as parse().
[[nodiscard]] std::variant<Bytes, Refusal> fixed_name(std::string_view pattern);

/// The same with Matter's ids added.
[[nodiscard]] std::variant<Bytes, Refusal> fixed_name(std::string_view pattern,
                                                      const MatterIds& ids);

}  // namespace keyferry::x509
