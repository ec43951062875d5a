#include "tests/appliance/gate/gate_fixture.h"
#include "tests/support/command.h"
#include "wrap/base/durable_file.h"

namespace keyferry::appliance::test {
namespace {

class GateRollback : public GateFixture {
 protected:
  Error refusal_to_open(GateClient& gate) {
    try {
      static_cast<void>(open(gate));
    } catch (const Error& error) {
      return error;
    }
    ADD_FAILURE() << "the gate opened";
    return Error{Code::Internal, "opened"};
  }
};

TEST_F(GateRollback, RefusesALedgerThatIsOlderThanTheHsm) {
  auto gate = start_gate();
  make_appliance(*gate);
  gate.reset();
  ledger_.log.pop_back();
  gate = start_gate();
  EXPECT_EQ(refusal_to_open(*gate).code(), Code::Rollback);
}

TEST_F(GateRollback, RefusesAnEmptyLedgerBesideAnInitialisedHsm) {
  auto gate = start_gate();
  initialize(*gate);
  gate.reset();
  ledger_ = MemoryLedger{};
  gate = start_gate();
  EXPECT_EQ(refusal_to_open(*gate).code(), Code::Rollback);
}

TEST_F(GateRollback, RefusesALedgerWhoseLeavesWereEditedWhenTheCheckpointIsMissing) {
  auto gate = start_gate();
  make_appliance(*gate);
  gate.reset();
  ledger_.checkpoint.clear();
  ledger_.log[1][5] = static_cast<std::uint8_t>(ledger_.log[1][5] ^ 1);
  gate = start_gate();
  EXPECT_EQ(refusal_to_open(*gate).code(), Code::Rollback);
}

TEST_F(GateRollback, RefusesAnotherRegistryThanTheOneThatTheHsmNames) {
  auto gate = start_gate();
  make_appliance(*gate);
  gate.reset();
  v1::Registry edited = registry_;
  edited.mutable_officers(0)->set_number(7);
  ledger_.registries = {edited.SerializeAsString()};
  gate = start_gate();
  const Error error = refusal_to_open(*gate);
  EXPECT_EQ(error.code(), Code::Rollback);
  EXPECT_NE(std::string{error.what()}.find("registry"), std::string::npos);
}

TEST_F(GateRollback, RefusesAnHsmThatIsOlderThanAnActThatItsLogProves) {
  auto gate = start_gate();
  make_appliance(*gate);
  gate.reset();
  const auto copy = store_.folder() / "copy";
  std::filesystem::copy(store_.tokens(), copy, std::filesystem::copy_options::recursive);
  gate = start_gate();
  static_cast<void>(open(*gate));
  run(*gate, batch_plan(4, 4));
  gate.reset();
  std::filesystem::remove_all(store_.tokens());
  std::filesystem::rename(copy, store_.tokens());
  gate = start_gate();
  const Error error = refusal_to_open(*gate);
  EXPECT_EQ(error.code(), Code::Rollback) << error.what();
}

/// Ledger and HSM store are copies of the same moment, so they agree: only what is outside that disk can tell.
TEST_F(GateRollback, RefusesAnApprovalThatNamesALaterCheckpointThanARestoredHsmKnows) {
  auto gate = start_gate();
  make_appliance(*gate);
  gate.reset();
  const auto copy = store_.folder() / "copy";
  std::filesystem::copy(store_.tokens(), copy, std::filesystem::copy_options::recursive);
  const MemoryLedger ledger_copy = ledger_;
  gate = start_gate();
  static_cast<void>(open(*gate));
  v1::GateRequest report;
  report.mutable_report()->add_leaves()->mutable_note()->set_event("later");
  const std::string later = gate->call(report).done().checkpoint();
  gate.reset();
  std::filesystem::remove_all(store_.tokens());
  std::filesystem::rename(copy, store_.tokens());
  ledger_ = ledger_copy;
  gate = start_gate();
  ASSERT_TRUE(open(*gate).initialized());
  const Plan plan = batch_plan(4, 4);
  v1::Approval approval = approval_of(plan);
  approval.set_last_checkpoint(later);
  v1::GateRequest request = run_request(plan);
  *request.mutable_run_plan()->mutable_approvals(0) = sign_approval(approval, officer_);
  const Error error = refusal_of(*gate, std::move(request));
  EXPECT_NE(std::string{error.what()}.find("rolled back"), std::string::npos) << error.what();
  static_cast<void>(open(*gate));
  EXPECT_EQ(state_.open_plans_size(), 0);
}

TEST_F(GateRollback, CatchesUpOverReportedLeavesThatACheckpointCovers) {
  auto gate = start_gate();
  make_appliance(*gate);
  gate.reset();
  const auto copy = store_.folder() / "copy";
  std::filesystem::copy(store_.tokens(), copy, std::filesystem::copy_options::recursive);
  gate = start_gate();
  static_cast<void>(open(*gate));
  v1::GateRequest report;
  report.mutable_report()->add_leaves()->mutable_note()->set_event("test");
  ledger_.checkpoint = gate->call(report).done().checkpoint();
  gate.reset();
  std::filesystem::remove_all(store_.tokens());
  std::filesystem::rename(copy, store_.tokens());
  gate = start_gate();
  const std::size_t before = ledger_.log.size();
  ASSERT_TRUE(open(*gate).initialized());
  EXPECT_EQ(state_.log_size(), before + 1);
  v1::LogLeaf leaf;
  ASSERT_TRUE(leaf.ParseFromString(to_string(ledger_.log.back())));
  EXPECT_EQ(leaf.note().event(), "log.caught-up");
}

TEST_F(GateRollback, TriesAWrongPinOnceAndSaysSo) {
  auto gate = start_gate();
  initialize(*gate);
  gate.reset();
  gate = start_gate("9999999999");
  const Error error = refusal_to_open(*gate);
  EXPECT_EQ(error.code(), Code::Refused);
  EXPECT_NE(std::string{error.what()}.find("login"), std::string::npos) << error.what();
}

TEST_F(GateRollback, RefusesAProductionStoreInABuildWithTestHooks) {
  GateSettings settings = read_settings(settings_file_);
  settings.kind = Environment::Production;
  write_file_durably(settings_file_, as_bytes(settings_text(settings)), Overwrite::Replace);
  const auto done = keyferry::test::run_command("echo 1234567 | " KEYFERRY_BIN_DIR "/keyferry-hsm-gate --pin-fd 0 --settings " +
                                                settings_file_.string());
  EXPECT_EQ(done.status, 1);
  EXPECT_NE(done.output.find("test hooks"), std::string::npos) << done.output;
}

TEST_F(GateRollback, InitialisesOnce) {
  const auto gate = start_gate();
  initialize(*gate);
  v1::GateRequest request;
  request.mutable_initialize()->set_name("again");
  request.mutable_initialize()->set_environment(v1::ENVIRONMENT_DEVELOPMENT);
  request.mutable_initialize()->set_officer_key(to_string(officer_.public_key().point()));
  request.mutable_initialize()->set_officer_name_hash(std::string(32, 'n'));
  EXPECT_EQ(refusal_of(*gate, request).code(), Code::Refused);
}

}  // namespace
}  // namespace keyferry::appliance::test
