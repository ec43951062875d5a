// QR codes (ISO/IEC 18004) of public text, by libqrencode: for paper.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace keyferry::label {

/// Modules row by row, true is dark; no quiet zone. `text`: 1 to 2,000 octets, error correction
/// level M. Error{InvalidArgument} beyond.
[[nodiscard]] std::vector<std::vector<bool>> qr_modules(std::string_view text);

/// Lines of half-block characters (UTF-8), two rows of modules in each, a quiet zone of two
/// modules; dark on light.
[[nodiscard]] std::vector<std::string> qr_lines(std::string_view text);

/// An <svg> element with a quiet zone of four modules, 256 CSS pixels wide.
[[nodiscard]] std::string qr_svg(std::string_view text);

}  // namespace keyferry::label
