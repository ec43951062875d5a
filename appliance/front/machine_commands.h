// The machine: its clock, and what officers allow of its weaknesses. Order in the log comes from sequence numbers, but
// expiries and certificates are measured by the clock, so a wrong one stops signing until officers say what it may show
// (appliance/gate/clock_rules.h).
#pragma once

#include <string>
#include <vector>

namespace keyferry::appliance {

class Context;

/// What the clock shows, the time of the log's last leaf, and what follows from both.
[[nodiscard]] int clock_show(Context& context);

/// Officers approve that the clock is right as it is now.
[[nodiscard]] int clock_set(Context& context, const std::string& reason);

/// Officers allow weaknesses of the machine until a time: `what` of network, swap, memlock, usb; `until` a date or RFC 3339.
[[nodiscard]] int insecure_allow(Context& context,
                                 const std::vector<std::string>& what,
                                 const std::string& until,
                                 const std::string& reason);

}  // namespace keyferry::appliance
