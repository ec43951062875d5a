// Template files, the template "custom", and chains of two to four.
#include <gtest/gtest.h>

#include <fstream>

#include "tests/support/command.h"
#include "tests/support/temp_folder.h"
#include "tests/wrap/x509/matter_fixture.h"
#include "wrap/x509/issued.h"
#include "wrap/x509/lint.h"
#include "wrap/x509/path.h"
#include "wrap/x509/pem.h"

namespace keyferry::x509 {
namespace {

using test::at;
using test::facts_of;
using test::reason;

constexpr std::string_view kCustom = R"(
template = "custom"
subject = "CN={device_serial},O=ACME,ST=Saxony,L=Leipzig,DC=acme,DC=example"
not_before = "2026-06-01T00:00:00Z"
not_after = "2036-06-01T00:00:00Z"
alt_names = ["dns:{device_serial}.devices.example", "uri:urn:acme:{se_serial}", "ip:2001:db8::1",
             "email:{device_serial}@acme.example", "hw:1.3.6.1.4.1.99999.1:{se_serial}"]
key_usage = ["digitalSignature", "keyAgreement"]
extended_key_usage = ["clientAuth", "1.3.6.1.4.1.99999.7"]
policies = ["1.3.6.1.4.1.99999.8"]
extensions = [{ oid = "1.3.6.1.4.1.99999.9", critical = false, value = "0c0568656c6c6f" }]
)";

DeviceTemplate parsed(std::string_view text) {
  auto read = parse_template(text);
  if (const auto* refusal = std::get_if<Refusal>(&read)) throw to_error(*refusal);
  return std::get<DeviceTemplate>(read);
}

DeviceTemplate under(DeviceTemplate device_template, const CertificateFacts& issuer) {
  device_template.issuer_name = issuer.subject_name;
  device_template.issuer_key_identifier = issuer.subject_key_identifier;
  return device_template;
}

TEST(TemplateText, IsReadBackToTheEqualValue) {
  const DeviceTemplate custom = parsed(kCustom);
  EXPECT_EQ(parsed(template_text(custom)), custom);
  EXPECT_EQ(template_text(parsed(template_text(custom))), template_text(custom));
  const DeviceTemplate dac = parsed(
      "template=\"matter-dac\"\nsubject=\"CN={device_serial}\"\nvendor_id=\"FFF1\"\nproduct_id="
      "\"8000\"\n"
      "matter_form=\"common-name\"\ncertification_declaration=\"" +
      std::string(64, 'a') + "\"\ndeclaration_signer=\"" + std::string(64, 'b') + "\"");
  EXPECT_EQ(parsed(template_text(dac)), dac);
  EXPECT_EQ(template_text(dac),
            "template = \"matter-dac\"\nsubject = \"CN={device_serial}\"\nvendor_id = "
            "\"FFF1\"\nproduct_id = \"8000\"\n"
            "matter_form = \"common-name\"\ncertification_declaration = \"" +
                std::string(64, 'a') + "\"\ndeclaration_signer = \"" + std::string(64, 'b') +
                "\"\n");
  EXPECT_NE(dac, custom);
}

struct TextCase {
  const char* text;
  const char* reason;
  const char* names;  // in the refusal's text
};

class RefusedTemplateText : public testing::TestWithParam<TextCase> {};

TEST_P(RefusedTemplateText, IsRefusedWithItsField) {
  const auto read = parse_template(GetParam().text);
  ASSERT_EQ(reason(read), GetParam().reason) << GetParam().text;
  EXPECT_NE(std::get<Refusal>(read).text.find(GetParam().names), std::string::npos)
      << std::get<Refusal>(read).text;
}

#define HEAD "template = \"custom\"\nsubject = \"CN={device_serial}\"\n"
INSTANTIATE_TEST_SUITE_P(
    Cases,
    RefusedTemplateText,
    testing::Values(
        TextCase{"template = ", "template-syntax", "line 1"},
        TextCase{"subject = \"CN={device_serial}\"", "template-field", "\"template\""},
        TextCase{"template = \"custom\"", "template-field", "\"subject\""},
        TextCase{"template = \"root\"\nsubject = \"CN={device_serial}\"",
                 "template-unknown",
                 "\"root\""},
        TextCase{
            HEAD "keyusage = [\"digitalSignature\"]", "template-field", "\"keyusage\" is unknown"},
        TextCase{HEAD "key_usage = \"digitalSignature\"", "template-field", "\"key_usage\""},
        TextCase{HEAD "key_usage = [\"signing\"]", "template-field", "\"signing\""},
        TextCase{
            HEAD "key_usage = [\"keyAgreement\"]", "template-field", "must hold digitalSignature"},
        TextCase{HEAD "key_usage = [\"digitalSignature\", \"keyCertSign\"]",
                 "template-field",
                 "\"key_usage\""},
        TextCase{HEAD "key_usage = [\"digitalSignature\", \"encipherOnly\"]",
                 "template-field",
                 "without keyAgreement"},
        TextCase{HEAD "extended_key_usage = [\"clientauth\"]",
                 "template-field",
                 "\"extended_key_usage\""},
        TextCase{HEAD "policies = [\"1.2.3\", \"1.2.3\"]", "template-field", "\"policies\""},
        TextCase{HEAD "policies = [\"3.1\"]", "template-field", "\"policies\""},
        TextCase{HEAD "alt_names = [\"host:{device_serial}\"]", "alt-name", "host:"},
        TextCase{HEAD "alt_names = [\"dns:a_b.example\"]", "alt-name", "a_b.example"},
        TextCase{HEAD "alt_names = [\"ip:1.2.3\"]", "alt-name", "1.2.3"},
        TextCase{HEAD "alt_names = [\"ip:{part}\"]", "alt-name", "no placeholder"},
        TextCase{HEAD "alt_names = [\"uri:no-scheme\"]", "alt-name", "no-scheme"},
        TextCase{HEAD "alt_names = [\"email:nobody\"]", "alt-name", "nobody"},
        TextCase{HEAD "alt_names = [\"hw:x:{se_serial}\"]", "alt-name", "OID"},
        TextCase{HEAD "alt_names = [\"dns:{serial}.x\"]", "subject-pattern", "{serial}"},
        TextCase{HEAD "extensions = [{ oid = \"2.5.29.15\", value = \"0500\" }]",
                 "template-field",
                 "2.5.29.15"},
        TextCase{HEAD "extensions = [{ oid = \"2.5.29.015\", value = \"0500\" }]",
                 "template-field",
                 "2.5.29.015"},
        TextCase{
            HEAD "extensions = [{ oid = \"1.2.3\", value = \"0501\" }]", "template-field", "1.2.3"},
        TextCase{HEAD "extensions = [{ oid = \"1.2.3\", value = \"xx\" }]",
                 "template-field",
                 "value in hex"},
        TextCase{HEAD "extensions = [{ oid = \"1.2.3\", value = \"0500\", critical = true }]",
                 "template-field",
                 "critical"},
        TextCase{HEAD "extensions = [{ oid = \"1.2.3\", value = \"0500\", extra = 1 }]",
                 "template-field",
                 "\"extra\" is unknown"},
        TextCase{HEAD "not_before = \"2026-01-01T00:00:00Z\"", "template-field", "\"not_after\""},
        TextCase{HEAD "not_before = \"2026-01-02T00:00:00Z\"\nnot_after = \"2026-01-01T00:00:00Z\"",
                 "template-field",
                 "\"not_after\""},
        TextCase{HEAD "not_before = 2026-01-01\nnot_after = \"2027-01-01T00:00:00Z\"",
                 "template-field",
                 "\"not_before\""},
        TextCase{HEAD "vendor_id = \"FFF1\"", "template-field", "\"vendor_id\""},
        TextCase{HEAD "vendor_id = \"fff1\"", "template-field", "upper-case"},
        TextCase{HEAD "certification_declaration = \"00\"",
                 "template-field",
                 "\"certification_declaration\""},
        TextCase{"template = \"matter-dac\"\nsubject = \"CN={device_serial}\"\nvendor_id = "
                 "\"FFF1\"\nproduct_id = \"8000\"\ndeclaration_signer = "
                 "\"0000000000000000000000000000000000000000000000000000000000000000\"",
                 "template-field",
                 "names no declaration"},
        TextCase{"template = \"device\"\nsubject = \"CN={device_serial}\"\npolicies = [\"1.2.3\"]",
                 "template-field",
                 "\"device\""},
        TextCase{"template = \"custom\"\nsubject = \"CN=x\"\nalt_names = [\"dns:x.example\"]",
                 "subject-not-unique",
                 "same"}));
#undef HEAD

TEST(CustomTemplate, NamesADeviceInItsAlternativeNamesAlone) {
  EXPECT_EQ(reason(parse_template("template = \"custom\"\nsubject = \"CN=x\"\nalt_names = "
                                  "[\"dns:{device_serial}.example\"]")),
            "");
}

TEST(CustomTemplate, MakesWhatItsOwnLintAndOpensslRead) {
  test::Ca ca;
  const DeviceTemplate custom = under(parsed(kCustom), ca.facts());
  ASSERT_EQ(reason(validate(custom, ca.facts())), "");
  const test::Leaf leaf = test::make_leaf(ca, custom);
  EXPECT_EQ(reason(lint_device_certificate(leaf.certificate, custom, test::fields())), "");
  EXPECT_TRUE(lint_chain(std::vector<Bytes>{leaf.certificate, ca.certificate}).empty());
  EXPECT_LE(leaf.certificate.size(), max_certificate_bytes(custom));

  const keyferry::test::TempFolder folder;
  std::ofstream{folder / "c.pem"} << to_pem(kPemCertificate, leaf.certificate);
  std::ofstream{folder / "ca.pem"} << to_pem(kPemCertificate, ca.certificate);
  const std::string in = "cd " + folder.path().string() + " && ";
  const auto shown = keyferry::test::run_command(in + "openssl x509 -in c.pem -noout -text");
  for (const char* part : {"DNS:DEV-0001.devices.example",
                           "URI:urn:acme:01ab02cd",
                           "IP Address:2001:DB8:0:0:0:0:0:1",
                           "email:DEV-0001@acme.example",
                           "othername:",
                           "Digital Signature, Key Agreement",
                           "TLS Web Client Authentication, 1.3.6.1.4.1.99999.7",
                           "Policy: 1.3.6.1.4.1.99999.8",
                           "1.3.6.1.4.1.99999.9",
                           "ST = Saxony, L = Leipzig, DC = acme, DC = example"}) {
    EXPECT_NE(shown.output.find(part), std::string::npos) << part << "\n" << shown.output;
  }
  const auto verified = keyferry::test::run_command(
      in + "openssl verify -x509_strict -attime 1900000000 -CAfile ca.pem c.pem");
  EXPECT_EQ(verified.status, 0) << verified.output;
}

TEST(CustomTemplate, LintSeesEachFieldThatDiffers) {
  test::Ca ca;
  const DeviceTemplate custom = under(parsed(kCustom), ca.facts());
  const test::Leaf leaf = test::make_leaf(ca, custom);
  const auto lint_against = [&](auto change) {
    DeviceTemplate other = custom;
    change(other);
    const auto refusal = lint_device_certificate(leaf.certificate, other, test::fields());
    return refusal ? refusal->text.substr(0, refusal->text.find(':')) : "";
  };
  EXPECT_EQ(lint_against([](DeviceTemplate&) {}), "");
  EXPECT_EQ(lint_against([](DeviceTemplate& t) { t.key_usage = kDigitalSignature; }), "keyUsage");
  EXPECT_EQ(lint_against([](DeviceTemplate& t) { t.extended_key_usage.pop_back(); }),
            "extendedKeyUsage");
  EXPECT_EQ(lint_against([](DeviceTemplate& t) { t.alt_names.pop_back(); }), "subjectAltName");
  EXPECT_EQ(lint_against([](DeviceTemplate& t) { t.alt_names[0] = "dns:other.example"; }),
            "subjectAltName");
  EXPECT_EQ(lint_against([](DeviceTemplate& t) { t.policies.clear(); }), "certificatePolicies");
  EXPECT_EQ(lint_against([](DeviceTemplate& t) { t.policies = {"1.2.3"}; }), "extensions");
  EXPECT_EQ(lint_against([](DeviceTemplate& t) { t.extensions.clear(); }), "extensions");
  EXPECT_EQ(lint_against([](DeviceTemplate& t) { t.extensions[0].value = *from_hex("0500"); }),
            "extensions");
}

TEST(LintedShape, AllowsOtherAlternativeNamesOfTheSameKinds) {
  test::Ca ca;
  DeviceTemplate custom = under(parsed(kCustom), ca.facts());
  const test::Leaf linted = test::make_leaf(ca, custom);
  SubjectFields fields = test::fields();
  fields.device_serial = "ANOTHER-LONGER-ONE";
  EXPECT_EQ(reason(test::compare(test::make_leaf(ca, custom, fields), linted)), "");
  DeviceTemplate fewer = custom;
  fewer.alt_names.pop_back();
  EXPECT_EQ(reason(test::compare(test::make_leaf(ca, fewer), linted)), "lint");
  DeviceTemplate other_kind = custom;
  other_kind.alt_names[0] = "uri:urn:x:{device_serial}";
  EXPECT_EQ(reason(test::compare(test::make_leaf(ca, other_kind), linted)), "lint");
  custom.extended_key_usage.pop_back();
  EXPECT_EQ(reason(test::compare(test::make_leaf(ca, custom), linted)), "lint");
}

/// A root and `count` intermediates below it, each with a path length of its own.
struct Line {
  std::vector<crypto::SoftKey> keys;
  std::vector<Bytes> certificates;  // root first

  explicit Line(int count) {
    SystemRandom random;
    for (int i = 0; i <= count; ++i) {
      keys.push_back(crypto::SoftKey::generate());
      CaSpec spec{"CN=CA " + std::to_string(i),
                  at("2026-01-01T00:00:00Z"),
                  at("2066-01-01T00:00:00Z"),
                  static_cast<std::uint8_t>(count - i),
                  i == 0 ? CaKind::Root : CaKind::Intermediate};
      const Bytes tbs = i == 0
                            ? ca_to_be_signed(spec, make_serial(random), keys.back().public_key())
                            : ca_to_be_signed(spec,
                                              make_serial(random),
                                              keys.back().public_key(),
                                              facts_of(certificates.back()));
      certificates.push_back(
          test::sign_tbs(tbs, i == 0 ? keys[0] : keys[static_cast<std::size_t>(i) - 1]));
    }
  }
};

TEST(Chains, OfTwoToFourVerifyHereAndWithOpensslStrict) {
  for (int count = 0; count <= 2; ++count) {
    Line line{count};
    SystemRandom random;
    DeviceTemplate custom = under(parsed(kCustom), facts_of(line.certificates.back()));
    crypto::SoftKey key = crypto::SoftKey::generate();
    const Bytes tbs = CertificateBuilder{custom}.to_be_signed(
        make_serial(random), test::fields(), key.public_key());
    std::vector<Bytes> chain{test::sign_tbs(tbs, line.keys.back())};
    for (std::size_t i = line.certificates.size(); i-- > 1;) chain.push_back(line.certificates[i]);
    const std::vector<Bytes> anchors{line.certificates.front()};
    EXPECT_EQ(reason(verify_chain(chain, anchors, at("2030-01-01T00:00:00Z"))), "") << count;
    std::vector<Bytes> whole = chain;
    whole.push_back(line.certificates.front());
    EXPECT_TRUE(lint_chain(whole).empty()) << count;

    const keyferry::test::TempFolder folder;
    std::ofstream{folder / "root.pem"} << to_pem(kPemCertificate, line.certificates.front());
    std::string others;
    for (const Bytes& certificate : chain) others += to_pem(kPemCertificate, certificate);
    std::ofstream{folder / "chain.pem"} << others;
    const auto verified =
        keyferry::test::run_command("cd " + folder.path().string() +
                                    " && openssl verify -x509_strict -attime 1900000000 -CAfile "
                                    "root.pem -untrusted chain.pem chain.pem");
    EXPECT_EQ(verified.status, 0) << verified.output;
  }
}

TEST(Chains, RefuseACaBelowOneThatAllowsNone) {
  Line line{1};  // CA 1 has path length 0
  const CaSpec spec{"CN=one too many",
                    at("2026-01-01T00:00:00Z"),
                    at("2060-01-01T00:00:00Z"),
                    std::uint8_t{0},
                    CaKind::Intermediate};
  EXPECT_EQ(reason(validate(spec, facts_of(line.certificates[1]))), "ca-path-length");
  CaSpec unlimited = spec;
  unlimited.path_length.reset();
  EXPECT_EQ(reason(validate(unlimited, facts_of(line.certificates[0]))), "ca-path-length");
}

TEST(CaKinds, HaveNamesThatAreReadBack) {
  for (const CaKind kind :
       {CaKind::Root, CaKind::Intermediate, CaKind::MatterPaa, CaKind::MatterPai})
    EXPECT_EQ(ca_kind_from_name(ca_kind_name(kind)), kind);
  EXPECT_FALSE(ca_kind_from_name("leaf").has_value());
}

}  // namespace
}  // namespace keyferry::x509
