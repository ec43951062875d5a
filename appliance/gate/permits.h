// Weaknesses of the machine that officers allowed for a time (plan insecure-allow). What counts stands in kf-state. The file
// beside gate.toml only lets the gate log in to look there: a permit that kf-state does not hold ends that login at once.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "wrap/base/clock.h"
#include "wrap/base/error.h"

namespace keyferry::appliance {

struct Permit {
  std::string what;  // "network", "swap", "memlock", "usb"
  UtcMillis until;
  friend bool operator==(const Permit&, const Permit&) = default;
};

/// "gate.permits" beside the settings: a line `WHAT until TIME` for each. A file that cannot be read permits nothing.
[[nodiscard]] std::vector<Permit> read_permits(const std::filesystem::path& settings_file);
void write_permits(const std::filesystem::path& settings_file, const std::vector<Permit>& permits);

/// Those that have not ended at `now`.
[[nodiscard]] std::vector<Permit> still_good(std::vector<Permit> permits, UtcMillis now);

/// Longer than this no weakness is allowed at once.
inline constexpr std::int64_t kMaxPermitMs = 30LL * 86'400'000;

/// Of an insecure-allow. Refusal permit-time: it ended already, or is longer than kMaxPermitMs.
[[nodiscard]] std::optional<Refusal> check_permit_time(UtcMillis now, UtcMillis until);

/// Null when nothing permits `what` at `now`.
[[nodiscard]] const Permit* permit_for(const std::vector<Permit>& permits, std::string_view what, UtcMillis now);

}  // namespace keyferry::appliance
