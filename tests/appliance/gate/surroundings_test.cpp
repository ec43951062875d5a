#include "appliance/gate/surroundings.h"

#include <gtest/gtest.h>

#include "tests/support/sanitizers.h"

namespace keyferry::appliance {
namespace {

const Surroundings kGood{{}, false, false, UINT64_MAX};

AirGapCheck judged(const Surroundings& around, const GateSettings& settings, const std::vector<std::string>& allow) {
  return check_air_gap(around, settings, allow, {}, UtcMillis{1});
}

TEST(AirGap, IsFineWithLoopbackAloneNoSwapNoCoresAndMemoryThatLocks) {
  EXPECT_TRUE(judged(kGood, {}, {}).problems.empty());
}

TEST(AirGap, NamesEachProblemAndTakesAnOverrideForThatOneOnly) {
  Surroundings around = kGood;
  around.networks = {"eth0"};
  around.swap_on = true;
  EXPECT_EQ(judged(around, {}, {}).problems.size(), 2U);
  const AirGapCheck check = judged(around, {}, {"network"});
  ASSERT_EQ(check.problems.size(), 1U);
  EXPECT_EQ(check.problems[0], "swap (swap is on)");
  ASSERT_EQ(check.overridden.size(), 1U);
  EXPECT_EQ(check.overridden[0], "network (up: eth0)");
}

TEST(AirGap, TakesNoOverrideForCoreDumps) {
  Surroundings around = kGood;
  around.core_dumps_on = true;
  EXPECT_EQ(judged(around, {}, {"network", "swap", "memlock"}).problems.size(), 1U);
}

TEST(AirGap, NamesAPinThatTheKernelDidNotLock) {
  Surroundings around = kGood;
  around.pin_locked = false;
  const AirGapCheck check = judged(around, {}, {});
  ASSERT_EQ(check.problems.size(), 1U);
  EXPECT_NE(check.problems[0].find("did not lock the memory of the PIN"), std::string::npos) << check.problems[0];
  EXPECT_NE(check.memlock.find("the PIN is NOT in locked memory"), std::string::npos) << check.memlock;
  EXPECT_EQ(judged(around, {}, {"memlock"}).overridden.size(), 1U);
}

TEST(AirGap, LooksWhetherMemoryIsReallyLocked) {
  if (!test::kMemoryCanBeLocked) GTEST_SKIP() << "a sanitizer makes mlock(2) do nothing";
  EXPECT_TRUE(look_around(SecretBytes{}).pin_locked);
}

TEST(AirGap, TakesNoOverrideInProduction) {
  Surroundings around = kGood;
  around.memlock_bytes = 1024;
  GateSettings settings;
  settings.kind = Environment::Production;
  settings.insecure_allow = {"memlock"};
  EXPECT_EQ(judged(around, settings, {"memlock"}).problems.size(), 1U);
}

TEST(AirGap, TakesWhatOfficersAllowUntilItsTimeInProductionToo) {
  Surroundings around = kGood;
  around.swap_on = true;
  GateSettings settings;
  settings.kind = Environment::Production;
  const std::vector<Permit> permits{{"swap", UtcMillis{1'790'000'000'000}}};
  const AirGapCheck before = check_air_gap(around, settings, {}, permits, UtcMillis{1'789'999'999'999});
  EXPECT_TRUE(before.problems.empty());
  ASSERT_EQ(before.overridden.size(), 1U);
  EXPECT_NE(before.overridden[0].find("officers allow it until 2026-"), std::string::npos) << before.overridden[0];
  EXPECT_EQ(before.used, permits);
  EXPECT_EQ(check_air_gap(around, settings, {}, permits, UtcMillis{1'790'000'000'000}).problems.size(), 1U);
  around.networks = {"eth0"};
  EXPECT_EQ(check_air_gap(around, settings, {}, permits, UtcMillis{1}).problems.size(), 1U) << "each by name";
}

}  // namespace
}  // namespace keyferry::appliance
