#include "appliance/gate/clock_rules.h"

#include <gtest/gtest.h>

namespace keyferry::appliance {
namespace {

constexpr std::int64_t kDayMs = 86'400'000;
constexpr UtcMillis kLast{1'790'000'000'000};

UtcMillis after_last(std::int64_t ms) { return UtcMillis{kLast.value + ms}; }

TEST(ClockRules, TakesAnyClockBeforeTheFirstLeaf) { EXPECT_FALSE(check_clock(UtcMillis{5}, UtcMillis{0})); }

TEST(ClockRules, TakesWhatADriftingClockShows) {
  EXPECT_FALSE(check_clock(after_last(-kClockSkewMs), kLast));
  EXPECT_FALSE(check_clock(kLast, kLast));
  EXPECT_FALSE(check_clock(after_last(kClockForwardMs), kLast));
}

TEST(ClockRules, RefusesAClockBehindOrTooFarAhead) {
  const auto behind = check_clock(after_last(-kClockSkewMs - 1), kLast);
  ASSERT_TRUE(behind);
  EXPECT_EQ(behind->reason, "clock-behind");
  const auto ahead = check_clock(after_last(kClockForwardMs + 1), kLast);
  ASSERT_TRUE(ahead);
  EXPECT_EQ(ahead->reason, "clock-ahead");
  EXPECT_NE(ahead->text.find("400 days"), std::string::npos) << ahead->text;
}

TEST(ClockRules, GiveALeafATimeThatNeverGoesBackAndNeverJumps) {
  EXPECT_EQ(leaf_time(after_last(-5), kLast), kLast);
  EXPECT_EQ(leaf_time(after_last(5), kLast), after_last(5));
  EXPECT_EQ(leaf_time(after_last(-kDayMs), kLast), kLast);
  EXPECT_EQ(leaf_time(after_last(1000 * kDayMs), kLast), kLast);
}

TEST(ClockRules, TakeAFloorForADay) {
  EXPECT_FALSE(check_clock_floor(kLast, kLast));
  EXPECT_FALSE(check_clock_floor(after_last(kClockSetWindowMs), kLast));
  EXPECT_TRUE(check_clock_floor(after_last(-1), kLast));
  EXPECT_TRUE(check_clock_floor(after_last(kClockSetWindowMs + 1), kLast));
}

}  // namespace
}  // namespace keyferry::appliance
