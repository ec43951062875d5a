#include "wrap/x509/matter.h"

#include <fmt/format.h>

#include "wrap/base/text.h"
#include "wrap/x509/name.h"

namespace keyferry::x509 {
namespace {

constexpr std::size_t kDigits = 4;

Refusal name_refusal(std::string text) {
  return Refusal{"matter-name", std::move(text)};
}

/// The id behind `prefix` in a common name; nothing when the prefix is not there.
std::variant<std::optional<std::uint16_t>, Refusal> in_common_name(std::string_view text,
                                                                   std::string_view prefix) {
  const std::size_t at = text.find(prefix);
  if (at == std::string_view::npos) return std::optional<std::uint16_t>{};
  const std::string_view behind = text.substr(at + prefix.size());
  const auto id = read_matter_hex(behind.substr(0, kDigits));
  if (!id) {
    return name_refusal(fmt::format(
        "the common name has \"{}\" without four upper-case hex digits behind it", prefix));
  }
  if (behind.find(prefix) != std::string_view::npos) {
    return name_refusal(fmt::format("the common name has \"{}\" twice", prefix));
  }
  return id;
}

std::optional<Refusal> take_attribute(const der::Element& value,
                                      std::string_view what,
                                      std::optional<std::uint16_t>& out) {
  if (out) return name_refusal(fmt::format("more than one {}", what));
  if (value.tag != der::kUtf8String) return name_refusal(fmt::format("{} is no UTF8String", what));
  out = read_matter_hex(as_chars(value.content));
  if (out) return std::nullopt;
  return name_refusal(fmt::format(
      "{} \"{}\" is not four upper-case hex digits", what, printable(as_chars(value.content))));
}

}  // namespace

std::string matter_hex(std::uint16_t id) {
  return fmt::format("{:04X}", id);
}

std::optional<std::uint16_t> read_matter_hex(std::string_view text) {
  if (text.size() != kDigits) return std::nullopt;
  unsigned value = 0;
  for (const char c : text) {
    const bool digit = c >= '0' && c <= '9';
    if (!digit && (c < 'A' || c > 'F')) return std::nullopt;
    value = value * 16 + static_cast<unsigned>(digit ? c - '0' : c - 'A' + 10);
  }
  return static_cast<std::uint16_t>(value);
}

std::variant<MatterIds, Refusal> matter_ids(ByteView name) {
  const auto rdns = der::only_element(name, der::kSequence);
  if (!rdns) return name_refusal("not a Name");
  MatterIds ids;
  std::string common_name;  // several are joined, so that an id in each of two counts as two
  der::Reader rdn_reader{rdns->content};
  while (!rdn_reader.at_end()) {
    const auto rdn = rdn_reader.next(der::kSet);
    if (!rdn) return name_refusal("not a Name");
    der::Reader attributes{rdn->content};
    while (!attributes.at_end()) {
      const auto pair = attributes.next(der::kSequence);
      if (!pair) return name_refusal("not a Name");
      der::Reader fields{pair->content};
      const auto type = fields.next(der::kOid);
      const auto value = fields.next();
      if (!type || !value || !fields.at_end()) return name_refusal("not a Name");
      std::optional<Refusal> refusal;
      if (equal(type->content, rule_of(Attribute::MatterVendorId).oid.view())) {
        refusal = take_attribute(*value, "VendorID", ids.vendor_id);
      } else if (equal(type->content, rule_of(Attribute::MatterProductId).oid.view())) {
        refusal = take_attribute(*value, "ProductID", ids.product_id);
      } else if (equal(type->content, rule_of(Attribute::CommonName).oid.view())) {
        common_name.append(as_chars(value->content)).push_back('\n');
      }
      if (refusal) return *refusal;
    }
  }
  if (ids.vendor_id || ids.product_id) return ids;
  const auto vendor = in_common_name(common_name, kMvidPrefix);
  if (const auto* refusal = std::get_if<Refusal>(&vendor)) return *refusal;
  const auto product = in_common_name(common_name, kMpidPrefix);
  if (const auto* refusal = std::get_if<Refusal>(&product)) return *refusal;
  ids.vendor_id = std::get<std::optional<std::uint16_t>>(vendor);
  ids.product_id = std::get<std::optional<std::uint16_t>>(product);
  if (ids.vendor_id || ids.product_id) ids.form = MatterForm::CommonName;
  return ids;
}

}  // namespace keyferry::x509
