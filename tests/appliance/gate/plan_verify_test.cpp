// The table [verify] of a batch plan: how the checks at the end of the line are made.
#include "appliance/plan/plan_verify.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "appliance/plan/line_checks_of.h"
#include "tests/wrap/se/atecc608_example.h"

namespace keyferry::appliance {
namespace {

Plan batch(const std::optional<VerifyPlan>& verify, bool with_firmware = true) {
  Plan plan;
  plan.number = 7;
  plan.appliance = *ApplianceId::from_bytes(Bytes(32, 0xab));
  plan.expires = *from_rfc3339("2030-01-01T00:00:00Z");
  BatchPlan detail;
  detail.site = "site-1";
  detail.station = *StationId::from_bytes(Bytes(16, 2));
  detail.family = se::Family::Atecc608;
  detail.key_name = "dac";
  detail.se_count = detail.target_count = detail.segment_size = 64;
  detail.certificate_authority = "ca";
  detail.certificate_template = "device";
  detail.certificate_subject = "CN={device_serial}";
  detail.not_before = *from_rfc3339("2026-01-01T00:00:00Z");
  detail.not_after = *from_rfc3339("2036-01-01T00:00:00Z");
  detail.due = *from_rfc3339("2026-03-01T00:00:00Z");
  detail.atecc608 = se::example_profile();
  if (with_firmware) detail.firmware_sha256 = *Digest::from_bytes(Bytes(32, 3));
  detail.verify = verify;
  plan.detail = detail;
  return plan;
}

std::variant<Plan, Refusal> read(const std::string& text) { return parse_plan(as_bytes(text)); }

std::string changed(std::string text, const std::string& what, const std::string& with) {
  const std::size_t at = text.find(what);
  EXPECT_NE(at, std::string::npos) << what;
  return text.replace(at, what.size(), with);
}

std::string refused(const std::string& text) {
  const auto parsed = read(text);
  const auto* refusal = std::get_if<Refusal>(&parsed);
  return refusal == nullptr ? "taken" : refusal->text;
}

bool says(const Plan& plan, std::string_view what) {
  const auto lines = plan_sentences(plan);
  return std::ranges::any_of(lines, [&](const std::string& line) { return line.find(what) != std::string::npos; });
}

TEST(VerifyPlan, ReadsBackInEachForm) {
  const Digest key = *Digest::from_bytes(Bytes(32, 5));
  const std::vector<std::optional<VerifyPlan>> forms{
      std::nullopt,
      VerifyPlan{},
      VerifyPlan{.clock_skew_s = kMaxClockSkewSeconds},
      VerifyPlan{.chain_time = ChainTime::Issuing},
      VerifyPlan{.clock_skew_s = 60, .secure_boot_key_sha256 = key}};
  for (const auto& form : forms) {
    const std::string text = plan_text(batch(form));
    const auto parsed = read(text);
    ASSERT_TRUE(std::holds_alternative<Plan>(parsed)) << std::get<Refusal>(parsed).text;
    EXPECT_EQ(std::get<Plan>(parsed).batch().verify, form);
    EXPECT_EQ(plan_text(std::get<Plan>(parsed)), text);
  }
}

TEST(VerifyPlan, IsRefusedByItsField) {
  const std::string now = plan_text(batch(VerifyPlan{.clock_skew_s = 60}));
  EXPECT_NE(refused(changed(now, "\"now\"", "\"whenever\"")).find("chain_time"), std::string::npos);
  EXPECT_NE(refused(changed(now, "clock_skew_s = 60\n", "")).find("clock_skew_s"), std::string::npos);
  EXPECT_NE(refused(changed(now, "= 60", "= 604801")).find("clock_skew_s"), std::string::npos);
  EXPECT_NE(refused(changed(now, "\"now\"", "\"issuing\"")).find("clock_skew_s"), std::string::npos)
      << "no clock is asked";
  EXPECT_NE(refused(changed(now, "= 60\n", "= 60\nchain = false\n")).find("chain"), std::string::npos)
      << "which checks are made is no choice";
  EXPECT_NE(refused(changed(now, "= 60\n", "= 60\nfirmware = false\n")).find("firmware"), std::string::npos);
  const auto keyed = batch(VerifyPlan{.secure_boot_key_sha256 = Digest{}}, false);
  EXPECT_NE(refused(plan_text(keyed)).find("secure_boot_key_sha256"), std::string::npos)
      << "there is no firmware for it to verify";
}

TEST(VerifyPlan, IsSaidToWhoApprovesIt) {
  EXPECT_TRUE(says(batch(VerifyPlan{}), "the chain read back from its SE"));
  EXPECT_TRUE(says(batch(VerifyPlan{}), "the signature of the firmware image"));
  EXPECT_TRUE(says(batch(VerifyPlan{}, false), "No firmware image is checked"));
  EXPECT_TRUE(says(batch(VerifyPlan{.clock_skew_s = 90}), "wrong by 90 seconds"));
  EXPECT_TRUE(says(batch(VerifyPlan{.chain_time = ChainTime::Issuing}),
                   "valid at 2026-01-01T00:00:00Z: the station's clock is not asked"));
  EXPECT_TRUE(says(batch(VerifyPlan{.secure_boot_key_sha256 = Digest{}}), "secure-boot key that reads in words"));
  EXPECT_TRUE(says(batch(std::nullopt), "a plan of an older form"));
}

TEST(VerifyPlan, IsWhatTheManifestCarries) {
  const Plan plan = batch(VerifyPlan{.chain_time = ChainTime::Issuing});
  const auto checks = line_checks_of(plan.batch());
  ASSERT_TRUE(checks);
  EXPECT_EQ(checks->chain_time, token::ChainTime::Issuing);
  EXPECT_EQ(checks->issuing, plan.batch().not_before);
  EXPECT_FALSE(line_checks_of(batch(std::nullopt).batch()));
}

}  // namespace
}  // namespace keyferry::appliance
