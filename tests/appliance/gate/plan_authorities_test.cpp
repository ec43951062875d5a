// Plans about CAs, and templates in batch plans: what the octets alone can tell.
#include <gtest/gtest.h>

#include "appliance/plan/ca_chain.h"
#include "appliance/plan/plan.h"
#include "tests/appliance/gate/test_ca_chain.h"
#include "wrap/x509/template.h"

namespace keyferry::appliance {
namespace {

const UtcMillis kFrom = *from_rfc3339("2026-01-01T00:00:00Z");
const UtcMillis kTo = *from_rfc3339("2040-01-01T00:00:00Z");

Plan plan_of(Operation operation, decltype(Plan::detail) detail) {
  Plan plan;
  plan.operation = operation;
  plan.number = 7;
  plan.appliance = *ApplianceId::from_bytes(Bytes(32, 0xab));
  plan.expires = *from_rfc3339("2030-01-01T00:00:00Z");
  plan.detail = std::move(detail);
  return plan;
}

CaCreatePlan pai() {
  CaCreatePlan plan{"pai", "CN=ACME PAI", kFrom, kTo};
  plan.kind = x509::CaKind::MatterPai;
  plan.issuer = "paa";
  plan.matter = {std::uint16_t{0xFFF1}, std::uint16_t{0x8000}, x509::MatterForm::Attributes};
  return plan;
}

Plan dac_batch() {
  x509::DeviceTemplate device;
  device.name = x509::kMatterDacTemplateName;
  device.subject = "CN=ACME {device_serial}";
  device.matter = pai().matter;
  BatchPlan batch;
  batch.site = "site-1";
  batch.station = *StationId::from_bytes(Bytes(16, 2));
  batch.key_name = "dac";
  batch.se_count = batch.target_count = 4;
  batch.segment_size = 4;
  batch.certificate_authority = "pai";
  batch.certificate_template = device.name;
  batch.certificate_subject = device.subject;
  batch.certificate_text = x509::template_text(device);
  batch.not_before = kFrom;
  batch.not_after = kTo;
  batch.due = kTo;
  return plan_of(Operation::Batch, batch);
}

struct Case {
  const char* what;
  Plan plan;
  const char* from;
  const char* to;
  const char* named;
};

class AuthorityPlan : public ::testing::TestWithParam<Case> {};

TEST_P(AuthorityPlan, IsReadBackAndRefusedWhenOneFieldIsWrong) {
  const std::string text = plan_text(GetParam().plan);
  const auto parsed = parse_plan(as_bytes(text));
  ASSERT_TRUE(std::holds_alternative<Plan>(parsed)) << std::get<Refusal>(parsed).text;
  EXPECT_EQ(plan_text(std::get<Plan>(parsed)), text);
  EXPECT_GT(plan_sentences(std::get<Plan>(parsed)).size(), 2U);
  std::string bad = text;
  const std::size_t at = bad.find(GetParam().from);
  ASSERT_NE(at, std::string::npos) << text;
  bad.replace(at, std::string_view{GetParam().from}.size(), GetParam().to);
  const auto refused = parse_plan(as_bytes(bad));
  ASSERT_TRUE(std::holds_alternative<Refusal>(refused)) << bad;
  EXPECT_NE(std::get<Refusal>(refused).text.find(GetParam().named), std::string::npos)
      << std::get<Refusal>(refused).text;
}

INSTANTIATE_TEST_SUITE_P(
    Cases, AuthorityPlan,
    ::testing::Values(
        Case{"VendorOfLowerCase", plan_of(Operation::CaCreate, pai()), "FFF1", "fff1", "vendor_id"},
        Case{"PaiWithoutVendor", plan_of(Operation::CaCreate, pai()), "vendor_id = \"FFF1\"\n", "", "vendor"},
        Case{"PaiWithoutIssuer", plan_of(Operation::CaCreate, pai()), "issuer = \"paa\"\n", "", "issuer"},
        Case{"PaaWithIssuer", plan_of(Operation::CaCreate, pai()), "matter-pai", "matter-paa", "issuer"},
        Case{"PaiThatIsItsOwnIssuer", plan_of(Operation::CaCreate, pai()), "issuer = \"paa\"", "issuer = \"pai\"",
             "itself"},
        Case{"PaiWithPathLength", plan_of(Operation::CaCreate, pai()),
             "issuer =", "path_length = 1\nissuer =", "path_length"},
        Case{"UnknownTemplate", plan_of(Operation::CaCreate, pai()), "matter-pai", "matter-pie", "template"},
        Case{"RequestOfARoot", plan_of(Operation::CaRequest, CaRequestPlan{"ca", "CN=A"}), "intermediate", "root",
             "self-signed"},
        Case{"RequestSubject", plan_of(Operation::CaRequest, CaRequestPlan{"ca", "CN=A"}), "CN=A", "CN={lot}",
             "subject"},
        Case{"InstallWithoutAnchor", plan_of(Operation::CaInstall, CaInstallPlan{"ca", test_ca_chain(2)}), "\"3082",
             "\"3083", "certificate"},
        Case{"ImportAsRoot",
             plan_of(Operation::CaImport, CaImportPlan{"ca", x509::CaKind::Intermediate, test_ca_chain(2)}),
             "intermediate", "root", "2 certificates"},
        Case{"ImportNoHex", plan_of(Operation::CaImport, CaImportPlan{"ca", x509::CaKind::Root, test_ca_chain(1)}),
             "\"3082", "\"xx82", "hex"},
        Case{"BatchTemplateUnknownKey", dac_batch(), "[certificate]\n", "[certificate]\ncolour = 1\n", "colour"},
        Case{"BatchTemplateWithAComment", dac_batch(), "[certificate]\n", "[certificate]\n# x\n", "certificate"},
        Case{"BatchTemplateName", dac_batch(), "certificate_template = \"matter-dac\"",
             "certificate_template = \"custom\"", "certificate_template"},
        Case{"BatchTemplateSubject", dac_batch(), "certificate_subject = \"CN=ACME", "certificate_subject = \"CN=OTHER",
             "certificate_subject"},
        Case{"BatchTemplateNotLast", dac_batch(), "[batch]\n", "[certificate]\n[batch]\n", ""},
        Case{"BatchTemplateMissing", dac_batch(), "\n[certificate]\n", "\n", ""}),
    [](const auto& one) { return std::string{one.param.what}; });

TEST(CertificateTable, TextInAStringIsNoTable) {
  Plan plan = dac_batch();
  const std::string text = plan_text(plan);
  const std::size_t at = text.find("\n[certificate]\n");
  const std::string table = text.substr(at);
  // The lines stand inside of a string of another table: the plan then has no table [certificate].
  const auto parsed = parse_plan(as_bytes(text.substr(0, at) + "\nnote = \"\"\"" + table + "\"\"\"\n"));
  EXPECT_TRUE(std::holds_alternative<Refusal>(parsed));
}

TEST(CaChain, TellsWhatIsWrongWithIt) {
  const auto reason = [](const std::vector<Bytes>& chain) {
    const auto read = read_ca_chain(chain);
    const auto* refusal = std::get_if<Refusal>(&read);
    return refusal == nullptr ? std::string{} : refusal->reason;
  };
  const std::vector<Bytes> good = test_ca_chain(2);
  EXPECT_EQ(reason(good), "");
  EXPECT_EQ(reason({}), "chain-empty");
  EXPECT_EQ(reason({good[0]}), "chain-anchor");
  EXPECT_EQ(reason({good[1], good[0]}), "chain-path-length");
  EXPECT_EQ(reason({good[0], good[0], good[1]}), "chain-path-length");
  EXPECT_EQ(reason({good[0], good[1], good[1], good[1]}), "chain-too-long");
  std::vector<Bytes> forged = good;
  forged[0].back() ^= 1;
  EXPECT_EQ(reason(forged), "chain-signature");
  EXPECT_EQ(reason({Bytes(kMaxCaCertificateBytes + 1, 0x30)}), "certificate-size");
}

TEST(CaChain, IsHeldAgainstTheClock) {
  const auto read = read_ca_chain(test_ca_chain(2));
  const auto& facts = std::get<std::vector<x509::CertificateFacts>>(read);
  EXPECT_EQ(check_valid_at(facts, kFrom), std::nullopt);
  EXPECT_EQ(check_valid_at(facts, *from_rfc3339("2019-01-01T00:00:00Z")).value().reason, "chain-not-yet-valid");
  EXPECT_EQ(check_valid_at(facts, *from_rfc3339("2119-06-01T00:00:00Z")).value().reason, "chain-expired");
}

}  // namespace
}  // namespace keyferry::appliance
