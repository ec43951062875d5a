// What Matter's attestation certificates say in their names: vendor and product. Two forms, never
// mixed: the attribute types matter-oid-vid (1.3.6.1.4.1.37244.2.1) and matter-oid-pid (.2.2), each
// a UTF8String of exactly four upper-case hex digits; or, only when neither type is present,
// "Mvid:" and "Mpid:" with four upper-case hex digits each inside the common name (Matter Core
// Specification, "Device Attestation", section 6.2.2).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "wrap/base/bytes.h"
#include "wrap/base/error.h"

namespace keyferry::x509 {

/// Matter Core Specification 6.2.2: no attestation certificate is longer.
inline constexpr std::size_t kMaxMatterCertificateBytes = 600;

inline constexpr std::string_view kMvidPrefix = "Mvid:";
inline constexpr std::string_view kMpidPrefix = "Mpid:";

enum class MatterForm : std::uint8_t {
  Attributes,  ///< the two attribute types
  CommonName   ///< "Mvid:" and "Mpid:" in the common name
};

struct MatterIds {
  std::optional<std::uint16_t> vendor_id;
  std::optional<std::uint16_t> product_id;
  MatterForm form = MatterForm::Attributes;  ///< where they were found

  friend bool operator==(const MatterIds&, const MatterIds&) = default;
};

/// "FFF1": four upper-case hex digits.
[[nodiscard]] std::string matter_hex(std::uint16_t id);

/// Nothing unless `text` is exactly what matter_hex gives.
[[nodiscard]] std::optional<std::uint16_t> read_matter_hex(std::string_view text);

/// What stands in a DER Name; neither id for a name that has nothing of Matter in it. Where an
/// attribute type is present the common name is not looked at. Refusal "matter-name": a type twice,
/// another string type, digits of another form, "Mvid:" or "Mpid:" twice or without its digits, or
/// no Name.
[[nodiscard]] std::variant<MatterIds, Refusal> matter_ids(ByteView name);

}  // namespace keyferry::x509
