// Matter's certificates as they are set up and made: what is refused before a key is made, and what
// others say of what we make.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>

#include "tests/support/command.h"
#include "tests/support/temp_folder.h"
#include "tests/wrap/x509/matter_fixture.h"
#include "wrap/x509/issued.h"
#include "wrap/x509/path.h"
#include "wrap/x509/pem.h"
#include "wrap/x509/request.h"

namespace keyferry::x509 {
namespace {

using test::at;
using test::facts_of;
using test::matter;
using test::MatterPki;
using test::reason;

void write(const std::filesystem::path& file, std::string_view text) {
  std::ofstream{file, std::ios::binary} << text;
}

bool holds(const Bytes& whole, const Bytes& part) {
  return std::search(whole.begin(), whole.end(), part.begin(), part.end()) != whole.end();
}

TEST(MatterDac, IsWhatItsTemplateAsksFor) {
  MatterPki pki;
  EXPECT_EQ(reason(lint_device_certificate(pki.dac, pki.dac_template, test::fields())), "");
  EXPECT_EQ(facts_of(pki.dac).subject, "CN=ACME DEV-0001,VendorID=FFF1,ProductID=8000");
  EXPECT_LE(pki.dac.size(), max_certificate_bytes(pki.dac_template));
  EXPECT_LE(max_certificate_bytes(pki.dac_template), kMaxMatterCertificateBytes);
}

TEST(MatterDac, EndsNeverAsGeneralizedTimeAndThrough2049AsUtcTime) {
  MatterPki pki;
  const Bytes never = *from_hex("180f39393939313233313233353935395a");
  EXPECT_TRUE(holds(pki.dac, never));
  pki.dac_template.not_after = at("2049-12-31T23:59:59Z");
  const Bytes utc = *from_hex("170d3439313233313233353935395a");
  EXPECT_TRUE(holds(pki.make_dac(), utc));
  pki.dac_template.not_after = at("2050-01-01T00:00:00Z");
  const Bytes generalized = *from_hex("180f32303530303130313030303030305a");
  EXPECT_TRUE(holds(pki.make_dac(), generalized));
}

TEST(MatterDac, CanSayItsIdsInTheCommonName) {
  MatterPki pki;
  pki.dac_template.matter.form = MatterForm::CommonName;
  pki.dac_template.subject = "CN={device_serial},O=ACME";
  const Bytes dac = pki.make_dac();
  EXPECT_EQ(facts_of(dac).subject, "CN=DEV-0001 Mvid:FFF1 Mpid:8000,O=ACME");
  EXPECT_EQ(reason(lint_device_certificate(dac, pki.dac_template, test::fields())), "");
}

TEST(MatterDac, VerifiesToItsPaa) {
  MatterPki pki;
  const std::vector<Bytes> chain{pki.dac, pki.pai};
  const std::vector<Bytes> anchors{pki.paa};
  const auto verified = verify_chain(chain, anchors, at("2100-01-01T00:00:00Z"));
  EXPECT_EQ(reason(verified), "");
  EXPECT_EQ(std::get<ChainFacts>(verified).key, pki.dac_key.public_key());
}

struct TemplateCase {
  const char* reason;
  const char* text;
  void (*breaks)(DeviceTemplate&);
};

class RefusedDacTemplate : public testing::TestWithParam<TemplateCase> {};

TEST_P(RefusedDacTemplate, IsRefusedAtSetUp) {
  MatterPki pki;
  GetParam().breaks(pki.dac_template);
  const auto refusal = validate(pki.dac_template, facts_of(pki.pai));
  ASSERT_EQ(reason(refusal), GetParam().reason);
  EXPECT_NE(refusal->text.find(GetParam().text), std::string::npos) << refusal->text;
}

INSTANTIATE_TEST_SUITE_P(
    Cases,
    RefusedDacTemplate,
    testing::Values(TemplateCase{"template-field",
                                 "\"vendor_id\" is missing",
                                 [](DeviceTemplate& dac) { dac.matter.vendor_id.reset(); }},
                    TemplateCase{"template-field",
                                 "\"product_id\" is missing",
                                 [](DeviceTemplate& dac) { dac.matter.product_id.reset(); }},
                    TemplateCase{"template-field",
                                 "is 0000, which is no vendor",
                                 [](DeviceTemplate& dac) { dac.matter.vendor_id = 0; }},
                    TemplateCase{"matter-vendor",
                                 "for vendor FFF2",
                                 [](DeviceTemplate& dac) { dac.matter.vendor_id = 0xfff2; }},
                    TemplateCase{"matter-product",
                                 "for product 8001",
                                 [](DeviceTemplate& dac) { dac.matter.product_id = 0x8001; }},
                    TemplateCase{"template-field",
                                 "must be digitalSignature alone",
                                 [](DeviceTemplate& dac) {
                                   dac.key_usage = kDigitalSignature | kKeyAgreement;
                                 }},
                    TemplateCase{
                        "subject-pattern",
                        "\"Mvid\" or \"Mpid\"",
                        [](DeviceTemplate& dac) { dac.subject = "CN={device_serial} Mvid:FFF2"; }},
                    TemplateCase{"subject-pattern",
                                 "no CN",
                                 [](DeviceTemplate& dac) {
                                   dac.matter.form = MatterForm::CommonName;
                                   dac.subject = "O={device_serial}";
                                 }},
                    TemplateCase{"certificate-size",
                                 "at most 600",
                                 [](DeviceTemplate& dac) {
                                   dac.subject =
                                       "CN={device_serial}{part},O={lot}{key_name},OU={part}";
                                 }},
                    TemplateCase{"validity", "would outlive", [](DeviceTemplate& dac) {
                                   dac.not_before = at("2026-01-15T00:00:00Z");
                                 }}));

TEST(MatterSetUp, RefusesAnIssuerThatIsNoPai) {
  MatterPki pki;
  const CertificateFacts paa = facts_of(pki.paa);
  pki.dac_template.issuer_name = paa.subject_name;
  pki.dac_template.issuer_key_identifier = paa.subject_key_identifier;
  EXPECT_EQ(reason(validate(pki.dac_template, paa)), "matter-pai");
  test::Ca ca;
  DeviceTemplate under_root = pki.dac_template;
  under_root.issuer_name = ca.facts().subject_name;
  under_root.issuer_key_identifier = ca.facts().subject_key_identifier;
  under_root.not_before = at("2026-06-01T00:00:00Z");
  under_root.not_after = at("2056-06-01T00:00:00Z");
  EXPECT_EQ(reason(validate(under_root, ca.facts())), "matter-pai");  // no VendorID
}

TEST(MatterSetUp, RefusesOtherTemplatesUnderMattersCas) {
  MatterPki pki;
  for (const Bytes* certificate : {&pki.pai, &pki.paa}) {
    const CertificateFacts issuer = facts_of(*certificate);
    DeviceTemplate plain{.subject = "CN={device_serial}",
                         .not_before = at("2026-03-01T00:00:00Z"),
                         .not_after = at("2036-03-01T00:00:00Z"),
                         .issuer_name = issuer.subject_name,
                         .issuer_key_identifier = issuer.subject_key_identifier};
    for (const std::string_view name : {kDeviceTemplateName, kCustomTemplateName}) {
      plain.name = name;
      const auto refusal = validate(plain, issuer);
      ASSERT_EQ(reason(refusal), "matter-issuer");
      EXPECT_NE(refusal->text.find(issuer.subject), std::string::npos) << refusal->text;
      EXPECT_NE(refusal->hint.find("matter-dac"), std::string::npos) << refusal->hint;
    }
  }
}

TEST(MatterSetUp, RefusesOtherTemplatesWhereMatterIdsAreMalformed) {
  test::Ca ca;
  ca.spec.subject = "CN=Test CA Mvid:fff1";
  ca.certificate = ca.make();
  EXPECT_EQ(reason(validate(test::device_template(ca), ca.facts())), "matter-issuer");
  ca.spec.subject = "CN=Test CA,O=Matter";
  ca.certificate = ca.make();
  EXPECT_EQ(reason(validate(test::device_template(ca), ca.facts())), "");
}

/// An inventory comes from outside: a serial number in it must not name another vendor.
TEST(MatterDac, TakesNoIdsFromItsEntry) {
  MatterPki pki;
  SubjectFields fields = test::fields();
  const auto reason_of = [&](const char* serial, const char* lot) {
    fields.device_serial = serial;
    fields.lot = lot;
    const std::string found = reason(CertificateBuilder{pki.dac_template}.check(fields));
    EXPECT_EQ(reason(RequestBuilder{pki.dac_template}.check(fields)), found);
    return found;
  };
  for (const MatterForm form : {MatterForm::Attributes, MatterForm::CommonName}) {
    pki.dac_template.matter.form = form;
    pki.dac_template.subject = "CN={device_serial}{lot}";
    EXPECT_EQ(reason_of("D-1", "L1"), "");
    EXPECT_EQ(reason_of("Mvid", "FFF2"), "");
    EXPECT_EQ(reason_of("Mvid:FFF2", "L1"), "subject-value");
    EXPECT_EQ(reason_of("D-1", "Mpid:8001"), "subject-value");
    EXPECT_EQ(reason_of("Mv", "id:FFF2"), "subject-value") << "in two pieces";
    pki.dac_template.subject = "CN=ACME,O={device_serial}";
    EXPECT_EQ(reason_of("Mvid:FFF2", "L1"), "") << "no reader looks there";
  }
}

struct CaCase {
  const char* reason;
  void (*breaks)(MatterPki&);
};

class RefusedPai : public testing::TestWithParam<CaCase> {};

TEST_P(RefusedPai, IsRefusedBeforeItsKeyIsMade) {
  MatterPki pki;
  GetParam().breaks(pki);
  EXPECT_EQ(reason(validate(pki.pai_spec, facts_of(pki.paa))), GetParam().reason);
}

INSTANTIATE_TEST_SUITE_P(
    Cases,
    RefusedPai,
    testing::Values(
        CaCase{"ca-matter", [](MatterPki& p) { p.pai_spec.matter.vendor_id.reset(); }},
        CaCase{"ca-path-length", [](MatterPki& p) { p.pai_spec.path_length = 1; }},
        CaCase{"ca-path-length", [](MatterPki& p) { p.pai_spec.path_length.reset(); }},
        CaCase{"matter-vendor", [](MatterPki& p) { p.pai_spec.matter.vendor_id = 0xfff2; }},
        CaCase{"validity",
               [](MatterPki& p) { p.pai_spec.not_before = at("2025-01-01T00:00:00Z"); }},
        CaCase{"subject-pattern",
               [](MatterPki& p) {
                 p.pai_spec.subject = "CN=ACME Mvid:FFF2";
                 p.pai_spec.matter.form = MatterForm::CommonName;
               }},
        CaCase{"issuer", [](MatterPki& p) { p.paa = p.dac; }},
        CaCase{"ca-path-length", [](MatterPki& p) { p.paa = p.pai; }}));

TEST(MatterSetUp, RefusesAPaaThatIsNone) {
  MatterPki pki;
  pki.paa_spec.matter = matter(0xfff1, 0x8000);
  EXPECT_EQ(reason(validate(pki.paa_spec)), "ca-matter");
  pki.paa_spec.matter = matter(std::nullopt);
  EXPECT_EQ(reason(validate(pki.paa_spec)), "");
  pki.paa_spec.path_length = 2;
  EXPECT_EQ(reason(validate(pki.paa_spec)), "ca-path-length");
  pki.paa_spec.path_length.reset();
  EXPECT_EQ(reason(validate(pki.paa_spec)), "");
  EXPECT_FALSE(facts_of(pki.make_paa()).path_length.has_value());
}

TEST(LintedShape, RefusesAnotherVendorOrProduct) {
  MatterPki pki;
  const LintedShape linted{facts_of(pki.dac).tbs};
  SubjectFields fields = test::fields();
  fields.device_serial = "OTHER-1";
  SystemRandom random;
  const auto make = [&] {
    return CertificateBuilder{pki.dac_template}.to_be_signed(
        make_serial(random), fields, pki.pai_key.public_key());
  };
  EXPECT_EQ(reason(linted.compare(make(), pki.pai_key.public_key())), "");
  pki.dac_template.matter.product_id = 0x8001;
  EXPECT_EQ(reason(linted.compare(make(), pki.pai_key.public_key())), "lint");
  pki.dac_template.matter.product_id = 0x8000;
  pki.dac_template.matter.form = MatterForm::CommonName;
  EXPECT_EQ(reason(linted.compare(make(), pki.pai_key.public_key())), "lint");
}

TEST(MaxCertificateBytes, IsReachedByTheLongestEntryButForTheSignature) {
  test::MatterPki pki;
  SubjectFields longest = test::fields();
  longest.device_serial = std::string(59, 'x');  // "CN=ACME " and 59 are the 64 of X.520
  SystemRandom random;
  const Bytes dac = test::sign_tbs(CertificateBuilder{pki.dac_template}.to_be_signed(
                                       make_serial(random), longest, pki.dac_key.public_key()),
                                   pki.pai_key);
  EXPECT_LE(dac.size(), max_certificate_bytes(pki.dac_template));
  EXPECT_GE(dac.size() + 6, max_certificate_bytes(pki.dac_template));
}

TEST(MatterChain, IsAcceptedByOpensslStrictAndByCerttool) {
  MatterPki pki;  // begun in the past: certtool looks at the clock
  pki.paa_spec.not_before = pki.pai_spec.not_before = at("2020-01-01T00:00:00Z");
  pki.paa = pki.make_paa();
  pki.pai = pki.make_pai();
  pki.dac_template = pki.make_template();
  pki.dac_template.not_before = at("2020-01-01T00:00:00Z");
  pki.dac = pki.make_dac();
  const keyferry::test::TempFolder folder;
  write(folder / "paa.pem", to_pem(kPemCertificate, pki.paa));
  write(folder / "pai.pem", to_pem(kPemCertificate, pki.pai));
  write(folder / "dac.pem", to_pem(kPemCertificate, pki.dac));
  write(folder / "all.pem",
        to_pem(kPemCertificate, pki.dac) + to_pem(kPemCertificate, pki.pai) +
            to_pem(kPemCertificate, pki.paa));
  const std::string in = "cd " + folder.path().string() + " && ";
  const auto openssl = keyferry::test::run_command(
      in +
      "openssl verify -x509_strict -attime 4102444800 -CAfile paa.pem -untrusted pai.pem dac.pem");
  EXPECT_EQ(openssl.status, 0) << openssl.output;
  const auto gnutls = keyferry::test::run_command(
      in + "certtool --verify --load-ca-certificate paa.pem --infile all.pem");
  EXPECT_EQ(gnutls.status, 0) << gnutls.output;
  EXPECT_NE(gnutls.output.find("Verified."), std::string::npos) << gnutls.output;
  // And a broken one is not, so that the check can fail.
  Bytes bent = pki.dac;
  bent.back() ^= 1U;
  write(folder / "all.pem",
        to_pem(kPemCertificate, bent) + to_pem(kPemCertificate, pki.pai) +
            to_pem(kPemCertificate, pki.paa));
  EXPECT_NE(keyferry::test::run_command(
                in + "certtool --verify --load-ca-certificate paa.pem --infile all.pem")
                .status,
            0);
}

}  // namespace
}  // namespace keyferry::x509
