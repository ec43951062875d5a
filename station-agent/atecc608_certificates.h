// The certificate slots of an ATECC608 as octets (wrap/se/FORMAT.md): what is written for a record,
// and the certificates that are read back out of it.
#pragma once

#include <variant>
#include <vector>

#include "station-agent/chip.h"
#include "token/items.h"
#include "wrap/se/atecc608_profile.h"

namespace keyferry::station {

/// Refusals: what plain_certificate_area and compress_certificate say.
[[nodiscard]] std::variant<Bytes, Refusal> certificate_area(const se::Atecc608Profile& profile,
                                                            const token::Record& record);

/// Leaf first; issuers that the area does not hold are the record's. area: as long as the one that
/// certificate_area gave. Refusal "chip-certificates": not what such an area looks like.
[[nodiscard]] std::variant<ReadChain, Refusal> certificates_in(const se::Atecc608Profile& profile,
                                                               ByteView area,
                                                               const token::Record& record);

}  // namespace keyferry::station
