// UTF-8 (RFC 3629) from outside.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace keyferry {

/// The code points of `text`. Nothing when it is not well-formed: overlong forms, surrogates, above
/// U+10FFFF, cut off.
[[nodiscard]] std::optional<std::u32string> decode_utf8(std::string_view text);

/// C0, DEL and C1: what moves a terminal.
[[nodiscard]] constexpr bool is_control(char32_t point) {
  return point < 0x20 || (point >= 0x7f && point < 0xa0);
}

/// White_Space of Unicode's PropList.
[[nodiscard]] bool is_unicode_space(char32_t point);

}  // namespace keyferry
