#include "appliance/gate/clock_rules.h"

#include <fmt/format.h>

#include <algorithm>

namespace keyferry::appliance {
namespace {

constexpr const char* kHint =
    "set the machine's clock; if the last leaf's time is the wrong one, officers approve it: keyferry-appliance clock set";

}  // namespace

std::optional<Refusal> check_clock(UtcMillis now, UtcMillis last_leaf) {
  if (last_leaf.value == 0) return std::nullopt;
  if (now.value < last_leaf.value - kClockSkewMs) {
    return Refusal{"clock-behind",
                   fmt::format("the clock shows {}, which is before the log's last leaf ({}): nothing is signed",
                               to_rfc3339(now), to_rfc3339(last_leaf)),
                   kHint};
  }
  if (now.value > last_leaf.value + kClockForwardMs) {
    return Refusal{"clock-ahead",
                   fmt::format("the clock shows {}, more than {} days after the log's last leaf ({}): nothing is signed",
                               to_rfc3339(now), kClockForwardMs / 86'400'000, to_rfc3339(last_leaf)),
                   kHint};
  }
  return std::nullopt;
}

UtcMillis leaf_time(UtcMillis now, UtcMillis last_leaf) {
  return check_clock(now, last_leaf) ? last_leaf : std::max(now, last_leaf);
}

std::optional<Refusal> check_clock_floor(UtcMillis now, UtcMillis floor) {
  if (now >= floor && now.value <= floor.value + kClockSetWindowMs) return std::nullopt;
  return Refusal{"clock-floor",
                 fmt::format("the officers approved a clock from {} on, for a day; it shows {}", to_rfc3339(floor),
                             to_rfc3339(now)),
                 "set the machine's clock right, then have a plan approved that says so"};
}

}  // namespace keyferry::appliance
