#include "appliance/plan/plan_families.h"

#include <gtest/gtest.h>

#include "tests/wrap/se/atecc608_example.h"

namespace keyferry::appliance {
namespace {

std::string text_of(const se::Atecc608Profile& profile) {
  return atecc608_text(profile);
}

std::string replaced(std::string text, std::string_view what, std::string_view with) {
  const std::size_t at = text.find(what);
  if (at == std::string::npos) throw std::runtime_error{"nothing to replace"};
  return text.replace(at, what.size(), with);
}

Refusal refusal_of(const std::string& text) {
  const auto parsed = parse_atecc608_profile(as_bytes(text));
  const auto* refusal = std::get_if<Refusal>(&parsed);
  return refusal != nullptr ? *refusal : Refusal{"", ""};
}

TEST(Atecc608Table, ReadsBackWhatItWrites) {
  se::Atecc608Profile profile = se::example_profile();
  for (int round = 0; round < 3; ++round) {
    const auto parsed = parse_atecc608_profile(as_bytes(text_of(profile)));
    ASSERT_TRUE(std::holds_alternative<se::Atecc608Profile>(parsed))
        << std::get<Refusal>(parsed).text;
    EXPECT_EQ(std::get<se::Atecc608Profile>(parsed), profile);
    if (round == 0) profile.certificate_chain = se::CertificateChain::Whole;
    if (round == 1) profile = {.configuration = profile.configuration,
                               .transport_slot = 4,
                               .target_slot = 0,
                               .certificate_slots = {8}};
  }
}

TEST(Atecc608Table, IsToldInSentences) {
  std::string all;
  for (const std::string& line : atecc608_sentences(se::example_profile())) all += line + "\n";
  for (const char* said : {"slot 0", "slot 4", "in the clear in a worker", "attested", "slots 8, 10, 12"})
    EXPECT_NE(all.find(said), std::string::npos) << said << "\n" << all;
}

TEST(Atecc608Table, IsReadStrictly) {
  const std::string good = text_of(se::example_profile());
  EXPECT_EQ(refusal_of(replaced(good, "transport_slot = 4", "transport_slot = 16")).reason, "plan-field");
  EXPECT_EQ(refusal_of(replaced(good, "\"plain\"", "\"der\"")).reason, "plan-field");
  EXPECT_EQ(refusal_of(replaced(good, "\"leaf\"", "\"root\"")).reason, "plan-field");
  EXPECT_EQ(refusal_of(replaced(good, "[8, 10, 12]", "[]")).reason, "plan-field");
  EXPECT_EQ(refusal_of(good + "speed = 1\n").reason, "plan-field");
  EXPECT_EQ(refusal_of(good + "\n[other]\nx = 1\n").reason, "plan-field");
  EXPECT_EQ(refusal_of(replaced(good, "[atecc608]", "[atecc508]")).reason, "plan-field");
  EXPECT_EQ(refusal_of("[atecc608").reason, "plan-syntax");
}

TEST(Atecc608Table, IsCheckedBeforeAnyKeyIsMade) {
  se::Atecc608Profile profile = se::example_profile();
  profile.configuration[96 + 8] |= 0x40;  // KeyConfig[4].ReqRandom
  EXPECT_EQ(refusal_of(text_of(profile)).reason, "atecc608-req-random");
  profile = se::example_profile();
  profile.configuration[20 + 1] &= 0xBF;  // SlotConfig[0] bit 14
  EXPECT_EQ(refusal_of(text_of(profile)).reason, "atecc608-target-slot");
}

Plan batch_plan() {
  Plan plan;
  plan.operation = Operation::Batch;
  plan.number = 4;
  plan.expires = *from_rfc3339("2026-12-22T08:00:00Z");
  BatchPlan batch;
  batch.site = "shenzhen-2";
  batch.family = se::Family::Atecc608;
  batch.key_name = "dac";
  batch.se_count = batch.target_count = 8;
  batch.segment_size = 8;
  batch.certificate_authority = "ca1";
  batch.certificate_template = "device";
  batch.certificate_subject = "CN={device_serial}";
  batch.not_before = *from_rfc3339("2026-11-22T00:00:00Z");
  batch.not_after = *from_rfc3339("2046-11-22T00:00:00Z");
  batch.due = *from_rfc3339("2027-02-01T00:00:00Z");
  batch.atecc608 = se::example_profile();
  plan.detail = batch;
  return plan;
}

TEST(Atecc608Batch, ReadsBackWithItsTable) {
  const std::string text = plan_text(batch_plan());
  const auto parsed = parse_plan(as_bytes(text));
  ASSERT_TRUE(std::holds_alternative<Plan>(parsed)) << std::get<Refusal>(parsed).text;
  EXPECT_EQ(std::get<Plan>(parsed).batch().atecc608, se::example_profile());
  EXPECT_EQ(plan_text(std::get<Plan>(parsed)), text);
}

TEST(Atecc608Batch, IsRefusedWithoutItsTable) {
  Plan plan = batch_plan();
  std::get<BatchPlan>(plan.detail).atecc608.reset();
  const auto parsed = parse_plan(as_bytes(plan_text(plan)));
  ASSERT_TRUE(std::holds_alternative<Refusal>(parsed));
  EXPECT_NE(std::get<Refusal>(parsed).text.find("atecc608"), std::string::npos);
}

TEST(Atecc608Batch, MayAskForFirmwareWhereThereIsAKeyForIt) {
  Plan plan = batch_plan();
  auto& batch = std::get<BatchPlan>(plan.detail);
  EXPECT_EQ(check_firmware(batch), std::nullopt);
  batch.firmware_sha256 = Digest{};
  EXPECT_EQ(check_firmware(batch), std::nullopt);
  batch.atecc608->secure_boot_slot.reset();
  ASSERT_TRUE(check_firmware(batch));
  EXPECT_EQ(check_firmware(batch)->reason, "batch-firmware");
  batch.atecc608.reset();
  batch.family = se::Family::Pkcs11;
  EXPECT_TRUE(check_firmware(batch));
}

TEST(Atecc608Batch, OfAnotherFamilyHasNoSuchTable) {
  Plan plan = batch_plan();
  std::get<BatchPlan>(plan.detail).family = se::Family::Pkcs11;
  const auto parsed = parse_plan(as_bytes(plan_text(plan)));
  ASSERT_TRUE(std::holds_alternative<Refusal>(parsed));
  EXPECT_NE(std::get<Refusal>(parsed).text.find("unknown"), std::string::npos);
}

}  // namespace
}  // namespace keyferry::appliance
