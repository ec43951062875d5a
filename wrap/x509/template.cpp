#include "wrap/x509/template.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "wrap/base/error.h"
#include "wrap/base/text.h"
#include "wrap/base/utf8.h"
#include "wrap/x509/certificate.h"
#include "wrap/x509/der.h"

namespace keyferry::x509 {
namespace {

struct PlaceholderName {
  Placeholder placeholder;
  std::string_view name;
};

constexpr std::array kPlaceholders{
    PlaceholderName{Placeholder::DeviceSerial, "device_serial"},
    PlaceholderName{Placeholder::SeSerial, "se_serial"},
    PlaceholderName{Placeholder::KeyName, "key_name"},
    PlaceholderName{Placeholder::Part, "part"},
    PlaceholderName{Placeholder::Lot, "lot"},
};

constexpr std::size_t kMinNameBytes =
    14;  // SEQUENCE { SET { SEQUENCE { OID of 3 octets, string of 1 } } }
constexpr std::size_t kMaxNameBytes = 1024;
constexpr std::size_t kMaxKeyIdentifierBytes = 64;

Refusal pattern_refusal(std::string text, std::string hint = {}) {
  return Refusal{"subject-pattern", std::move(text), std::move(hint)};
}

/// Text of a pattern outside of placeholders; what RFC 4514 escapes is left out, so that no reader
/// can disagree.
bool is_pattern_text(std::string_view text) {
  static constexpr std::u32string_view kRefused = U",=+\"\\<>;#{}";
  const auto points = decode_utf8(text);
  return points && std::ranges::all_of(*points, [&](char32_t point) {
           return !is_control(point) && kRefused.find(point) == std::u32string_view::npos;
         });
}

void append_value(std::string& out, Placeholder placeholder, const SubjectFields& fields) {
  switch (placeholder) {
    case Placeholder::DeviceSerial:
      out += fields.device_serial.value_or("");
      break;
    case Placeholder::SeSerial:
      out += fields.se_serial.hex();
      break;
    case Placeholder::KeyName:
      out += fields.key_name;
      break;
    case Placeholder::Part:
      out += fields.part;
      break;
    case Placeholder::Lot:
      out += fields.lot;
      break;
  }
}

/// The bounds of one value, as X.520 and RFC 5280 set them.
std::optional<Refusal> check_value(Attribute attribute, std::string_view value) {
  const AttributeRule& rule = rule_of(attribute);
  const auto refuse = [&](std::string_view why) {
    return Refusal{"subject-value", fmt::format("{}={}: {}", rule.text, printable(value), why)};
  };
  if (value.empty()) return refuse("empty");
  if (rule.string_tag == der::kPrintableString && !der::is_printable_string(value)) {
    return refuse(
        "a character that PrintableString does not have (letters, digits, space and '()+,-./:=?)");
  }
  const auto points = decode_utf8(value);
  if (!points || std::ranges::any_of(*points, is_control)) return refuse("not plain UTF-8");
  if (points->size() < rule.min_chars || points->size() > rule.max_chars) {
    return refuse(rule.min_chars == rule.max_chars
                      ? fmt::format("must have {} characters", rule.max_chars)
                      : fmt::format("{} characters, at most {}", points->size(), rule.max_chars));
  }
  if (points->front() == U' ' || points->back() == U' ')
    return refuse("begins or ends with a space");
  if (attribute == Attribute::Country &&
      !std::ranges::all_of(value, [](char c) { return c >= 'A' && c <= 'Z'; })) {
    return refuse("two capital letters (ISO 3166)");
  }
  return std::nullopt;
}

}  // namespace

std::variant<SubjectPattern::Part, Refusal> SubjectPattern::parse_part(std::string_view text) {
  const std::size_t equals = text.find('=');
  const std::string_view type = text.substr(0, equals);
  const auto* rule = std::ranges::find(kAttributeRules, type, &AttributeRule::text);
  if (equals == std::string_view::npos || rule == kAttributeRules.end()) {
    return pattern_refusal(fmt::format("\"{}\" does not begin with a known type", printable(text)),
                           "use CN, O, OU, C or serialNumber, e.g. CN={device_serial},O=ACME");
  }
  Part part{rule->attribute, {}};
  std::string_view rest = text.substr(equals + 1);
  while (!rest.empty()) {
    const std::size_t open = std::min(rest.find('{'), rest.size());
    Piece piece{std::string{rest.substr(0, open)}, std::nullopt};
    rest.remove_prefix(open);
    if (!is_pattern_text(piece.text)) {
      return pattern_refusal(fmt::format("{}: a character that a pattern cannot hold", rule->text),
                             "leave out , = + \" \\ < > ; # { } and control characters");
    }
    if (!rest.empty()) {
      const std::size_t close = rest.find('}');
      const std::string_view name =
          rest.substr(1, close == std::string_view::npos ? close : close - 1);
      const auto* known = std::ranges::find(kPlaceholders, name, &PlaceholderName::name);
      if (close == std::string_view::npos || known == kPlaceholders.end()) {
        return pattern_refusal(
            fmt::format("{}: unknown placeholder {{{}", rule->text, printable(name)),
            "use {device_serial}, {se_serial}, {key_name}, {part} or {lot}");
      }
      piece.placeholder = known->placeholder;
      rest.remove_prefix(close + 1);
    }
    part.pieces.push_back(std::move(piece));
  }
  if (part.pieces.empty()) return Refusal{"subject-value", fmt::format("{}: empty", rule->text)};
  const bool fixed = std::ranges::none_of(
      part.pieces, [](const Piece& piece) { return piece.placeholder.has_value(); });
  if (fixed) {
    if (auto refusal = check_value(part.attribute, part.pieces.front().text)) return *refusal;
  }
  return part;
}

std::variant<SubjectPattern, Refusal> SubjectPattern::parse(std::string_view pattern) {
  if (pattern.empty() || pattern.size() > kMaxPatternBytes) {
    return pattern_refusal(fmt::format("a subject pattern has 1 to {} octets", kMaxPatternBytes));
  }
  SubjectPattern parsed;
  while (true) {
    const std::size_t comma = pattern.find(',');
    auto part = parse_part(pattern.substr(0, comma));
    if (auto* refusal = std::get_if<Refusal>(&part)) return *refusal;
    Part& accepted = std::get<Part>(part);
    if (std::ranges::find(parsed.parts_, accepted.attribute, &Part::attribute) !=
        parsed.parts_.end()) {
      return pattern_refusal(fmt::format("{} stands twice", rule_of(accepted.attribute).text));
    }
    parsed.parts_.push_back(std::move(accepted));
    if (comma == std::string_view::npos) return parsed;
    pattern.remove_prefix(comma + 1);
  }
}

bool SubjectPattern::uses(Placeholder placeholder) const {
  return std::ranges::any_of(parts_, [placeholder](const Part& part) {
    return std::ranges::any_of(part.pieces, [placeholder](const Piece& piece) {
      return piece.placeholder == placeholder;
    });
  });
}

std::optional<Refusal> SubjectPattern::render(const Part& part,
                                              const SubjectFields& fields,
                                              std::string& out) {
  out.clear();
  for (const Piece& piece : part.pieces) {
    out += piece.text;
    if (!piece.placeholder) continue;
    if (*piece.placeholder == Placeholder::DeviceSerial && !fields.device_serial) {
      return Refusal{
          "device-serial-missing",
          fmt::format(
              "the certificate template uses {{device_serial}}, but the entry for SE {} has none",
              fields.se_serial.hex()),
          "give device_serial in the SE list, or use {se_serial} in the template"};
    }
    append_value(out, *piece.placeholder, fields);
  }
  return check_value(part.attribute, out);
}

std::optional<Refusal> SubjectPattern::check(const SubjectFields& fields) const {
  std::string value;
  for (const Part& part : parts_) {
    if (auto refusal = render(part, fields, value)) return refusal;
  }
  return std::nullopt;
}

void SubjectPattern::append_name(Bytes& out, const SubjectFields& fields) const {
  constexpr std::size_t kOidBytes = 5;  // tag, length, three octets
  std::string value;
  Bytes rdns;
  rdns.reserve(256);
  for (const Part& part : parts_) {
    if (const auto refusal = render(part, fields, value)) throw to_error(*refusal);
    const AttributeRule& rule = rule_of(part.attribute);
    const std::size_t pair = kOidBytes + der::header_size(value.size()) + value.size();
    der::append_header(rdns, der::kSet, der::header_size(pair) + pair);
    der::append_header(rdns, der::kSequence, pair);
    der::append_tlv(rdns, der::kOid, rule.oid);
    der::append_tlv(rdns, rule.string_tag, as_bytes(value));
  }
  der::append_tlv(out, der::kSequence, rdns);
}

std::optional<Refusal> validate(const DeviceTemplate& device_template) {
  if (device_template.name != kDeviceTemplateName) {
    return Refusal{"template-unknown",
                   fmt::format("no certificate template \"{}\"", printable(device_template.name)),
                   "use \"device\""};
  }
  const auto pattern = SubjectPattern::parse(device_template.subject);
  if (const auto* refusal = std::get_if<Refusal>(&pattern)) return *refusal;
  const auto& subject = std::get<SubjectPattern>(pattern);
  if (!subject.uses(Placeholder::DeviceSerial) && !subject.uses(Placeholder::SeSerial)) {
    return Refusal{"subject-not-unique",
                   "the subject would be the same for every device",
                   "use {device_serial} or {se_serial} in it"};
  }
  if (device_template.not_before < der::kFirstTime || device_template.not_after > der::kLastTime ||
      device_template.not_before >= device_template.not_after) {
    return Refusal{"validity", "not_before must be before not_after, both from 1950 to 9999"};
  }
  const Bytes& name = device_template.issuer_name;
  const Bytes& key_identifier = device_template.issuer_key_identifier;
  const bool name_fits =
      name.size() >= kMinNameBytes && name.size() <= kMaxNameBytes && name_text(name).has_value();
  if (!name_fits || key_identifier.empty() || key_identifier.size() > kMaxKeyIdentifierBytes) {
    return Refusal{"issuer", "the issuer's name or key identifier is missing or malformed"};
  }
  return std::nullopt;
}

std::optional<Refusal> validate(const DeviceTemplate& device_template,
                                const SubjectFields& fields) {
  if (auto refusal = validate(device_template)) return refusal;
  return std::get<SubjectPattern>(SubjectPattern::parse(device_template.subject)).check(fields);
}

std::optional<Refusal> validate(const DeviceTemplate& device_template,
                                const CertificateFacts& issuer) {
  if (auto refusal = validate(device_template)) return refusal;
  if (!equal(device_template.issuer_name, issuer.subject_name) ||
      !equal(device_template.issuer_key_identifier, issuer.subject_key_identifier)) {
    return Refusal{"issuer",
                   fmt::format("the template names another issuer than {}", issuer.subject)};
  }
  const bool may_sign = !issuer.key_usage || (*issuer.key_usage & kKeyCertSign) != 0;
  if (!issuer.is_ca || !may_sign) {
    return Refusal{"issuer",
                   fmt::format("{} is not a CA that may sign certificates", issuer.subject)};
  }
  if (device_template.not_before < issuer.not_before ||
      device_template.not_after > issuer.not_after) {
    return Refusal{
        "validity",
        fmt::format("certificates from {} to {} would outlive their issuer {} ({} to {})",
                    to_rfc3339(device_template.not_before),
                    to_rfc3339(device_template.not_after),
                    issuer.subject,
                    to_rfc3339(issuer.not_before),
                    to_rfc3339(issuer.not_after)),
        "shorten the template's validity, or renew the issuer"};
  }
  return std::nullopt;
}

std::variant<Bytes, Refusal> fixed_name(std::string_view pattern) {
  const auto parsed = SubjectPattern::parse(pattern);
  if (const auto* refusal = std::get_if<Refusal>(&parsed)) return *refusal;
  const auto& subject = std::get<SubjectPattern>(parsed);
  for (const PlaceholderName& known : kPlaceholders) {
    if (subject.uses(known.placeholder))
      return pattern_refusal("the name of a CA holds no placeholder");
  }
  constexpr std::uint8_t kUnused[] = {0};
  Bytes name;
  subject.append_name(name,
                      SubjectFields{std::nullopt, *SeSerial::from_bytes(kUnused), "", "", ""});
  return name;
}

}  // namespace keyferry::x509
