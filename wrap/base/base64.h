// Base64 (RFC 4648 section 4) in its one canonical form: padded, no white space, unused bits zero.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "wrap/base/bytes.h"

namespace keyferry {

[[nodiscard]] std::string to_base64(ByteView octets);

/// Nothing unless `text` is exactly what to_base64 gives for some octets, so no octets have two
/// texts.
[[nodiscard]] std::optional<Bytes> from_base64(std::string_view text);

}  // namespace keyferry
