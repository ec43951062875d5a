// Backup, restore and take-over against a front end that lies.
#include "tests/appliance/gate/gate_fixture.h"
#include "wrap/crypto/hash.h"

namespace keyferry::appliance::test {
namespace {

class WithShares : public GateFixture {
 protected:
  void SetUp() override {
    gate_ = start_with_shares();
    make_appliance(*gate_);
  }

  std::unique_ptr<GateClient> start_with_shares() {
    int ends[2];
    if (pipe(ends) != 0) throw Error{Code::Internal, "pipe"};
    const Fd reading{ends[0]}, writing{ends[1]};
    write_all(writing, as_bytes("2468135790\n"), "pipe");
    GateOptions options{.settings = settings_file_, .pin_fd = reading.get(), .insecure_allow = {}, .socket = {}};
    options.program = std::filesystem::path{KEYFERRY_BIN_DIR} / "keyferry-hsm-gate";
    options.backup_shares = "2/3";
    options.backup_share_folders = {store_.folder() / "shares"};
    options.backup_name = "test";
    return std::make_unique<GateClient>(options, ledger_);
  }

  [[nodiscard]] Plan backup_plan(std::uint32_t needed = 2, std::uint32_t shares = 3) {
    Plan draft = plan(Operation::HsmBackup);
    draft.detail = HsmBackupPlan{needed, shares, "test"};
    return parsed(draft);
  }

  [[nodiscard]] v1::GateRequest backup_request(const Plan& plan) {
    v1::GateRequest request;
    request.mutable_backup()->set_plan(to_string(plan.octets));
    *request.mutable_backup()->add_approvals() = sign_approval(approval_of(plan), officer_);
    return request;
  }

  std::unique_ptr<GateClient> gate_;
};

void expect_text(const Error& error, const std::string& part) {
  EXPECT_NE(std::string{error.what()}.find(part), std::string::npos) << error.what();
}

TEST_F(WithShares, ABackupNeedsTheOfficers) {
  v1::GateRequest request = backup_request(backup_plan());
  request.mutable_backup()->clear_approvals();
  EXPECT_EQ(refusal_of(*gate_, std::move(request)).code(), Code::Quorum);
}

TEST_F(WithShares, APlanForOtherSharesIsRefused) {
  expect_text(refusal_of(*gate_, backup_request(backup_plan(3, 3))), "split 2 of 3");
}

TEST_F(WithShares, ABackupPlanIsNotRunAsAnotherOperation) {
  EXPECT_EQ(refusal_of(*gate_, run_request(backup_plan())).code(), Code::Refused);
}

TEST_F(WithShares, AConnectionThatMadeABackupMakesNoKey) {
  const Plan batch = batch_plan(8, 4);
  run(*gate_, batch);
  static_cast<void>(open(*gate_));
  const v1::GateReply reply = gate_->call(backup_request(backup_plan()));
  ASSERT_TRUE(reply.has_backup());
  ledger_.checkpoint = reply.backup().checkpoint();
  const Made made = make(*gate_, segment_request(batch, 0));
  ASSERT_TRUE(made.error);
  EXPECT_NE(made.error->text().find("does nothing else"), std::string::npos) << made.error->text();
}

TEST_F(WithShares, APlanMakesOneBackup) {
  const Plan plan = backup_plan();
  const v1::GateReply reply = gate_->call(backup_request(plan));
  ledger_.checkpoint = reply.backup().checkpoint();
  gate_ = start_gate();
  static_cast<void>(open(*gate_));
  expect_text(refusal_of(*gate_, backup_request(plan)), "is used");
}

TEST_F(WithShares, NothingIsRestoredIntoAnHsmThatIsInUse) {
  const v1::GateReply made = gate_->call(backup_request(backup_plan()));
  gate_ = start_with_shares();
  v1::GateRequest request;
  request.mutable_restore()->set_backup(made.backup().backup());
  request.mutable_restore()->set_environment(v1::ENVIRONMENT_DEVELOPMENT);
  expect_text(refusal_of(*gate_, std::move(request)), "in use");
}

TEST_F(WithShares, AFileOfAnySizeOrContentIsRefusedBeforeTheHsmIsTouched) {
  const v1::GateReply made = gate_->call(backup_request(backup_plan()));
  const std::string& whole = made.backup().backup();
  gate_ = start_with_shares();
  for (std::size_t at = 0; at < whole.size(); at += 37) {
    for (const bool cut : {false, true}) {
      v1::GateRequest request;
      std::string file = cut ? whole.substr(0, at) : whole;
      if (!cut) file[at] = static_cast<char>(file[at] ^ 0x40);
      request.mutable_restore()->set_backup(file);
      request.mutable_restore()->set_environment(v1::ENVIRONMENT_DEVELOPMENT);
      const Error error = refusal_of(*gate_, std::move(request));
      EXPECT_EQ(error.code(), Code::Refused) << at << " " << error.what();
      EXPECT_EQ(std::string{error.what()}.find("in use"), std::string::npos) << at << ": it was believed";
    }
  }
}

TEST_F(WithShares, AnHsmThatWasNotRestoredTakesNothingOver) {
  Plan draft = plan(Operation::HsmAdoptState);
  draft.detail = HsmAdoptStatePlan{.old_appliance = *appliance_,
                                   .last_checkpoint_size = 1,
                                   .last_checkpoint_root = crypto::sha256({}),
                                   .last_plan_number = 0,
                                   .registry_digest = crypto::sha256({}),
                                   .backup_id = Bytes(kBackupIdBytes)};
  const Plan adopt = parsed(draft);
  v1::GateRequest request;
  request.mutable_adopt()->set_plan(to_string(adopt.octets));
  *request.mutable_adopt()->add_approvals() = sign_approval(approval_of(adopt), officer_);
  expect_text(refusal_of(*gate_, std::move(request)), "does not wait");
}

class WithoutShares : public GateFixture {};

TEST_F(WithoutShares, NoKeyLeaves) {
  const auto gate = start_gate();
  make_appliance(*gate);
  Plan draft = plan(Operation::HsmBackup);
  draft.detail = HsmBackupPlan{2, 3, "test"};
  const Plan backup = parsed(draft);
  v1::GateRequest request;
  request.mutable_backup()->set_plan(to_string(backup.octets));
  *request.mutable_backup()->add_approvals() = sign_approval(approval_of(backup), officer_);
  expect_text(refusal_of(*gate, std::move(request)), "no kf-backup");
}

}  // namespace
}  // namespace keyferry::appliance::test
