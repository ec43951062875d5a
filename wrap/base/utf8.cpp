#include "wrap/base/utf8.h"

namespace keyferry {

std::optional<std::u32string> decode_utf8(std::string_view text) {
  std::u32string points;
  points.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const auto first = static_cast<unsigned char>(text[at]);
    std::size_t length = 1;
    char32_t point = first;
    char32_t smallest = 0;
    if (first >= 0x80) {
      if (first >= 0xc0 && first < 0xe0) {
        length = 2, point = first & 0x1fU, smallest = 0x80;
      } else if (first >= 0xe0 && first < 0xf0) {
        length = 3, point = first & 0x0fU, smallest = 0x800;
      } else if (first >= 0xf0 && first < 0xf8) {
        length = 4, point = first & 0x07U, smallest = 0x10000;
      } else {
        return std::nullopt;
      }
    }
    if (text.size() - at < length) return std::nullopt;
    for (std::size_t i = 1; i < length; ++i) {
      const auto next = static_cast<unsigned char>(text[at + i]);
      if ((next & 0xc0U) != 0x80) return std::nullopt;
      point = (point << 6) | (next & 0x3fU);
    }
    const bool surrogate = point >= 0xd800 && point <= 0xdfff;
    if (point < smallest || point > 0x10ffff || surrogate) return std::nullopt;
    points.push_back(point);
    at += length;
  }
  return points;
}

bool is_unicode_space(char32_t point) {
  return (point >= 0x09 && point <= 0x0d) || point == 0x20 || point == 0x85 || point == 0xa0 ||
         point == 0x1680 || (point >= 0x2000 && point <= 0x200a) || point == 0x2028 ||
         point == 0x2029 || point == 0x202f || point == 0x205f || point == 0x3000;
}

}  // namespace keyferry
