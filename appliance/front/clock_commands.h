// The clock: order in the log comes from sequence numbers, but expiries and certificates are measured by it, so a wrong
// one stops signing until officers say what it may show (appliance/gate/clock_rules.h).
#pragma once

#include <string>

namespace keyferry::appliance {

class Context;

/// What the clock shows, the time of the log's last leaf, and what follows from both.
[[nodiscard]] int clock_show(Context& context);

/// Officers approve that the clock is right as it is now.
[[nodiscard]] int clock_set(Context& context, const std::string& reason);

}  // namespace keyferry::appliance
