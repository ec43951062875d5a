#include "appliance/front/officer.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "keyferry/v1/governance.pb.h"
#include "tests/support/temp_folder.h"
#include "token/signed_bytes.h"
#include "wrap/base/error.h"

namespace keyferry::appliance {
namespace {

SecretBytes passphrase(std::string_view text) {
  return SecretBytes::copy_of(as_bytes(text));
}

Plan a_plan() {
  Plan plan;
  plan.operation = Operation::SourceAdd;
  plan.number = 7;
  plan.environment = Environment::Development;
  plan.expires = UtcMillis{1'800'000'000'000};
  plan.detail = SourceAddPlan{"acme", "officer-approved", {}};
  return std::get<Plan>(parse_plan(as_bytes(plan_text(plan))));
}

TEST(OfficerKey, ComesBackWithItsPassphrase) {
  const test::TempFolder folder;
  const auto made = make_officer_key(folder / "officer.pem", passphrase("correct horse"));
  const auto read = read_officer_key(folder / "officer.pem", passphrase("correct horse"));
  EXPECT_EQ(made.public_key(), read.public_key());
}

TEST(OfficerKey, IsRefusedWithAnotherPassphrase) {
  const test::TempFolder folder;
  static_cast<void>(make_officer_key(folder / "officer.pem", passphrase("correct horse")));
  try {
    static_cast<void>(read_officer_key(folder / "officer.pem", passphrase("wrong horse")));
    FAIL() << "not refused";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::Refused);
  }
}

TEST(OfficerKey, NeverReplacesAFile) {
  const test::TempFolder folder;
  static_cast<void>(make_officer_key(folder / "officer.pem", passphrase("correct horse")));
  EXPECT_THROW(
      static_cast<void>(make_officer_key(folder / "officer.pem", passphrase("correct horse"))),
      Error);
}

TEST(OfficerKey, IsReadableByItsOwnerOnly) {
  const test::TempFolder folder;
  static_cast<void>(make_officer_key(folder / "officer.pem", passphrase("correct horse")));
  const auto permissions = std::filesystem::status(folder / "officer.pem").permissions();
  EXPECT_EQ(permissions, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
}

TEST(Approval, SaysExactlyWhichPlanItIsFor) {
  auto officer = crypto::SoftKey::generate();
  const Plan plan = a_plan();
  const Bytes octets = sign_approval(plan, ApprovalFacts{3, 5, "note"}, officer);
  const auto value = std::get<token::SignedBytes>(token::parse_signed_bytes(octets));
  v1::Approval approval;
  ASSERT_TRUE(
      approval.ParseFromArray(value.payload.data(), static_cast<int>(value.payload.size())));
  EXPECT_EQ(approval.digest(), plan.digest.str());
  EXPECT_EQ(approval.plan_number(), 7U);
  EXPECT_EQ(approval.operation(), "source-add");
  EXPECT_EQ(approval.policy_epoch(), 3U);
  EXPECT_EQ(approval.registry_epoch(), 5U);
  EXPECT_EQ(approval.last_checkpoint(), "note");
  EXPECT_EQ(approval.officer_key_id(), officer.public_key().key_id().str());
}

TEST(Approval, VerifiesAsAnApprovalAndAsNothingElse) {
  auto officer = crypto::SoftKey::generate();
  const Bytes octets = sign_approval(a_plan(), ApprovalFacts{}, officer);
  const auto value = std::get<token::SignedBytes>(token::parse_signed_bytes(octets));
  EXPECT_TRUE(token::verify_signed(value, crypto::SignatureKind::Approval, officer.public_key()));
  EXPECT_FALSE(token::verify_signed(value, crypto::SignatureKind::TokenCard, officer.public_key()));
}

}  // namespace
}  // namespace keyferry::appliance
