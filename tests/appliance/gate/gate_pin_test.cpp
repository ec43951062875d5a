// Wrong PINs over several starts of the gate, and what a person does about them.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "tests/appliance/gate/gate_fixture.h"
#include "tests/support/command.h"
#include "wrap/p11/module.h"
#include "wrap/p11/session.h"

namespace keyferry::appliance::test {
namespace {

class GatePin : public GateFixture {
 protected:
  Error refusal_to_open(const std::string& pin) {
    const auto gate = start_gate(pin);
    v1::GateRequest request;
    request.mutable_open()->set_log_size(ledger_.log.size());
    request.mutable_open()->set_checkpoint(ledger_.checkpoint);
    for (const std::string& registry : ledger_.registries) request.mutable_open()->add_registries(registry);
    return refusal_of(*gate, std::move(request));
  }

  [[nodiscard]] std::string count() const { return to_string(read_file(store_.folder() / "gate.pin-tries", 256)); }

  [[nodiscard]] std::string forget() const {
    const auto done = keyferry::test::run_command(KEYFERRY_BIN_DIR "/keyferry-hsm-gate --forget-wrong-pins --settings " +
                                                  settings_file_.string());
    EXPECT_EQ(done.status, 0) << done.output;
    return done.output;
  }

  /// As another program on the same machine would: SoftHSM reads its configuration once per process.
  void change_pin(const std::string& from, const std::string& to) const {
    const pid_t pid = fork();
    if (pid == 0) {
      setenv("SOFTHSM2_CONF", store_.config().c_str(), 1);
      p11::Module module{test_support::softhsm_module()};
      for (const p11::TokenInfo& token : module.tokens()) {
        if (!token.initialised) continue;
        p11::Session session{module, token.slot, p11::Access::ReadWrite};
        _exit(session.set_pin(test_support::pin(from), test_support::pin(to)) == p11::LoginResult::Ok ? 0 : 1);
      }
      _exit(2);
    }
    int raw = 0;
    waitpid(pid, &raw, 0);
    ASSERT_TRUE(WIFEXITED(raw) && WEXITSTATUS(raw) == 0);
  }

  static pid_t first_child_of(pid_t parent) {
    std::ifstream children{"/proc/" + std::to_string(parent) + "/task/" + std::to_string(parent) + "/children"};
    pid_t child = 0;
    children >> child;
    return child;
  }
};

TEST_F(GatePin, StopsAfterTwoWrongOnesUntilAPersonSaysOtherwise) {
  {
    const auto gate = start_gate();
    initialize(*gate);
  }
  EXPECT_NE(std::string{refusal_to_open("9999999999").what()}.find("1 of 2"), std::string::npos);
  EXPECT_NE(std::string{refusal_to_open("8888888888").what()}.find("2 of 2"), std::string::npos);
  EXPECT_EQ(count(), "keyferry-pin-tries 1\nwrong 2\n");
  const Error stopped = refusal_to_open("2468135790");
  EXPECT_EQ(stopped.code(), Code::Refused);
  EXPECT_NE(std::string{stopped.what()}.find("2 wrong PINs in a row"), std::string::npos) << stopped.what();
  EXPECT_NE(stopped.hint().find("--forget-wrong-pins"), std::string::npos) << stopped.hint();
  EXPECT_NE(forget().find("2 wrong PINs forgotten"), std::string::npos);
  const auto gate = start_gate();
  EXPECT_TRUE(open(*gate).initialized());
  EXPECT_EQ(count(), "keyferry-pin-tries 1\nwrong 0\n");
}

TEST_F(GatePin, CountsFromNothingAfterARightOne) {
  {
    const auto gate = start_gate();
    initialize(*gate);
  }
  static_cast<void>(refusal_to_open("9999999999"));
  {
    const auto gate = start_gate();
    EXPECT_TRUE(open(*gate).initialized());
  }
  EXPECT_NE(std::string{refusal_to_open("8888888888").what()}.find("1 of 2"), std::string::npos);
}

TEST_F(GatePin, CountsAWorkersWrongOneThoughTheFirstWorkersWasRight) {
  GateSettings settings = read_settings(settings_file_);
  settings.keys_per_worker = 4;
  write_file_durably(settings_file_, as_bytes(settings_text(settings)), Overwrite::Replace);
  const auto gate = start_gate();
  make_appliance(*gate);
  const Plan plan = batch_plan(12, 4);
  run(*gate, plan);
  static_cast<void>(commit(*gate, plan, make(*gate, segment_request(plan, 0)), 0));
  change_pin("2468135790", "1111111111");
  const Made refused = make(*gate, segment_request(plan, 1));  // by a new worker: the first one is worn
  ASSERT_TRUE(refused.error);
  EXPECT_NE(refused.error->text().find("1 of 2"), std::string::npos) << refused.error->text();
  ASSERT_TRUE(make(*gate, segment_request(plan, 2)).error);
  EXPECT_EQ(count(), "keyferry-pin-tries 1\nwrong 1\n") << "it is not tried again";
}

TEST_F(GatePin, SaysWhichFilterEndedAWorker) {
  const auto gate = start_gate();
  initialize(*gate);
  ASSERT_EQ(kill(first_child_of(gate->gate_pid()), SIGSYS), 0);  // the state worker, started first
  v1::GateRequest report;
  report.mutable_report()->add_leaves()->mutable_note()->set_event("test");
  const Error error = refusal_of(*gate, report);
  EXPECT_EQ(error.code(), Code::Channel);
  EXPECT_NE(std::string{error.what()}.find("system call filter"), std::string::npos) << error.what();
}

TEST_F(GatePin, TellsHowGateAndWorkersAreHardened) {
  const auto gate = start_gate();
  initialize(*gate);
  const v1::Opened opened = open(*gate);
  std::string facts;
  for (const std::string& fact : opened.facts().facts()) facts += fact + "\n";
  for (const char* who : {"gate: ", "worker: "}) {
    for (const char* part : {"not dumpable, no core image", "no new privileges", "ends with its parent", "the PIN is in locked memory"}) {
      EXPECT_NE(facts.find(std::string{who} + part), std::string::npos) << who << part << "\n" << facts;
    }
  }
  EXPECT_NE(opened.facts().memlock().find("the PIN is in locked memory"), std::string::npos) << opened.facts().memlock();
}

TEST_F(GatePin, MakesKeysUnderTheFilterForNetworkModulesToo) {
  GateSettings settings = read_settings(settings_file_);
  settings.filter = SystemCallFilter::NetworkModule;
  write_file_durably(settings_file_, as_bytes(settings_text(settings)), Overwrite::Replace);
  const auto gate = start_gate();
  make_appliance(*gate);
  const Plan plan = batch_plan(4, 4);
  run(*gate, plan);
  EXPECT_FALSE(commit(*gate, plan, make(*gate, segment_request(plan, 0)), 0).trailer().empty());
}

TEST_F(GatePin, ShowsThatTheFilterIsOffWhenTheSettingsSaySo) {
  GateSettings settings = read_settings(settings_file_);
  settings.filter = SystemCallFilter::Off;
  write_file_durably(settings_file_, as_bytes(settings_text(settings)), Overwrite::Replace);
  const auto gate = start_gate();
  initialize(*gate);
  std::string insecure;
  const v1::Opened opened = open(*gate);
  for (const std::string& one : opened.facts().insecure()) insecure += one + "\n";
  EXPECT_NE(insecure.find("seccomp (no system call filter"), std::string::npos) << insecure;
}

TEST(GateSettingsFile, RefusesProductionWithoutAFilterAndUnknownFilters) {
  const std::string text = "version = 1\n[hsm]\nuri = \"pkcs11:token=x?module-path=/x.so\"\n[gate]\n";
  EXPECT_THROW(static_cast<void>(parse_settings(as_bytes(text + "environment = \"production\"\nseccomp = \"off\"\n"), "x")), Error);
  EXPECT_THROW(static_cast<void>(parse_settings(as_bytes(text + "seccomp = \"lax\"\n"), "x")), Error);
  const GateSettings network = parse_settings(as_bytes(text + "seccomp = \"network-module\"\n"), "x");
  EXPECT_EQ(network.filter, SystemCallFilter::NetworkModule);
  EXPECT_EQ(parse_settings(as_bytes(settings_text(network)), "x").filter, SystemCallFilter::NetworkModule);
  EXPECT_EQ(parse_settings(as_bytes(text), "x").filter, SystemCallFilter::Strict);
}

}  // namespace
}  // namespace keyferry::appliance::test
