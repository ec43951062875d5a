#include "wrap/x509/name.h"

#include <fmt/format.h>

#include <algorithm>

#include "wrap/base/text.h"

namespace keyferry::x509 {
namespace {

constexpr std::size_t kMaxAttributes = 32;

std::string value_text(const der::Element& value) {
  const bool is_text = value.tag == der::kUtf8String || value.tag == der::kPrintableString ||
                       value.tag == der::kIa5String;
  if (!is_text)
    return "#" + to_hex(value.whole.first(std::min<std::size_t>(value.whole.size(), 100)));
  std::string out;
  for (const char c :
       as_chars(value.content.first(std::min<std::size_t>(value.content.size(), 200)))) {
    if (c == ',' || c == '+' || c == '=' || c == '\\') {
      out += '\\';
      out += c;
    } else {
      out += printable({&c, 1});
    }
  }
  return out;
}

}  // namespace

std::optional<std::string> oid_text(ByteView oid) {
  if (oid.empty() || oid.back() >= 0x80) return std::nullopt;
  std::string text;
  std::uint64_t arc = 0;
  bool first = true;
  bool arc_begins = true;
  for (const std::uint8_t octet : oid) {
    // A leading 0x80 is not the shortest form; more than 56 bits are no arc that anybody uses.
    if ((arc_begins && octet == 0x80) || (arc >> 56) != 0) return std::nullopt;
    arc = (arc << 7) | (octet & 0x7fU);
    arc_begins = octet < 0x80;
    if (!arc_begins) continue;
    if (first) {
      const std::uint64_t top = std::min<std::uint64_t>(arc / 40, 2);
      text = fmt::format("{}.{}", top, arc - top * 40);
    } else {
      text += fmt::format(".{}", arc);
    }
    first = false;
    arc = 0;
  }
  return text;
}

void append_rdn(Bytes& out, Attribute attribute, std::string_view value) {
  const AttributeRule& rule = rule_of(attribute);
  const std::size_t pair = 2 + rule.oid.size + der::header_size(value.size()) + value.size();
  der::append_header(out, der::kSet, der::header_size(pair) + pair);
  der::append_header(out, der::kSequence, pair);
  der::append_tlv(out, der::kOid, rule.oid.view());
  der::append_tlv(out, rule.string_tag, as_bytes(value));
}

std::optional<std::string> name_text(ByteView name) {
  const auto rdns = der::only_element(name, der::kSequence);
  if (!rdns) return std::nullopt;
  std::string text;
  std::size_t count = 0;
  der::Reader rdn_reader{rdns->content};
  while (!rdn_reader.at_end()) {
    const auto rdn = rdn_reader.next(der::kSet);
    if (!rdn || rdn->content.empty()) return std::nullopt;
    bool first = true;
    der::Reader attributes{rdn->content};
    while (!attributes.at_end()) {
      const auto pair = attributes.next(der::kSequence);
      if (!pair || ++count > kMaxAttributes) return std::nullopt;
      der::Reader fields{pair->content};
      const auto type = fields.next(der::kOid);
      const auto value = fields.next();
      if (!type || !value || !fields.at_end()) return std::nullopt;
      const auto type_text = oid_text(type->content);
      if (!type_text) return std::nullopt;
      const auto* rule = std::ranges::find_if(kAttributeRules, [&](const AttributeRule& known) {
        return equal(known.oid.view(), type->content);
      });
      if (!text.empty()) text += first ? "," : "+";
      text += rule != kAttributeRules.end() ? std::string{rule->text} : *type_text;
      text += "=" + value_text(*value);
      first = false;
    }
  }
  return text;
}

}  // namespace keyferry::x509
