// The quorum, past the front end: three officers of whom two are needed, and whatever a front end may try with fewer.
// Every operation of the policy table is tried.
#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "appliance/plan/officer_card.h"
#include "appliance/plan/policy.h"
#include "tests/appliance/gate/gate_fixture.h"
#include "tests/appliance/gate/preparation_sample.h"
#include "tests/appliance/gate/test_ca_chain.h"
#include "wrap/base/random.h"
#include "wrap/crypto/hash.h"

namespace keyferry::appliance::test {
namespace {

constexpr std::uint32_t kNeeded = 2;

v1::SignedBytes message_of(const token::SignedBytes& value) {
  v1::SignedBytes message;
  const Bytes octets = token::encode(value);
  EXPECT_TRUE(message.ParseFromArray(octets.data(), static_cast<int>(octets.size())));
  return message;
}

Digest any_digest(std::uint8_t octet = 7) {
  return *Digest::from_bytes(Bytes(32, octet));
}

BatchId any_batch() {
  return *BatchId::from_bytes(Bytes(16, 9));
}

DeviceRecord any_device() {
  return {.batch = any_batch(),
          .record_no = 1,
          .family = se::Family::Pkcs11,
          .se_serial = Bytes(16, 'a'),
          .certificate_serial = Bytes(16, 7),
          .device_serial = "SN-1"};
}

UtcMillis in_a_year() {
  return from_rfc3339(to_rfc3339(UtcMillis{SystemClock{}.now().value + 365 * 86'400'000LL})).value();
}

class Quorum : public GateFixture {
 protected:
  void SetUp() override {
    gate_ = start_gate();
    static_cast<void>(gate_->call(init_request()));
    ASSERT_TRUE(open(*gate_).initialized());
  }

  [[nodiscard]] v1::SignedBytes card(crypto::SoftKey& key,
                                     PersonRole role,
                                     Environment environment = Environment::Development) {
    return message_of(make_officer_card(key, role, "Somebody", environment, SystemClock{}.now(), random_).signed_card);
  }

  /// Persons 1 to 3 are officers, 4 a technician, 5 a custodian, 6 a witness.
  [[nodiscard]] v1::GateRequest init_request() {
    v1::GateRequest request;
    v1::InitializeRequest& initialize = *request.mutable_initialize();
    initialize.set_name("test-appliance");
    initialize.set_environment(v1::ENVIRONMENT_DEVELOPMENT);
    initialize.set_officers_needed(kNeeded);
    for (crypto::SoftKey* key : {&officer_, &second_, &third_})
      *initialize.add_officer_cards() = card(*key, PersonRole::Officer);
    *initialize.add_officer_cards() = card(technician_, PersonRole::Technician);
    *initialize.add_officer_cards() = card(custodian_, PersonRole::Custodian);
    *initialize.add_officer_cards() = card(witness_, PersonRole::Witness);
    return request;
  }

  [[nodiscard]] v1::SignedBytes approval_by(crypto::SoftKey& key,
                                            const Plan& plan,
                                            const std::function<void(v1::Approval&)>& change = nullptr) {
    v1::Approval approval = approval_of(plan);
    approval.set_officer_key_id(key.public_key().key_id().str());
    if (change) change(approval);
    return sign_approval(approval, key);
  }

  [[nodiscard]] static v1::GateRequest request_with(const Plan& plan, const std::vector<v1::SignedBytes>& approvals) {
    v1::GateRequest request;
    request.mutable_run_plan()->set_plan(to_string(plan.octets));
    for (const v1::SignedBytes& approval : approvals) *request.mutable_run_plan()->add_approvals() = approval;
    return request;
  }

  [[nodiscard]] v1::GateRequest approved(const Plan& plan, const std::vector<crypto::SoftKey*>& by) {
    std::vector<v1::SignedBytes> approvals;
    for (crypto::SoftKey* key : by) approvals.push_back(approval_by(*key, plan));
    return request_with(plan, approvals);
  }

  void run_by(const Plan& plan, const std::vector<crypto::SoftKey*>& by) {
    static_cast<void>(gate_->call(approved(plan, by)));
    static_cast<void>(open(*gate_));
  }

  /// Nothing is done but one leaf that says so.
  void expect_refused(v1::GateRequest request, const std::string& part_of_text) {
    const std::size_t leaves = ledger_.log.size();
    const std::size_t registries = ledger_.registries.size();
    const v1::HsmState before = state_;
    const Error error = refusal_of(*gate_, std::move(request));
    EXPECT_NE(std::string{error.what()}.find(part_of_text), std::string::npos) << error.what();
    EXPECT_NE(error.hint(), "") << error.what();
    ASSERT_EQ(ledger_.log.size(), leaves + 1) << "a refusal is a leaf";
    EXPECT_EQ(ledger_.registries.size(), registries);
    v1::LogLeaf leaf;
    ASSERT_TRUE(leaf.ParseFromString(to_string(ledger_.log.back())));
    EXPECT_TRUE(leaf.has_refused());
    static_cast<void>(open(*gate_));
    EXPECT_EQ(state_.counter(), before.counter() + 1);
    EXPECT_EQ(without_log(state_).ShortDebugString(), without_log(before).ShortDebugString());
  }

  [[nodiscard]] static v1::HsmState without_log(v1::HsmState state) {
    state.clear_counter();
    state.clear_log_size();
    state.clear_frontier();
    state.clear_checkpoint();
    state.clear_last_leaf_ms();
    return state;
  }

  [[nodiscard]] v1::LogLeaf last_leaf() const {
    v1::LogLeaf leaf;
    EXPECT_TRUE(leaf.ParseFromString(to_string(ledger_.log.back())));
    return leaf;
  }

  template <typename Detail>
  [[nodiscard]] Plan plan_for(Operation operation, Detail detail) {
    Plan made = plan(operation);
    made.detail = std::move(detail);
    return parsed(made);
  }

  [[nodiscard]] Plan disable(std::uint32_t number) {
    return plan_for(Operation::OfficerDisable, OfficerDisablePlan{number, "left"});
  }

  [[nodiscard]] PolicyChangePlan policy(std::uint32_t officers, std::uint32_t needed) const {
    return {default_policy(officers, needed), true, "change"};
  }

  /// A plan of every kind that parses.
  [[nodiscard]] Plan sample(Operation operation);

  SystemRandom random_;
  std::unique_ptr<GateClient> gate_;
  crypto::SoftKey second_ = crypto::SoftKey::generate();
  crypto::SoftKey third_ = crypto::SoftKey::generate();
  crypto::SoftKey technician_ = crypto::SoftKey::generate();
  crypto::SoftKey custodian_ = crypto::SoftKey::generate();
  crypto::SoftKey witness_ = crypto::SoftKey::generate();
  crypto::SoftKey newcomer_ = crypto::SoftKey::generate();
};

Plan Quorum::sample(Operation operation) {
  const Bytes key = to_bytes(newcomer_.public_key().point());
  const StationId station = *StationId::from_bytes(Bytes(16, 3));
  switch (operation) {
    case Operation::SourceAdd:
      return plan_for(operation, SourceAddPlan{"acme", "officer-approved", {}});
    case Operation::TransportMasterCreate:
      return plan_for(operation, TransportMasterPlan{"m", "kf-kdf-1"});
    case Operation::SeImport:
      return plan_for(operation, SeImportPlan{"acme", "a.csv", any_digest(), 4, std::nullopt, 0});
    case Operation::StationEnroll:
      return plan_for(operation, StationEnrollPlan{"line-1", "site-1", any_digest(), station});
    case Operation::CaCreate:
      return plan_for(
          operation,
          CaCreatePlan{
              "ca", "CN=Test CA", *from_rfc3339("2026-01-01T00:00:00Z"), *from_rfc3339("2060-01-01T00:00:00Z")});
    case Operation::CaRequest:
      return plan_for(operation, CaRequestPlan{"ca", "CN=Test CA"});
    case Operation::CaInstall:
      return plan_for(operation, CaInstallPlan{"ca", test_ca_chain(2)});
    case Operation::CaImport:
      return plan_for(operation, CaImportPlan{"ca", x509::CaKind::Intermediate, test_ca_chain(2)});
    case Operation::Batch:
      return batch_plan(4, 4);
    case Operation::BatchReexport:
      return plan_for(operation, BatchReexportPlan{any_batch(), "lost"});
    case Operation::TransportMasterImport:
      return plan_for(operation, TransportMasterImportPlan{"m", "kf-kdf-1", Bytes(kCheckValueBytes, 1)});
    case Operation::VendorKeyImport:
      return plan_for(operation, VendorKeyImportPlan{"v", "aes-kwp", Bytes(kCheckValueBytes, 1)});
    case Operation::VendorKeyCreate:
      return plan_for(operation, VendorKeyCreatePlan{"v", "rsa-oaep-sha256", 3072});
    case Operation::HsmBackup:
      return plan_for(operation, HsmBackupPlan{2, 3, "regular"});
    case Operation::HsmAdoptState:
      return plan_for(
          operation,
          HsmAdoptStatePlan{
              *ApplianceId::from_bytes(Bytes(32, 1)), 5, any_digest(), 3, any_digest(), Bytes(kBackupIdBytes, 1)});
    case Operation::OfficerAdd:
      return plan_for(operation, OfficerAddPlan{7, "officer", any_digest(), key});
    case Operation::OfficerReplace:
      return plan_for(operation, OfficerReplacePlan{3, key, "lost"});
    case Operation::OfficerDisable:
      return disable(4);
    case Operation::PolicyChange:
      return plan_for(operation, policy(3, 1));
    case Operation::HsmPinChange:
      return plan_for(operation, HsmPinChangePlan{{1, 2}, 2, "refresh"});
    case Operation::BatchSuspend:
      return plan_for(operation, BatchSuspendPlan{any_batch(), "look"});
    case Operation::BatchResume:
      return plan_for(operation, BatchResumePlan{any_batch(), "looked"});
    case Operation::BatchClose:
      return plan_for(operation, BatchClosePlan{any_batch(), {1, any_digest()}, "over"});
    case Operation::TokenLost:
      return plan_for(
          operation,
          TokenLostPlan{*TokenId::from_bytes(Bytes(16, 1)), any_batch(), "revoke", {1, any_digest()}, "gone"});
    case Operation::QuarantineRelease:
      return plan_for(operation, QuarantineReleasePlan{any_batch(), 1, "fixed"});
    case Operation::CrlIssue:
      return plan_for(operation, CrlIssuePlan{"ca", 1, {1, any_digest()}, in_a_year()});
    case Operation::StationRetire:
      return plan_for(operation, StationRetirePlan{station, 1, 4, {1, any_digest()}, "dead"});
    case Operation::CaRetire:
      return plan_for(operation, CaRetirePlan{"ca", "over"});
    case Operation::HsmDestroyKey:
      return plan_for(operation, HsmDestroyKeyPlan{"kf-tk/m", "over"});
    case Operation::ClockSet:
      return plan_for(operation, ClockSetPlan{in_a_year(), "battery"});
    case Operation::SePrepare:
      return plan_for(operation, sample_preparation());
    case Operation::BatchCertify:
      return plan_for(operation, BatchCertifyPlan{any_batch(), "outside", 4, any_digest()});
    case Operation::CaRevoke:
      return plan_for(operation, CaRevokePlan{"line", "ca", Bytes(16, 'c'), "cACompromise", "key copied"});
    case Operation::CrlImport:
      return plan_for(operation, CrlImportPlan{"outside", any_digest(), in_a_year(), {4, any_digest()}});
    case Operation::FamilyEnable:
      return plan_for(operation, FamilyEnablePlan{se::Family::Atecc608, "first line"});
    case Operation::InsecureAllow:
      return plan_for(operation, InsecureAllowPlan{{"swap"}, in_a_year(), "repair"});
    case Operation::DeviceRevoke:
      return plan_for(operation, DeviceRevokePlan{any_device(), "keyCompromise", "stolen"});
    case Operation::DeviceScrap:
      return plan_for(operation, DeviceScrapPlan{any_device(), 1, 2, any_digest(), "crushed"});
    case Operation::DeviceRework:
      return plan_for(operation, DeviceReworkPlan{any_device(), se::Family::Pkcs11, Bytes(16, 'b'), "failed"});
    case Operation::DeviceRma:
      return plan_for(operation, DeviceRmaPlan{any_device(), "R-1", "cessationOfOperation", "no network"});
  }
  throw Error{Code::Internal, "an operation without a sample"};
}

class EveryOperation : public Quorum, public ::testing::WithParamInterface<OperationRow> {
 protected:
  void SetUp() override {
    Quorum::SetUp();
    row_ = GetParam();
    rule_ = *officers_needed(default_policy(3, kNeeded), row_.operation, 3);
  }

  /// As many as the rule wants, without the last `fewer`.
  [[nodiscard]] std::vector<crypto::SoftKey*> enough_but(std::uint32_t fewer) {
    std::vector<crypto::SoftKey*> all{&officer_, &second_, &third_};
    all.resize(rule_ - fewer);
    return all;
  }

  /// Is it refused before approvals are looked at, in this state and environment?
  [[nodiscard]] bool never_here() const {
    return row_.state != ApplianceState::Operating || !row_.allowed_in(Environment::Development);
  }

  /// What the refusal says: the reason that comes first.
  [[nodiscard]] std::string says(const std::string& text) const { return never_here() ? "" : text; }

  OperationRow row_;
  std::uint32_t rule_ = 0;
};

TEST_P(EveryOperation, DoesNothingWithoutItsQuorum) {
  const Plan plan = sample(row_.operation);
  expect_refused(approved(plan, enough_but(1)), says(fmt::format("{} of {} officers have approved", rule_ - 1, rule_)));
  if (rule_ > 1) {
    std::vector<crypto::SoftKey*> twice = enough_but(1);
    twice.push_back(twice.front());
    expect_refused(approved(plan, twice), says("officer 1 approved it 2 times and counts once"));
  }
  for (crypto::SoftKey* other : {&technician_, &custodian_, &witness_}) {
    std::vector<crypto::SoftKey*> with_other = enough_but(1);
    with_other.push_back(other);
    expect_refused(approved(plan, with_other), says("may not approve"));
  }
  v1::GateRequest other_digest = approved(plan, enough_but(1));
  *other_digest.mutable_run_plan()->add_approvals() =
      approval_by(third_, plan, [](v1::Approval& approval) { approval.set_digest(std::string(32, 'd')); });
  expect_refused(other_digest, says("another plan"));
}

TEST_P(EveryOperation, DoesNothingForAnOfficerWhoWasDisabledOrReplaced) {
  Plan lower = plan_for(Operation::PolicyChange, policy(2, 2));
  run_by(lower, {&officer_, &second_, &third_});
  run_by(
      plan_for(Operation::OfficerReplace, OfficerReplacePlan{2, to_bytes(newcomer_.public_key().point()), "new key"}),
      {&officer_, &second_});
  run_by(disable(3), {&officer_, &newcomer_});
  newcomer_ = crypto::SoftKey::generate();
  const Plan plan = sample(row_.operation);
  expect_refused(approved(plan, {&officer_, &third_}), says("officer 3 is disabled"));
  expect_refused(approved(plan, {&officer_, &second_}), says("before it was replaced"));
}

INSTANTIATE_TEST_SUITE_P(PolicyTable,
                         EveryOperation,
                         ::testing::ValuesIn(kOperationTable),
                         [](const ::testing::TestParamInfo<OperationRow>& row) {
                           std::string name{operation_name(row.param.operation)};
                           std::ranges::replace(name, '-', '_');
                           return name;
                         });

TEST_F(Quorum, BeginsWithThePersonsOfTheCardsAndARuleForEveryOperation) {
  EXPECT_EQ(registry_.officers_size(), 6);
  EXPECT_EQ(registry_.policy().rules_size(), static_cast<int>(kOperationTable.size()));
  std::vector<std::string> roles;
  bool policy_said = false;
  for (const Bytes& octets : ledger_.log) {
    v1::LogLeaf leaf;
    ASSERT_TRUE(leaf.ParseFromString(to_string(octets)));
    if (leaf.has_person()) roles.push_back(leaf.person().role());
    policy_said = policy_said || leaf.policy().rules_size() == static_cast<int>(kOperationTable.size());
  }
  EXPECT_EQ(roles, (std::vector<std::string>{"officer", "officer", "officer", "technician", "custodian", "witness"}));
  EXPECT_TRUE(policy_said);
}

TEST_F(Quorum, LetsTwoOfThreeDoWhatTwoMay) {
  run_by(sample(Operation::SourceAdd), {&second_, &third_});
  EXPECT_EQ(registry_.sources_size(), 1);
}

TEST_F(Quorum, GetsNoBackupAndNoDeliveredKeyWithOneApproval) {
  const Plan backup = sample(Operation::HsmBackup);
  v1::GateRequest request;
  request.mutable_backup()->set_plan(to_string(backup.octets));
  *request.mutable_backup()->add_approvals() = approval_by(officer_, backup);
  expect_refused(request, "1 of 2 officers");
  const Plan import = sample(Operation::SeImport);
  request.Clear();
  request.mutable_check_delivered()->set_plan(to_string(import.octets));
  *request.mutable_check_delivered()->add_approvals() = approval_by(officer_, import);
  expect_refused(request, "1 of 2 officers");
}

TEST_F(Quorum, RefusesAPlanThatWouldUseUpTheNumbers) {
  Plan plan = sample(Operation::BatchSuspend);
  plan.number = 1'000'000'000;
  expect_refused(approved(parsed(plan), {&officer_}), "ahead of the last one");
}

TEST_F(Quorum, RefusesAnOperationWithoutARule) {
  PolicyChangePlan change = policy(3, 2);
  std::erase_if(change.rules, [](const PolicyChangePlan::Rule& rule) { return rule.operation == Operation::CaCreate; });
  run_by(plan_for(Operation::PolicyChange, change), {&officer_, &second_, &third_});
  expect_refused(approved(sample(Operation::CaCreate), {&officer_, &second_, &third_}),
                 "no rule for operation ca-create");
}

TEST_F(Quorum, PolicyChangeVoidsApprovalsGivenBefore) {
  Plan source = sample(Operation::SourceAdd);
  source.number += 1;
  source = parsed(source);
  const v1::GateRequest early = approved(source, {&officer_, &second_});
  run_by(sample(Operation::PolicyChange), {&officer_, &second_, &third_});
  EXPECT_EQ(last_leaf().policy().epoch(), 2U);
  EXPECT_EQ(state_.policy_epoch(), 2U);
  expect_refused(early, "policy or registry changed");
}

TEST_F(Quorum, RefusesAPolicyThatIsTooWeakOrCannotBeMet) {
  const auto with = [&](Operation operation, std::uint32_t needed) {
    PolicyChangePlan change = policy(3, 2);
    for (PolicyChangePlan::Rule& rule : change.rules) {
      if (rule.operation == operation) rule.officers_needed = needed;
    }
    return approved(plan_for(Operation::PolicyChange, change), {&officer_, &second_, &third_});
  };
  const auto says = [&](v1::GateRequest request, const std::string& text) {
    const Error error = refusal_of(*gate_, std::move(request));
    EXPECT_NE(std::string{error.what()}.find(text), std::string::npos) << error.what();
    static_cast<void>(open(*gate_));
    EXPECT_EQ(state_.policy_epoch(), 1U);
  };
  says(with(Operation::Batch, 4), "batch would need 4 officers, 3 are enabled");
  says(with(Operation::OfficerAdd, 1), "never needs fewer than a batch");
  says(with(Operation::BatchSuspend, 2), "batch-suspend needs 1 officer always");
}

TEST_F(Quorum, KeepsEnoughOfficersForTheHighestRule) {
  expect_refused(approved(disable(3), {&officer_, &second_}),
                 "2 officers would be left, and the policy's highest rule needs 3");
}

TEST_F(Quorum, GivesEachNumberAndEachKeyOnce) {
  const auto add = [&](std::uint32_t number, crypto::SoftKey& key) {
    const Plan plan = plan_for(Operation::OfficerAdd,
                               OfficerAddPlan{number, "custodian", any_digest(), to_bytes(key.public_key().point())});
    return approved(plan, {&officer_, &second_, &third_});
  };
  expect_refused(add(4, newcomer_), "person 4 is there already");
  expect_refused(add(7, technician_), "person 4 has it");
  static_cast<void>(gate_->call(add(7, newcomer_)));
  static_cast<void>(open(*gate_));
  EXPECT_EQ(last_leaf().person().event(), "enrolled");
  EXPECT_EQ(last_leaf().person().number(), 7U);
  EXPECT_EQ(registry_.officers_size(), 7);
  expect_refused(approved(plan_for(Operation::OfficerReplace,
                                   OfficerReplacePlan{1, to_bytes(newcomer_.public_key().point()), "mine"}),
                          {&officer_, &second_}),
                 "person 7 has it");
  expect_refused(
      approved(plan_for(Operation::OfficerReplace,
                        OfficerReplacePlan{9, to_bytes(crypto::SoftKey::generate().public_key().point()), "?"}),
               {&officer_, &second_}),
      "no person 9");
}

TEST_F(Quorum, ReplacesALostKeyWithTheOfficersThatAreLeft) {
  run_by(sample(Operation::OfficerReplace), {&officer_, &second_});
  EXPECT_EQ(last_leaf().person().event(), "replaced");
  EXPECT_EQ(registry_.officers(2).former_keys_size(), 1);
  run_by(sample(Operation::SourceAdd), {&officer_, &newcomer_});
  EXPECT_EQ(registry_.sources_size(), 1);
}

TEST_F(Quorum, TakesNoInitializationWithBadCards) {
  const auto refused = [&](const std::function<void(v1::InitializeRequest&)>& change, const std::string& text) {
    v1::GateRequest request = init_request();
    change(*request.mutable_initialize());
    const Error error = refusal_of(*gate_, std::move(request));
    EXPECT_NE(std::string{error.what()}.find(text), std::string::npos) << error.what();
  };
  refused([&](auto& r) { *r.mutable_officer_cards(1) = card(officer_, PersonRole::Witness); },
          "card 2 has the key of person 1");
  refused([&](auto& r) { *r.mutable_officer_cards(1) = card(second_, PersonRole::Officer, Environment::Rehearsal); },
          "environment rehearsal");
  refused([&](auto& r) { r.mutable_officer_cards(0)->mutable_signatures(0)->mutable_signature()->back() ^= 1; },
          "not signed by the key");
  refused([](auto& r) { r.set_officers_needed(4); }, "4 officers are needed for an approval, and 3 have a card");
  refused([&](auto& r) { r.set_officer_key(to_string(officer_.public_key().point())); }, "not with both");
}

class SuspendedBatch : public Quorum {
 protected:
  void SetUp() override {
    Quorum::SetUp();
    run_by(sample(Operation::TransportMasterCreate), {&officer_, &second_});
    run_by(sample(Operation::CaCreate), {&officer_, &second_});
    const token::SignedBytes asked = station_.request();
    v1::GateRequest enroll =
        approved(plan_for(Operation::StationEnroll,
                          StationEnrollPlan{station_.name, "site-1", crypto::sha256(asked.payload), station_.id()}),
                 {&officer_, &second_});
    *enroll.mutable_run_plan()->mutable_enrolment_request() = message_of(asked);
    static_cast<void>(gate_->call(std::move(enroll)));
    static_cast<void>(open(*gate_));
    batch_ = batch_plan(8, 4);
    run_by(batch_, {&officer_, &second_});
  }

  void suspend() {
    run_by(plan_for(Operation::BatchSuspend, BatchSuspendPlan{batch_.batch_id(), "look"}), {&third_});
    EXPECT_TRUE(last_leaf().suspend().suspended());
  }

  [[nodiscard]] v1::GateRequest export_request() const {
    v1::GateRequest request;
    request.mutable_export_token()->set_plan(to_string(batch_.octets));
    request.mutable_export_token()->set_token_id(std::string(16, 't'));
    return request;
  }

  Plan batch_;
};

TEST_F(SuspendedBatch, IsNeitherMadeNorExportedUntilItIsResumed) {
  const Made prepared = make(*gate_, segment_request(batch_, 0));
  ASSERT_FALSE(prepared.error) << prepared.error->text();
  suspend();
  v1::GateRequest commit_it;
  commit_it.mutable_segment_commit()->set_plan_digest(batch_.digest.str());
  commit_it.mutable_segment_commit()->set_first_leaf(ledger_.log.size());
  expect_refused(commit_it, "is suspended");
  expect_refused(segment_request(batch_, 1), "is suspended");
  v1::GateRequest manifest;
  manifest.mutable_manifest()->set_plan(to_string(batch_.octets));
  expect_refused(manifest, "is suspended");
  expect_refused(export_request(), "is suspended");
  expect_refused(approved(plan_for(Operation::BatchReexport, BatchReexportPlan{batch_.batch_id(), "again"}),
                          {&officer_, &second_}),
                 "is suspended");
  expect_refused(approved(plan_for(Operation::BatchResume, BatchResumePlan{batch_.batch_id(), "fine"}), {&officer_}),
                 "1 of 2 officers");
  run_by(plan_for(Operation::BatchResume, BatchResumePlan{batch_.batch_id(), "fine"}), {&officer_, &second_});
  static_cast<void>(commit(*gate_, batch_, prepared, 0));
  const Made second = make(*gate_, segment_request(batch_, 1));
  EXPECT_FALSE(second.error) << second.error->text();
}

}  // namespace
}  // namespace keyferry::appliance::test
