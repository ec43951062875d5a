// A gate on a machine that is not as it should be. Its clock is wrong: nothing is signed but the plan that says what it may
// show. It is open somewhere: officers allow that for a time, and a file that says so by itself opens nothing.
#include <cstdlib>
#include <fstream>

#include "appliance/gate/clock_rules.h"
#include "appliance/gate/permits.h"
#include "appliance/gate/surroundings.h"
#include "tests/appliance/gate/gate_fixture.h"
#include "wrap/base/durable_file.h"

namespace keyferry::appliance::test {
namespace {

constexpr std::int64_t kDayS = 86'400;

/// For programs started while it lives: their clock is this much ahead of ours.
class ShiftedClock {
 public:
  explicit ShiftedClock(std::int64_t seconds) { setenv("KEYFERRY_CLOCK_SHIFT", std::to_string(seconds).c_str(), 1); }
  ~ShiftedClock() { unsetenv("KEYFERRY_CLOCK_SHIFT"); }
  ShiftedClock(const ShiftedClock&) = delete;
  ShiftedClock& operator=(const ShiftedClock&) = delete;
};

class WrongClock : public GateFixture {
 protected:
  void SetUp() override {
    auto gate = start_gate();
    make_appliance(*gate);
  }

  /// A gate on a machine whose clock is shifted, opened.
  std::unique_ptr<GateClient> shifted_gate(std::int64_t seconds) {
    const ShiftedClock shifted{seconds};
    auto gate = start_gate();
    EXPECT_TRUE(open(*gate).initialized());
    return gate;
  }

  v1::LogLeaf last_leaf() {
    v1::LogLeaf leaf;
    EXPECT_TRUE(leaf.ParseFromString(to_string(ledger_.log.back())));
    return leaf;
  }

  /// A CA more, with an approval that is good whatever the clock shows.
  Plan some_plan(const std::string& name) {
    Plan made = plan(Operation::CaCreate);
    const std::int64_t now = SystemClock{}.now().value;
    made.expires = UtcMillis{now + 100'000 * kDayS * 1000};
    made.detail = CaCreatePlan{name, "CN=" + name, UtcMillis{now}, UtcMillis{now + 1000 * kDayS * 1000}};
    return parsed(made);
  }

  Plan clock_plan(std::int64_t floor_shift_s) {
    Plan made = plan(Operation::ClockSet);
    const std::int64_t now = SystemClock{}.now().value + floor_shift_s * 1000;
    made.expires = UtcMillis{SystemClock{}.now().value + 100'000 * kDayS * 1000};
    made.detail = ClockSetPlan{UtcMillis{now - 60'000}, "a test of the clock"};
    return parsed(made);
  }
};

TEST_F(WrongClock, SignsNothingWhenItIsBehindTheLog) {
  auto gate = shifted_gate(-kDayS);
  const std::int64_t before = state_.last_leaf_ms();
  const Error error = refusal_of(*gate, run_request(some_plan("late")));
  EXPECT_NE(std::string{error.what()}.find("before the log's last leaf"), std::string::npos) << error.what();
  EXPECT_TRUE(last_leaf().has_refused());
  EXPECT_EQ(last_leaf().time_ms(), before) << "the refusal's leaf does not carry the wrong time";
  static_cast<void>(open(*gate));
  EXPECT_EQ(state_.last_leaf_ms(), before);
}

TEST_F(WrongClock, SignsNothingWhenItIsYearsAhead) {
  {
    auto gate = shifted_gate(70 * 365 * kDayS);
    const Error error = refusal_of(*gate, run_request(some_plan("future")));
    EXPECT_NE(std::string{error.what()}.find("400 days"), std::string::npos) << error.what();
  }
  auto gate = shifted_gate(0);
  run(*gate, some_plan("now"));  // the refusal of 2099 stopped nothing for good
}

TEST_F(WrongClock, IsSetByOfficersAfterALeafOfTheFuture) {
  {
    auto gate = shifted_gate(399 * kDayS);  // near enough to be believed
    run(*gate, some_plan("future"));
  }
  auto gate = shifted_gate(0);
  static_cast<void>(refusal_of(*gate, run_request(some_plan("now"))));
  run(*gate, clock_plan(0));
  run(*gate, some_plan("now"));
  static_cast<void>(open(*gate));
  EXPECT_LT(state_.last_leaf_ms(), SystemClock{}.now().value + 60'000);
}

TEST_F(WrongClock, IsNotSetToATimeThatItDoesNotShow) {
  auto gate = shifted_gate(0);
  const Error error = refusal_of(*gate, run_request(clock_plan(30 * kDayS)));
  EXPECT_NE(std::string{error.what()}.find("officers approved a clock"), std::string::npos) << error.what();
  static_cast<void>(refusal_of(*gate, run_request(clock_plan(-30 * kDayS))));
}

/// Settings that override nothing, on whatever machine this is.
class OpenMachine : public WrongClock {
 protected:
  void SetUp() override {
    const Surroundings around = look_around(SecretBytes{});
    if (around.networks.empty() && !around.swap_on) GTEST_SKIP() << "no network is up here and no swap is on";
    what_ = around.networks.empty() ? std::vector<std::string>{"swap"} : std::vector<std::string>{"network", "swap"};
    WrongClock::SetUp();
  }

  void override_nothing_but_memlock() {
    GateSettings settings = read_settings(settings_file_);
    settings.insecure_allow = {"memlock"};
    write_file_durably(settings_file_, as_bytes(settings_text(settings)), Overwrite::Replace);
  }

  Plan permit_plan(std::int64_t days) {
    Plan made = plan(Operation::InsecureAllow);
    made.detail = InsecureAllowPlan{what_, UtcMillis{SystemClock{}.now().value + days * kDayS * 1000}, "a test of permits"};
    return parsed(made);
  }

  /// What the gate says at its start; empty when it opened.
  std::string refusal_to_start() {
    try {
      auto gate = start_gate();
      static_cast<void>(open(*gate));
    } catch (const Error& error) {
      return error.what();
    }
    return {};
  }

  std::vector<std::string> what_;
};

TEST_F(OpenMachine, IsLetInWhileOfficersAllowIt) {
  auto gate = start_gate();
  static_cast<void>(open(*gate));
  run(*gate, permit_plan(1));
  gate.reset();
  override_nothing_but_memlock();
  EXPECT_EQ(refusal_to_start(), "");
  const ShiftedClock later{2 * kDayS};
  EXPECT_NE(refusal_to_start(), "") << "the permit has ended";
}

TEST_F(OpenMachine, IsNotLetInByAFileAlone) {
  override_nothing_but_memlock();
  EXPECT_NE(refusal_to_start(), "");
  std::vector<Permit> forged;
  for (const std::string& what : what_) forged.push_back({what, UtcMillis{SystemClock{}.now().value + kDayS * 1000}});
  write_permits(settings_file_, forged);
  EXPECT_NE(refusal_to_start().find("was not allowed by officers"), std::string::npos) << refusal_to_start();
}

TEST_F(OpenMachine, IsNotAllowedForLong) {
  auto gate = start_gate();
  static_cast<void>(open(*gate));
  EXPECT_NE(std::string{refusal_of(*gate, run_request(permit_plan(31))).what()}.find("30 days"), std::string::npos);
  EXPECT_NE(std::string{refusal_of(*gate, run_request(permit_plan(-1))).what()}.find("over already"), std::string::npos);
}

/// A gate that is asked to rest while a stick is looked at.
class RestingGate : public WrongClock {
 protected:
  /// Processes that the gate has started and not ended.
  static std::size_t workers_of(const GateClient& gate) {
    const std::string pid = std::to_string(gate.gate_pid());
    std::ifstream children{"/proc/" + pid + "/task/" + pid + "/children"};
    std::size_t count = 0;
    for (std::string child; children >> child;) ++count;
    return count;
  }
};

TEST_F(RestingGate, HasNobodyLoggedInUntilItIsOpenedAgain) {
  auto gate = start_gate();
  static_cast<void>(open(*gate));
  EXPECT_GE(workers_of(*gate), 2U);
  v1::GateRequest rest;
  rest.mutable_rest();
  static_cast<void>(gate->call(std::move(rest)));
  EXPECT_EQ(workers_of(*gate), 0U);
  EXPECT_NE(std::string{refusal_of(*gate, run_request(some_plan("early"))).what()}.find("not initialised"), std::string::npos);
  EXPECT_EQ(workers_of(*gate), 0U);
  static_cast<void>(open(*gate));
  run(*gate, some_plan("after"));
}

TEST_F(RestingGate, RefusesWhatWasSentRightBehind) {
  auto gate = start_gate();
  static_cast<void>(open(*gate));
  const std::size_t leaves = ledger_.log.size();
  for (int round = 0; round < 3; ++round) {  // none of them waits for the other's answer
    v1::GateRequest rest;
    rest.mutable_rest();
    const auto resting = gate->begin(std::move(rest));
    const auto running = gate->begin(run_request(some_plan("behind")));
    v1::GateRequest report;
    report.mutable_report();
    const auto reporting = gate->begin(std::move(report));
    EXPECT_NO_THROW(static_cast<void>(gate->finish(resting)));
    EXPECT_THROW(static_cast<void>(gate->finish(running)), Error);
    EXPECT_THROW(static_cast<void>(gate->finish(reporting)), Error);
    EXPECT_EQ(ledger_.log.size(), leaves) << "nobody was logged in who could sign a leaf";
    static_cast<void>(open(*gate));
  }
  run(*gate, some_plan("after"));
}

}  // namespace
}  // namespace keyferry::appliance::test
