#include "appliance/plan/policy.h"

#include <gtest/gtest.h>

#include "appliance/gate/internal/people.h"
#include "appliance/plan/officer_card.h"
#include "wrap/base/random.h"
#include "wrap/crypto/soft_key.h"

namespace keyferry::appliance {
namespace {

std::uint32_t rule(const PolicyRules& rules, Operation operation) {
  return officers_needed(rules, operation, 99).value();
}

std::string reason(const std::optional<Refusal>& refusal) {
  return refusal ? refusal->reason : "";
}

TEST(PolicyTable, GivesEveryOperationARuleOfItsClass) {
  const PolicyRules rules = default_policy(5, 2);
  ASSERT_EQ(rules.size(), kOperationTable.size());
  for (const OperationRow& row : kOperationTable) {
    const std::uint32_t expected = row.quorum == QuorumClass::Single ? 1 : row.quorum == QuorumClass::Higher ? 3 : 2;
    EXPECT_EQ(rule(rules, row.operation), expected) << operation_name(row.operation);
  }
}

TEST(PolicyTable, NeedsOneOfficerForEverythingWhereThereIsOne) {
  for (const PolicyChangePlan::Rule& one : default_policy(1, 1)) EXPECT_EQ(one.officers_needed, 1U);
}

TEST(PolicyTable, NeverNeedsMoreOfficersThanThereAre) {
  EXPECT_EQ(highest_rule(default_policy(3, 3)), 3U);
}

TEST(PolicyTable, LetsOneOfficerStopSomethingAndNothingElse) {
  for (const OperationRow& row : kOperationTable) {
    EXPECT_EQ(row.quorum == QuorumClass::Single, row.operation == Operation::BatchSuspend)
        << operation_name(row.operation);
  }
}

TEST(PolicyTable, HasOneOperationForARestoredApplianceAndAllForARehearsal) {
  for (const OperationRow& row : kOperationTable) {
    EXPECT_EQ(row.state == ApplianceState::Restored, row.operation == Operation::HsmAdoptState);
    EXPECT_TRUE(row.allowed_in(Environment::Rehearsal));
    EXPECT_TRUE(row.allowed_in(Environment::Production));
  }
}

TEST(PolicyTable, LetsOfficersApproveAndNobodyElse) {
  for (const RoleRow& row : kRoleTable) EXPECT_EQ(row.approves, row.role == PersonRole::Officer);
  for (const OperationRow& row : kOperationTable) EXPECT_TRUE(role_row(row.who).approves);
}

TEST(PolicyTable, NamesEveryRoleAsPlansDo) {
  for (const RoleRow& row : kRoleTable) {
    EXPECT_EQ(role_from_name(role_name(row.role)), row.role);
    EXPECT_EQ(person_role(wire_role(row.role)), row.role);
    EXPECT_EQ(&role_row(row.role), &row);
  }
}

TEST(Policy, OfAnOlderProgramVersionCanBeChangedByOneOfficerMore) {
  const PolicyRules old{{Operation::Batch, 2}};
  EXPECT_EQ(officers_needed(old, Operation::PolicyChange, 3), 3U);
  EXPECT_EQ(officers_needed(old, Operation::PolicyChange, 2), 2U);
  EXPECT_EQ(officers_needed(old, Operation::OfficerAdd, 3), std::nullopt);
}

TEST(Policy, IsTakenWhenItIsTheDefaultOfThoseOfficers) {
  for (std::uint32_t officers = 3; officers < 8; ++officers) {
    for (std::uint32_t needed = 2; needed < officers; ++needed) {
      EXPECT_EQ(reason(check_policy(default_policy(officers, needed), officers, Environment::Production)), "");
    }
  }
}

TEST(Policy, IsRefusedInProductionWhereOneWouldDecideAlone) {
  EXPECT_EQ(reason(check_policy(default_policy(3, 1), 3, Environment::Production)), "policy-production");
  EXPECT_EQ(reason(check_policy(default_policy(3, 1), 3, Environment::Development)), "");
}

TEST(Policy, IsRefusedBelowWhatTheTableDemands) {
  PolicyRules rules = default_policy(3, 2);
  for (PolicyChangePlan::Rule& one : rules) {
    if (one.operation == Operation::HsmDestroyKey) one.officers_needed = 1;
  }
  EXPECT_EQ(reason(check_policy(rules, 3, Environment::Rehearsal)), "policy-higher");
  EXPECT_EQ(reason(check_policy(default_policy(3, 2), 2, Environment::Rehearsal)), "policy-officers");
}

TEST(FirstPersons, OfAProductionApplianceAreAQuorumAndOneMoreWithPinsInShares) {
  const auto refused = [](std::uint32_t officers, std::uint32_t needed, bool shares) {
    return reason(check_first_persons(officers, needed, Environment::Production, shares));
  };
  EXPECT_EQ(refused(1, 1, true), "init-quorum");
  EXPECT_EQ(refused(2, 2, true), "init-officers");
  EXPECT_EQ(refused(3, 2, false), "init-pins");
  EXPECT_EQ(refused(3, 2, true), "");
  EXPECT_EQ(reason(check_first_persons(0, 1, Environment::Development, false)), "init-officers");
  EXPECT_EQ(reason(check_first_persons(1, 1, Environment::Development, false)), "");
}

class OfficerCardTest : public ::testing::Test {
 protected:
  [[nodiscard]] OfficerCardFile make(const std::string& name = "A. Smith") {
    return make_officer_card(
        key_, PersonRole::Custodian, name, Environment::Rehearsal, UtcMillis{1'800'000'000'000}, random_);
  }

  static std::string refusal_of(const Bytes& octets) {
    const auto parsed = parse_officer_card_file(octets);
    const auto* refusal = std::get_if<Refusal>(&parsed);
    return refusal ? refusal->reason : "";
  }

  SystemRandom random_;
  crypto::SoftKey key_ = crypto::SoftKey::generate();
};

TEST_F(OfficerCardTest, ComesBackFromItsFile) {
  const OfficerCardFile made = make();
  const auto parsed = std::get<OfficerCardFile>(parse_officer_card_file(encode(made)));
  EXPECT_EQ(parsed.name, "A. Smith");
  EXPECT_EQ(parsed.card.role, PersonRole::Custodian);
  EXPECT_EQ(parsed.card.environment, Environment::Rehearsal);
  EXPECT_EQ(parsed.card.public_key, key_.public_key());
  EXPECT_EQ(parsed.card.name_hash, name_hash_of(made.salt, made.name));
  EXPECT_EQ(parsed.card.sha256, made.card.sha256);
}

TEST_F(OfficerCardTest, HoldsNoName) {
  const OfficerCardFile made = make();
  EXPECT_EQ(to_string(made.signed_card.payload).find("Smith"), std::string::npos);
}

TEST_F(OfficerCardTest, IsRefusedWithAnotherName) {
  OfficerCardFile changed = make();
  changed.name = "B. Smith";
  EXPECT_EQ(refusal_of(encode(changed)), "card-name");
}

TEST_F(OfficerCardTest, IsRefusedWhenAnotherKeySignedIt) {
  OfficerCardFile changed = make();
  crypto::SoftKey other = crypto::SoftKey::generate();
  changed.signed_card = token::sign_payload(other, crypto::SignatureKind::OfficerCard, changed.signed_card.payload);
  EXPECT_EQ(refusal_of(encode(changed)), "card-signature");
}

TEST_F(OfficerCardTest, IsNoApproval) {
  OfficerCardFile changed = make();
  changed.signed_card = token::sign_payload(key_, crypto::SignatureKind::Approval, changed.signed_card.payload);
  EXPECT_EQ(refusal_of(encode(changed)), "card-signature");
}

TEST_F(OfficerCardTest, RefusesWhatIsNoCard) {
  EXPECT_EQ(refusal_of({}), "card-malformed");
  EXPECT_EQ(refusal_of(Bytes(kMaxCardFileBytes + 1, 1)), "card-malformed");
  Bytes cut = encode(make());
  for (std::size_t size = 0; size < cut.size(); size += 7) {
    EXPECT_NE(refusal_of(Bytes(cut.begin(), cut.begin() + static_cast<std::ptrdiff_t>(size))), "") << size;
  }
}

TEST_F(OfficerCardTest, NeedsANameThatPrints) {
  EXPECT_THROW(static_cast<void>(make("")), Error);
  EXPECT_THROW(static_cast<void>(make("a\nb")), Error);
  EXPECT_THROW(static_cast<void>(make(std::string(101, 'a'))), Error);
}

}  // namespace
}  // namespace keyferry::appliance
