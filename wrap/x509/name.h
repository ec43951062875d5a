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
  SerialNumber,
  StateOrProvince,
  Locality,
  DomainComponent,
  MatterVendorId,
  MatterProductId
};

/// Content octets of an attribute type's OID.
struct AttributeOid {
  std::array<std::uint8_t, 10> octets{};
  std::size_t size = 0;

  [[nodiscard]] constexpr ByteView view() const { return {octets.data(), size}; }
};

struct AttributeRule {
  Attribute attribute;
  std::string_view text;  ///< as in a pattern
  AttributeOid oid;
  der::Tag string_tag;
  std::size_t min_chars;
  std::size_t max_chars;  ///< RFC 5280 appendix A: ub-common-name and its like
};

/// In the order of the enumeration. serialNumber and C are PrintableString by RFC 5280 appendix A,
/// DC is IA5String by RFC 4519 2.4. The types of X.520 are id-at (2.5.4). VendorID and ProductID
/// are Matter's (matter.h): they are never in a pattern, templates add them.
inline constexpr std::array kAttributeRules{
    AttributeRule{Attribute::CommonName, "CN", {{0x55, 0x04, 0x03}, 3}, der::kUtf8String, 1, 64},
    AttributeRule{Attribute::Organization, "O", {{0x55, 0x04, 0x0a}, 3}, der::kUtf8String, 1, 64},
    AttributeRule{
        Attribute::OrganizationalUnit, "OU", {{0x55, 0x04, 0x0b}, 3}, der::kUtf8String, 1, 64},
    AttributeRule{Attribute::Country, "C", {{0x55, 0x04, 0x06}, 3}, der::kPrintableString, 2, 2},
    AttributeRule{Attribute::SerialNumber,
                  "serialNumber",
                  {{0x55, 0x04, 0x05}, 3},
                  der::kPrintableString,
                  1,
                  64},
    AttributeRule{
        Attribute::StateOrProvince, "ST", {{0x55, 0x04, 0x08}, 3}, der::kUtf8String, 1, 128},
    AttributeRule{Attribute::Locality, "L", {{0x55, 0x04, 0x07}, 3}, der::kUtf8String, 1, 128},
    AttributeRule{Attribute::DomainComponent,
                  "DC",
                  {{0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x19}, 10},
                  der::kIa5String,
                  1,
                  63},
    AttributeRule{Attribute::MatterVendorId,
                  "VendorID",
                  {{0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0xa2, 0x7c, 0x02, 0x01}, 10},
                  der::kUtf8String,
                  4,
                  4},
    AttributeRule{Attribute::MatterProductId,
                  "ProductID",
                  {{0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0xa2, 0x7c, 0x02, 0x02}, 10},
                  der::kUtf8String,
                  4,
                  4},
};

[[nodiscard]] constexpr const AttributeRule& rule_of(Attribute attribute) {
  return kAttributeRules[static_cast<std::size_t>(attribute)];
}

/// Appends one RDN of one attribute; `value` is not checked.
void append_rdn(Bytes& out, Attribute attribute, std::string_view value);

/// "CN=x,O=y" in encoding order; several attributes of one RDN joined by '+'; types that we do not
/// write as dotted OID. Values: printable ASCII, `\` before , + = and \, other octets as \xNN;
/// values that are no string as #HEX. Nothing unless `name` is a DER Name (at most 32 attributes).
/// An empty Name is the empty text.
[[nodiscard]] std::optional<std::string> name_text(ByteView name);

/// Dotted decimal of an OID's content octets; nothing when it is no OID in shortest form or an arc
/// has more than 63 bits.
[[nodiscard]] std::optional<std::string> oid_text(ByteView oid_content);

}  // namespace keyferry::x509
