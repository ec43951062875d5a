// Times on the command line.
#pragma once

#include <optional>
#include <string>

#include "wrap/base/clock.h"

namespace keyferry::appliance {

inline constexpr std::int64_t kDayMs = 86'400'000;

/// "2026-11-22" (midnight UTC) or RFC 3339 with Z; Error{Usage} naming `option` otherwise.
[[nodiscard]] UtcMillis read_time(const std::string& option, const std::string& text);

/// The same, or `fallback` cut to the second when the option was not given.
[[nodiscard]] UtcMillis read_time_or(const std::string& option,
                                     const std::optional<std::string>& text,
                                     UtcMillis fallback);

}  // namespace keyferry::appliance
