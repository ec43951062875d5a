#include "appliance/gate/surroundings.h"

#include <gtest/gtest.h>

#include "tests/support/sanitizers.h"

namespace keyferry::appliance {
namespace {

const Surroundings kGood{{}, false, false, UINT64_MAX};

TEST(AirGap, IsFineWithLoopbackAloneNoSwapNoCoresAndMemoryThatLocks) {
  EXPECT_TRUE(check_air_gap(kGood, {}, {}).problems.empty());
}

TEST(AirGap, NamesEachProblemAndTakesAnOverrideForThatOneOnly) {
  Surroundings around = kGood;
  around.networks = {"eth0"};
  around.swap_on = true;
  EXPECT_EQ(check_air_gap(around, {}, {}).problems.size(), 2U);
  const AirGapCheck check = check_air_gap(around, {}, {"network"});
  ASSERT_EQ(check.problems.size(), 1U);
  EXPECT_EQ(check.problems[0], "swap (swap is on)");
  ASSERT_EQ(check.overridden.size(), 1U);
  EXPECT_EQ(check.overridden[0], "network (up: eth0)");
}

TEST(AirGap, TakesNoOverrideForCoreDumps) {
  Surroundings around = kGood;
  around.core_dumps_on = true;
  EXPECT_EQ(check_air_gap(around, {}, {"network", "swap", "memlock"}).problems.size(), 1U);
}

TEST(AirGap, NamesAPinThatTheKernelDidNotLock) {
  Surroundings around = kGood;
  around.pin_locked = false;
  const AirGapCheck check = check_air_gap(around, {}, {});
  ASSERT_EQ(check.problems.size(), 1U);
  EXPECT_NE(check.problems[0].find("did not lock the memory of the PIN"), std::string::npos) << check.problems[0];
  EXPECT_NE(check.memlock.find("the PIN is NOT in locked memory"), std::string::npos) << check.memlock;
  EXPECT_EQ(check_air_gap(around, {}, {"memlock"}).overridden.size(), 1U);
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
  EXPECT_EQ(check_air_gap(around, settings, {"memlock"}).problems.size(), 1U);
}

}  // namespace
}  // namespace keyferry::appliance
