#include "wrap/x509/pattern.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "wrap/base/text.h"
#include "wrap/base/utf8.h"
#include "wrap/x509/der.h"

namespace keyferry::x509 {
namespace {

struct PlaceholderRule {
  Placeholder placeholder;
  std::string_view name;
  std::size_t max_bytes;  // of text.h's patterns and ids.h
};

constexpr std::array kPlaceholders{
    PlaceholderRule{Placeholder::DeviceSerial, "device_serial", 64},
    PlaceholderRule{Placeholder::SeSerial, "se_serial", 2 * SeSerial::kMaxSizeBytes},
    PlaceholderRule{Placeholder::KeyName, "key_name", 63},
    PlaceholderRule{Placeholder::Part, "part", 64},
    PlaceholderRule{Placeholder::Lot, "lot", 64},
};

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
  if (rule.string_tag == der::kIa5String &&
      std::ranges::any_of(value, [](char c) { return static_cast<unsigned char>(c) >= 0x80; })) {
    return refuse("a character that IA5String does not have (ASCII alone)");
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

/// Types that a person may write; Matter's are added by templates.
const AttributeRule* written_rule(std::string_view type) {
  const auto* rule = std::ranges::find(kAttributeRules, type, &AttributeRule::text);
  const bool is_matter =
      rule != kAttributeRules.end() && (rule->attribute == Attribute::MatterVendorId ||
                                        rule->attribute == Attribute::MatterProductId);
  return rule == kAttributeRules.end() || is_matter ? nullptr : rule;
}

}  // namespace

std::variant<ValuePattern, Refusal> ValuePattern::parse(std::string_view pattern,
                                                        std::string_view what,
                                                        const MatterIds& ids) {
  ValuePattern parsed;
  std::string text;  // what stands before the next placeholder
  while (!pattern.empty()) {
    const std::size_t open = std::min(pattern.find_first_of("{}"), pattern.size());
    text += pattern.substr(0, open);
    pattern.remove_prefix(open);
    if (pattern.empty()) break;
    const std::size_t close = pattern.find('}');
    const bool closed = pattern.front() == '{' && close != std::string_view::npos;
    const std::string_view name = closed ? pattern.substr(1, close - 1) : pattern;
    const auto* known = std::ranges::find(kPlaceholders, name, &PlaceholderRule::name);
    const auto& id = name == "vid" ? ids.vendor_id : ids.product_id;
    if (closed && (name == "vid" || name == "pid") && id) {
      text += matter_hex(*id);
    } else if (closed && known != kPlaceholders.end()) {
      parsed.pieces_.push_back({std::exchange(text, {}), known->placeholder});
    } else {
      return pattern_refusal(
          fmt::format("{}: unknown placeholder {}", what, printable(pattern.substr(0, 40))),
          "use {device_serial}, {se_serial}, {key_name}, {part} or {lot}; {vid} and {pid} where "
          "the template has "
          "them");
    }
    pattern.remove_prefix(close + 1);
  }
  if (!text.empty()) parsed.pieces_.push_back({std::move(text), std::nullopt});
  return parsed;
}

bool ValuePattern::uses(Placeholder placeholder) const {
  return std::ranges::any_of(
      pieces_, [placeholder](const Piece& piece) { return piece.placeholder == placeholder; });
}

bool ValuePattern::is_fixed() const {
  return std::ranges::none_of(pieces_,
                              [](const Piece& piece) { return piece.placeholder.has_value(); });
}

std::string ValuePattern::fixed_text() const {
  std::string text;
  for (const Piece& piece : pieces_) text += piece.text;
  return text;
}

std::size_t ValuePattern::max_placeholder_bytes() const {
  std::size_t most = 0;
  for (const Piece& piece : pieces_) {
    if (piece.placeholder)
      most += std::ranges::find(kPlaceholders, *piece.placeholder, &PlaceholderRule::placeholder)
                  ->max_bytes;
  }
  return most;
}

std::optional<Refusal> ValuePattern::render(const SubjectFields& fields, std::string& out) const {
  out.clear();
  for (const Piece& piece : pieces_) {
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
  return std::nullopt;
}

void ValuePattern::append_text(std::string_view text) {
  if (pieces_.empty() || pieces_.back().placeholder) pieces_.push_back({{}, std::nullopt});
  pieces_.back().text += text;
}

std::variant<SubjectPattern::Part, Refusal> SubjectPattern::parse_part(std::string_view text,
                                                                       const MatterIds& ids) {
  const std::size_t equals = text.find('=');
  const AttributeRule* rule = written_rule(text.substr(0, equals));
  if (equals == std::string_view::npos || rule == nullptr) {
    return pattern_refusal(
        fmt::format("\"{}\" does not begin with a known type", printable(text)),
        "use CN, O, OU, C, serialNumber, ST, L or DC, e.g. CN={device_serial},O=ACME");
  }
  auto value = ValuePattern::parse(text.substr(equals + 1), rule->text, ids);
  if (auto* refusal = std::get_if<Refusal>(&value)) return *refusal;
  Part part{rule->attribute, std::get<ValuePattern>(std::move(value))};
  const std::string fixed = part.value.fixed_text();
  if (!is_pattern_text(fixed)) {
    return pattern_refusal(fmt::format("{}: a character that a pattern cannot hold", rule->text),
                           "leave out , = + \" \\ < > ; # { } and control characters");
  }
  if (part.value.is_fixed()) {
    if (fixed.empty()) return Refusal{"subject-value", fmt::format("{}: empty", rule->text)};
    if (auto refusal = check_value(part.attribute, fixed)) return *refusal;
  }
  return part;
}

std::variant<SubjectPattern, Refusal> SubjectPattern::parse(std::string_view pattern,
                                                            const MatterIds& ids) {
  if (pattern.empty() || pattern.size() > kMaxPatternBytes) {
    return pattern_refusal(fmt::format("a subject pattern has 1 to {} octets", kMaxPatternBytes));
  }
  SubjectPattern parsed;
  while (true) {
    const std::size_t comma = pattern.find(',');
    auto part = parse_part(pattern.substr(0, comma), ids);
    if (auto* refusal = std::get_if<Refusal>(&part)) return *refusal;
    Part& accepted = std::get<Part>(part);
    if (accepted.attribute != Attribute::DomainComponent &&
        std::ranges::find(parsed.parts_, accepted.attribute, &Part::attribute) !=
            parsed.parts_.end()) {
      return pattern_refusal(fmt::format("{} stands twice", rule_of(accepted.attribute).text));
    }
    parsed.parts_.push_back(std::move(accepted));
    if (comma == std::string_view::npos) return parsed;
    pattern.remove_prefix(comma + 1);
  }
}

std::optional<Refusal> SubjectPattern::add_matter_ids(const MatterIds& ids) {
  const auto common_name = std::ranges::find(parts_, Attribute::CommonName, &Part::attribute);
  if (common_name != parts_.end()) {
    const std::string text = common_name->value.fixed_text();
    if (text.find("Mvid") != std::string::npos || text.find("Mpid") != std::string::npos) {
      return pattern_refusal("the common name holds \"Mvid\" or \"Mpid\"",
                             "leave them out: the template adds them, or their attributes");
    }
  }
  has_matter_ids_ = true;
  if (ids.form == MatterForm::CommonName) {
    if (common_name == parts_.end()) {
      return pattern_refusal("no CN that could hold Mvid: and Mpid:", "add CN=... to the pattern");
    }
    std::string text;
    if (ids.vendor_id) text += fmt::format(" {}{}", kMvidPrefix, matter_hex(*ids.vendor_id));
    if (ids.product_id) text += fmt::format(" {}{}", kMpidPrefix, matter_hex(*ids.product_id));
    common_name->value.append_text(text);
    matter_text_ = text;
    if (!common_name->value.is_fixed()) return std::nullopt;
    return check_value(Attribute::CommonName, common_name->value.fixed_text());
  }
  const auto add = [this](Attribute attribute, std::optional<std::uint16_t> id) {
    if (!id) return;
    Part part{attribute, {}};
    part.value.append_text(matter_hex(*id));
    parts_.push_back(std::move(part));
  };
  add(Attribute::MatterVendorId, ids.vendor_id);
  add(Attribute::MatterProductId, ids.product_id);
  return std::nullopt;
}

bool SubjectPattern::uses(Placeholder placeholder) const {
  return std::ranges::any_of(
      parts_, [placeholder](const Part& part) { return part.value.uses(placeholder); });
}

std::optional<Refusal> SubjectPattern::render(const Part& part,
                                              const SubjectFields& fields,
                                              std::string& out) const {
  if (auto refusal = part.value.render(fields, out)) return refusal;
  if (has_matter_ids_ && part.attribute == Attribute::CommonName) {
    // A reader takes what it finds: an entry must not say whose device it is.
    const std::string_view before{out.data(), out.size() - matter_text_.size()};
    for (const std::string_view prefix : {kMvidPrefix, kMpidPrefix}) {
      if (before.find(prefix) == std::string_view::npos) continue;
      return Refusal{
          "subject-value",
          fmt::format("CN={}: the values of SE {} put \"{}\" into a common name of Matter",
                      printable(out),
                      fields.se_serial.hex(),
                      prefix),
          "the template alone says vendor and product: correct the entry in the SE list"};
    }
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
  std::string value;
  Bytes rdns;
  rdns.reserve(256);
  for (const Part& part : parts_) {
    if (const auto refusal = render(part, fields, value)) throw to_error(*refusal);
    append_rdn(rdns, part.attribute, value);
  }
  der::append_tlv(out, der::kSequence, rdns);
}

std::size_t SubjectPattern::max_name_bytes() const {
  std::size_t rdns = 0;
  for (const Part& part : parts_) {
    const AttributeRule& rule = rule_of(part.attribute);
    const std::string fixed = part.value.fixed_text();
    const std::size_t fixed_chars = decode_utf8(fixed).value_or(U"").size();
    const std::size_t room = rule.max_chars - std::min(rule.max_chars, fixed_chars);
    const std::size_t value = fixed.size() + std::min(part.value.max_placeholder_bytes(), room);
    const std::size_t pair = 2 + rule.oid.size + der::header_size(value) + value;
    const std::size_t inner = der::header_size(pair) + pair;
    rdns += der::header_size(inner) + inner;
  }
  return der::header_size(rdns) + rdns;
}

std::variant<Bytes, Refusal> fixed_name(std::string_view pattern) {
  return fixed_name(pattern, {});
}

std::variant<Bytes, Refusal> fixed_name(std::string_view pattern, const MatterIds& ids) {
  auto parsed = SubjectPattern::parse(pattern, ids);
  if (const auto* refusal = std::get_if<Refusal>(&parsed)) return *refusal;
  auto& subject = std::get<SubjectPattern>(parsed);
  for (const PlaceholderRule& known : kPlaceholders) {
    if (subject.uses(known.placeholder))
      return pattern_refusal("the name of a CA holds no placeholder");
  }
  if (ids.vendor_id || ids.product_id) {
    if (auto refusal = subject.add_matter_ids(ids)) return *refusal;
  }
  constexpr std::uint8_t kUnused[] = {0};
  Bytes name;
  subject.append_name(name,
                      SubjectFields{std::nullopt, *SeSerial::from_bytes(kUnused), "", "", ""});
  return name;
}

}  // namespace keyferry::x509
