// What the machine's clock may show (design.md section 12). Order comes from sequence numbers, never from the clock; but
// times stand in leaves and certificates, and expiries are measured by it.
#pragma once

#include <cstdint>
#include <optional>

#include "wrap/base/clock.h"
#include "wrap/base/error.h"

namespace keyferry::appliance {

/// A real-time clock is written and read in whole seconds, and drifts while the machine is off.
inline constexpr std::int64_t kClockSkewMs = 60'000;
/// An appliance may lie in a safe for a year; more than that since the last leaf is taken for a wrong clock.
inline constexpr std::int64_t kClockForwardMs = 400LL * 86'400'000;
/// clock-set: the clock must show a time from the plan's floor to this much later.
inline constexpr std::int64_t kClockSetWindowMs = 86'400'000;

/// Refusal clock-behind or clock-ahead: nothing is signed but an approved clock-set. last_leaf: time of the log's last
/// leaf, 0 before the first.
[[nodiscard]] std::optional<Refusal> check_clock(UtcMillis now, UtcMillis last_leaf);

/// The time that a leaf gets: never before the last one, and not the clock's while that is wrong.
[[nodiscard]] UtcMillis leaf_time(UtcMillis now, UtcMillis last_leaf);

/// Of an approved clock-set: does the clock show what the officers approved? Refusal clock-floor.
[[nodiscard]] std::optional<Refusal> check_clock_floor(UtcMillis now, UtcMillis floor);

}  // namespace keyferry::appliance
