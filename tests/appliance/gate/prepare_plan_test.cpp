// The plan se-prepare: what it says, what it refuses.
#include <gtest/gtest.h>

#include "tests/appliance/gate/preparation_sample.h"
#include "wrap/crypto/hash.h"

namespace keyferry::appliance::test {
namespace {

Plan order(const SePreparePlan& detail = sample_preparation()) {
  Plan plan;
  plan.operation = Operation::SePrepare;
  plan.number = 9;
  plan.appliance = *ApplianceId::from_bytes(Bytes(32, 0xab));
  plan.expires = *from_rfc3339("2030-01-01T00:00:00Z");
  plan.detail = detail;
  return plan;
}

std::string reason_of(const Plan& plan) {
  const auto parsed = parse_plan(as_bytes(plan_text(plan)));
  const auto* refusal = std::get_if<Refusal>(&parsed);
  return refusal == nullptr ? "" : refusal->reason + ": " + refusal->text;
}

TEST(PreparePlan, ReadsBackWhatItWrites) {
  const Plan plan = order();
  const std::string text = plan_text(plan);
  const auto parsed = parse_plan(as_bytes(text));
  ASSERT_TRUE(std::holds_alternative<Plan>(parsed)) << std::get<Refusal>(parsed).text;
  EXPECT_EQ(plan_text(std::get<Plan>(parsed)), text);
  EXPECT_EQ(plan_subject(std::get<Plan>(parsed)), "room-1");
}

TEST(PreparePlan, ShowsTheConfigurationAndItsHash) {
  std::string all;
  const Plan plan = order();
  for (const std::string& line : plan_sentences(plan)) all += line + "\n";
  const auto& configuration = std::get<SePreparePlan>(plan.detail).profile.configuration;
  EXPECT_NE(all.find(to_hex(configuration)), std::string::npos);
  EXPECT_NE(all.find(crypto::sha256(configuration).hex()), std::string::npos);
  EXPECT_NE(all.find("up to 5 blank"), std::string::npos);
}

TEST(PreparePlan, RefusesAConfigurationThatWouldMakeChipsUseless) {
  SePreparePlan detail = sample_preparation();
  detail.profile.configuration[96 + 8] |= 0x40;  // ReqRandom in the transport slot
  EXPECT_NE(reason_of(order(detail)).find("atecc608-req-random"), std::string::npos);
  detail = sample_preparation();
  detail.profile.configuration[88] = 0xFE;
  EXPECT_NE(reason_of(order(detail)).find("configuration"), std::string::npos);
}

TEST(PreparePlan, RefusesKeysThatAreNone) {
  SePreparePlan detail = sample_preparation();
  detail.vendor_public_key.resize(40);
  EXPECT_NE(reason_of(order(detail)).find("vendor_public_key"), std::string::npos);
  detail = sample_preparation();
  detail.secure_boot_key.clear();
  EXPECT_NE(reason_of(order(detail)).find("secure_boot_slot"), std::string::npos);
  detail = sample_preparation();
  detail.mechanism = "aes-kwp";
  EXPECT_NE(reason_of(order(detail)).find("mechanism"), std::string::npos);
}

}  // namespace
}  // namespace keyferry::appliance::test
