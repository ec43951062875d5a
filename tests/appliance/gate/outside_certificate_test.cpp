// What an outside CA may give: front end and worker ask the same object. Certificates are made by the product's builders and
// then broken in one place each.
#include "appliance/plan/outside_certificate.h"

#include <gtest/gtest.h>

#include <functional>

#include "appliance/plan/plan_outside.h"
#include "tests/wrap/x509/matter_fixture.h"

namespace keyferry::appliance {
namespace {

using x509::test::at;
using x509::test::Parts;

constexpr std::uint8_t kKeyUsage = 15;          // id-ce-keyUsage
constexpr std::uint8_t kBasicConstraints = 19;  // id-ce-basicConstraints

BatchPlan dac_batch(const x509::DeviceTemplate& dac) {
  BatchPlan batch;
  batch.family = se::Family::Pkcs11;
  batch.certificate_authority = "pai-elsewhere";
  batch.outside = true;
  batch.certificate_template = dac.name;
  batch.certificate_subject = dac.subject;
  batch.certificate_text = x509::template_text(dac);
  batch.not_before = dac.not_before;
  batch.not_after = dac.not_after;
  return batch;
}

class OutsideDac : public ::testing::Test {
 protected:
  /// The PAI's DAC with one thing wrong.
  [[nodiscard]] std::optional<Refusal> refusal_of(const std::function<void(Parts&)>& breaks,
                                                  UtcMillis now = at("2026-06-01T00:00:00Z")) {
    Parts parts = Parts::of(pki_.dac);
    breaks(parts);
    const OutsideCertificates rules{dac_batch(pki_.dac_template), {pki_.pai, pki_.paa}};
    auto checked = rules.check(parts.build(pki_.pai_key), x509::test::fields(), pki_.dac_key.public_key(), now);
    auto* refusal = std::get_if<Refusal>(&checked);
    return refusal == nullptr ? std::nullopt : std::optional{std::move(*refusal)};
  }

  void expect_rule(const std::function<void(Parts&)>& breaks, std::string_view rule, std::string_view clause) {
    const auto refusal = refusal_of(breaks);
    ASSERT_TRUE(refusal) << "it was taken";
    EXPECT_EQ(refusal->reason, "lint");
    EXPECT_NE(refusal->text.find(rule), std::string::npos) << refusal->text;
    EXPECT_NE(refusal->text.find(clause), std::string::npos) << refusal->text;
    EXPECT_NE(refusal->text.find("DEV-0001"), std::string::npos) << refusal->text;
  }

  [[nodiscard]] static Bytes valid_from(const char* time) {
    return x509::der::sequence({x509::der::time(at(time)), x509::der::time(at("9999-12-31T23:59:59Z"))});
  }

  x509::test::MatterPki pki_;
};

TEST_F(OutsideDac, IsTakenWhenNothingIsWrong) {
  const auto refusal = refusal_of([](Parts&) {});
  EXPECT_FALSE(refusal) << refusal->text;
}

TEST_F(OutsideDac, NeedsCriticalKeyUsage) {
  expect_rule(
      [](Parts& dac) {
        dac.set(kKeyUsage, false, x509::der::bit_string(Bytes{0x80}, 7));  // digitalSignature
      },
      "matter-dac-key-usage", "Matter 6.2.2.3");
}

TEST_F(OutsideDac, NeedsBasicConstraints) {
  expect_rule([](Parts& dac) { dac.remove(kBasicConstraints); }, "matter-dac-basic-constraints", "Matter 6.2.2.3");
}

/// A day of backdating is the CA's to choose, but not past its own beginning.
TEST_F(OutsideDac, BeginsNoEarlierThanItsPai) {
  pki_.dac_template.not_before = pki_.pai_spec.not_before;
  pki_.dac = pki_.make_dac();
  expect_rule([](Parts& dac) { dac.validity = valid_from("2026-01-31T12:00:00Z"); }, "chain-validity", "RFC 5280 6.1.3");
}

TEST_F(OutsideDac, StandsUnderAPaiThatItsOwnPaaSigned) {
  crypto::SoftKey stranger = crypto::SoftKey::generate();
  pki_.pai = Parts::of(pki_.pai).build(stranger);
  expect_rule([](Parts&) {}, "chain-signature", "RFC 5280 6.1.3");
}

TEST_F(OutsideDac, BeginsNoLaterThanADayFromNow) {
  const auto starts = [](Parts& dac) { dac.validity = valid_from("2026-06-02T00:00:00Z"); };
  EXPECT_FALSE(refusal_of(starts));
  const auto refusal = refusal_of(starts, at("2026-05-31T23:59:59Z"));
  ASSERT_TRUE(refusal) << "it was taken";
  EXPECT_EQ(refusal->reason, "certificate-not-yet-valid");
  EXPECT_NE(refusal->text.find("begins at 2026-06-02T00:00:00Z"), std::string::npos) << refusal->text;
  EXPECT_FALSE(refusal->hint.empty());
}

TEST(OutsideBatch, IsNotVerifiedAtItsIssuing) {
  x509::test::MatterPki pki;
  BatchPlan batch = dac_batch(pki.dac_template);
  batch.segment_size = 64;
  batch.verify = VerifyPlan{};
  EXPECT_FALSE(check_outside(batch));
  batch.verify = VerifyPlan{.chain_time = ChainTime::Issuing};
  const auto refusal = check_outside(batch);
  ASSERT_TRUE(refusal) << "it was taken";
  EXPECT_EQ(refusal->reason, "batch-outside-time");
  EXPECT_NE(refusal->hint.find("--chain-time"), std::string::npos) << refusal->hint;
  batch.outside = false;
  EXPECT_FALSE(check_outside(batch)) << "the appliance's own CAs issue for the plan's time";
}

}  // namespace
}  // namespace keyferry::appliance
