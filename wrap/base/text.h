// Text from outside: a pattern per field, and forms that are safe in a terminal, a CSV cell or a page.
#pragma once

#include <string>
#include <string_view>

namespace keyferry {

/// Names that people choose (sources, stations, masters, CAs, sites, customers): 1 to 63 of `a-z 0-9 - _ .`,
/// beginning with a letter or digit.
[[nodiscard]] bool is_name(std::string_view text);

/// Part and lot numbers: 0 to 64 of `A-Z a-z 0-9 - _ . / +`.
[[nodiscard]] bool is_part_text(std::string_view text);

/// Device serials: 1 to 64 of `A-Z a-z 0-9 - _ . :`. No character of this set starts a formula, a tag or an escape.
[[nodiscard]] bool is_device_serial(std::string_view text);

/// `text` with everything but printable ASCII written as `\xNN`, cut to 200 characters: for messages about input.
[[nodiscard]] std::string printable(std::string_view text);

}  // namespace keyferry
