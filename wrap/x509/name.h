// The attribute types of names that we write, and names as text for people.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "wrap/base/bytes.h"
#include "wrap/x509/der.h"

namespace keyferry::x509 {

enum class Attribute : std::uint8_t {
  CommonName,
  Organization,
  OrganizationalUnit,
  Country,
  SerialNumber
};

struct AttributeRule {
  Attribute attribute;
  std::string_view text;            ///< as in a pattern
  std::array<std::uint8_t, 3> oid;  ///< content octets: id-at (2.5.4) and the type, X.520
  der::Tag string_tag;
  std::size_t min_chars;
  std::size_t max_chars;  ///< RFC 5280 appendix A: ub-common-name and its like
};

/// In the order of the enumeration. serialNumber and C are PrintableString by RFC 5280 appendix A.
inline constexpr std::array kAttributeRules{
    AttributeRule{Attribute::CommonName, "CN", {0x55, 0x04, 0x03}, der::kUtf8String, 1, 64},
    AttributeRule{Attribute::Organization, "O", {0x55, 0x04, 0x0a}, der::kUtf8String, 1, 64},
    AttributeRule{Attribute::OrganizationalUnit, "OU", {0x55, 0x04, 0x0b}, der::kUtf8String, 1, 64},
    AttributeRule{Attribute::Country, "C", {0x55, 0x04, 0x06}, der::kPrintableString, 2, 2},
    AttributeRule{
        Attribute::SerialNumber, "serialNumber", {0x55, 0x04, 0x05}, der::kPrintableString, 1, 64},
};

[[nodiscard]] constexpr const AttributeRule& rule_of(Attribute attribute) {
  return kAttributeRules[static_cast<std::size_t>(attribute)];
}

/// "CN=x,O=y" in encoding order; several attributes of one RDN joined by '+'; types that we do not
/// write as dotted OID. Values: printable ASCII, `\` before , + = and \, other octets as \xNN;
/// values that are no string as #HEX. Nothing unless `name` is a DER Name (at most 32 attributes).
/// An empty Name is the empty text.
[[nodiscard]] std::optional<std::string> name_text(ByteView name);

}  // namespace keyferry::x509
