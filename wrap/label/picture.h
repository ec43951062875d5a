// A small black and white picture with text and QR codes, as PNG (ISO/IEC 15948, by libpng).
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "wrap/base/bytes.h"

namespace keyferry::label {

inline constexpr std::size_t kGlyphWidth = 6, kGlyphHeight = 10;  // with the gap to the next one

class Picture {
 public:
  /// White. 1 to 4,096 pixels each way; Error{InvalidArgument} beyond.
  Picture(std::size_t width, std::size_t height);

  /// Dark squares of `scale` pixels; what falls outside is cut off.
  void draw(const std::vector<std::vector<bool>>& modules,
            std::size_t left,
            std::size_t top,
            std::size_t scale);

  /// Printable ASCII, others as '?', in letters of kGlyphWidth x kGlyphHeight times `scale`.
  void write(std::string_view text, std::size_t left, std::size_t top, std::size_t scale);

  /// Greyscale, 8 bits.
  [[nodiscard]] Bytes png() const;

 private:
  void fill(std::size_t left, std::size_t top, std::size_t size);

  std::size_t width_, height_;
  Bytes pixels_;
};

/// Rows of a letter, bit 4 leftmost. Other than printable ASCII: that of '?'.
[[nodiscard]] const std::uint8_t (&glyph(char letter))[8];

}  // namespace keyferry::label
