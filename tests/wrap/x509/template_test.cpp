#include "wrap/x509/template.h"

#include <gtest/gtest.h>

#include "tests/wrap/x509/fixture.h"

namespace keyferry::x509 {
namespace {

using test::at;
using test::reason;

const DeviceTemplate& sound_template() {
  static const DeviceTemplate kTemplate = [] {
    const test::Ca ca;
    return test::device_template(ca);
  }();
  return kTemplate;
}

DeviceTemplate with_subject(std::string subject) {
  DeviceTemplate changed = sound_template();
  changed.subject = std::move(subject);
  return changed;
}

std::string subject_text(const std::string& pattern, const SubjectFields& fields) {
  Bytes name;
  std::get<SubjectPattern>(SubjectPattern::parse(pattern)).append_name(name, fields);
  return *name_text(name);
}

TEST(SubjectPattern, FillsItsPlaceholdersInTheOrderWritten) {
  EXPECT_EQ(subject_text("CN={device_serial},O=ACME,serialNumber={se_serial}", test::fields()),
            "CN=DEV-0001,O=ACME,serialNumber=01ab02cd");
  EXPECT_EQ(subject_text("C=DE,OU={part}/{lot},CN=x-{key_name}-{se_serial}-y", test::fields()),
            "C=DE,OU=PN-7/LOT.3,CN=x-dac-01ab02cd-y");
}

TEST(SubjectPattern, WritesUtf8AndPrintableStrings) {
  Bytes name;
  std::get<SubjectPattern>(SubjectPattern::parse("CN=\xc3\xbc,C=DE,serialNumber=7"))
      .append_name(name, test::fields());
  EXPECT_EQ(to_hex(name),
            "3026"
            "310b300906035504030c02c3bc"
            "310b3009060355040613024445"
            "310a30080603550405130137");
}

struct PatternCase {
  const char* pattern;
  const char* reason;
};

class RefusedPattern : public testing::TestWithParam<PatternCase> {};

TEST_P(RefusedPattern, IsRefusedBeforeAnyKeyIsMade) {
  EXPECT_EQ(reason(validate(with_subject(GetParam().pattern))), GetParam().reason)
      << GetParam().pattern;
}

INSTANTIATE_TEST_SUITE_P(
    Cases,
    RefusedPattern,
    testing::Values(
        PatternCase{"", "subject-pattern"},
        PatternCase{"CN", "subject-pattern"},
        PatternCase{"cn={se_serial}", "subject-pattern"},
        PatternCase{"X={se_serial}", "subject-pattern"},
        PatternCase{"VendorID={se_serial}", "subject-pattern"},
        PatternCase{"CN={se_serial}-{vid}", "subject-pattern"},
        PatternCase{"CN={se_serial},", "subject-pattern"},
        PatternCase{",CN={se_serial}", "subject-pattern"},
        PatternCase{"CN={se_serial},CN=x", "subject-pattern"},
        PatternCase{"CN={serial}", "subject-pattern"},
        PatternCase{"CN={se_serial", "subject-pattern"},
        PatternCase{"CN=se_serial}", "subject-pattern"},
        PatternCase{"CN={}", "subject-pattern"},
        PatternCase{"CN={{se_serial}}", "subject-pattern"},
        PatternCase{"CN=a+b{se_serial}", "subject-pattern"},
        PatternCase{"CN=<b>{se_serial}", "subject-pattern"},
        PatternCase{"CN=a\nb{se_serial}", "subject-pattern"},
        PatternCase{"CN=\x1b[31m{se_serial}", "subject-pattern"},
        PatternCase{"CN=\xc2\x9b{se_serial}", "subject-pattern"},  // C1 control
        PatternCase{"CN=\xff{se_serial}", "subject-pattern"},      // not UTF-8
        PatternCase{"CN={se_serial},C=Germany", "subject-value"},
        PatternCase{"CN={se_serial},C=de", "subject-value"},
        PatternCase{"CN={se_serial},O=", "subject-value"},
        PatternCase{"CN={se_serial},O= x", "subject-value"},
        PatternCase{"CN={se_serial},serialNumber=a_b", "subject-value"},
        PatternCase{
            "CN={se_serial},O=12345678901234567890123456789012345678901234567890123456789012345",
            "subject-value"},
        PatternCase{"CN=ACME device,O=ACME", "subject-not-unique"}));

TEST(SubjectPattern, RefusesMoreThan512Octets) {
  EXPECT_EQ(reason(SubjectPattern::parse("CN={se_serial}" + std::string(499, 'x'))),
            "subject-pattern");
}

TEST(SubjectPattern, RefusesAnEntryWithoutTheDeviceSerialThatThePatternUses) {
  SubjectFields fields = test::fields();
  fields.device_serial.reset();
  const auto refusal =
      validate(with_subject("CN={device_serial},serialNumber={se_serial}"), fields);
  ASSERT_EQ(reason(refusal), "device-serial-missing");
  EXPECT_NE(refusal->text.find("01ab02cd"), std::string::npos);
  EXPECT_EQ(reason(validate(with_subject("CN={se_serial}"), fields)), "");
}

TEST(SubjectPattern, RefusesAnEntryWhoseValueDoesNotFit) {
  SubjectFields fields = test::fields();
  fields.device_serial = std::string(64, 'x');
  EXPECT_EQ(reason(validate(with_subject("CN={device_serial}"), fields)), "");
  EXPECT_EQ(reason(validate(with_subject("CN=y{device_serial}"), fields)), "subject-value");
  fields.device_serial = "a_b";
  EXPECT_EQ(reason(validate(with_subject("CN={device_serial}"), fields)), "");
  EXPECT_EQ(reason(validate(with_subject("serialNumber={device_serial}"), fields)),
            "subject-value");
  fields.part.clear();
  EXPECT_EQ(reason(validate(with_subject("CN={se_serial},OU={part}"), fields)), "subject-value");
}

TEST(SubjectPattern, CountsCharactersAndNotOctets) {
  std::string umlauts;
  for (int i = 0; i < 64; ++i) umlauts += "\xc3\xbc";
  EXPECT_EQ(reason(validate(with_subject("CN={se_serial},O=" + umlauts))), "");
  EXPECT_EQ(reason(validate(with_subject("CN={se_serial},O=" + umlauts + "x"))), "subject-value");
}

TEST(DeviceTemplate, KnowsItsNames) {
  DeviceTemplate changed = sound_template();
  changed.name = "matter-pai";
  EXPECT_EQ(reason(validate(changed)), "template-unknown");
}

TEST(DeviceTemplate, RefusesAValidityThatIsNone) {
  DeviceTemplate changed = sound_template();
  changed.not_after = changed.not_before;
  EXPECT_EQ(reason(validate(changed)), "validity");
  changed.not_after = UtcMillis{der::kLastTime.value + 1};
  EXPECT_EQ(reason(validate(changed)), "validity");
}

TEST(DeviceTemplate, RefusesAnIssuerThatIsNotThere) {
  DeviceTemplate changed = sound_template();
  changed.issuer_name.pop_back();
  EXPECT_EQ(reason(validate(changed)), "issuer");
  changed = sound_template();
  changed.issuer_key_identifier.clear();
  EXPECT_EQ(reason(validate(changed)), "issuer");
}

TEST(DeviceTemplate, MustFitItsIssuer) {
  test::Ca ca;
  const DeviceTemplate fitting = test::device_template(ca);
  EXPECT_EQ(reason(validate(fitting, ca.facts())), "");
  EXPECT_EQ(reason(validate(sound_template(), ca.facts())),
            "issuer");  // another key of the same name

  DeviceTemplate outliving = fitting;
  outliving.not_after = UtcMillis{ca.spec.not_after.value + 1000};
  EXPECT_EQ(reason(validate(outliving, ca.facts())), "validity");

  const test::Leaf leaf = test::make_leaf(ca);
  const auto leaf_facts = std::get<CertificateFacts>(parse_certificate(leaf.certificate));
  DeviceTemplate under_leaf = fitting;
  under_leaf.issuer_name = leaf_facts.subject_name;
  under_leaf.issuer_key_identifier = leaf_facts.subject_key_identifier;
  EXPECT_EQ(reason(validate(under_leaf, leaf_facts)), "issuer");
}

TEST(FixedName, HoldsNoPlaceholder) {
  EXPECT_EQ(*name_text(std::get<Bytes>(fixed_name("CN=Root,O=ACME"))), "CN=Root,O=ACME");
  EXPECT_EQ(reason(fixed_name("CN={part}")), "subject-pattern");
}

TEST(NameText, EscapesWhatComesFromOutside) {
  // CN = "a,b<ESC>ü", then a BMPString under an unknown type.
  const Bytes name = *from_hex(
      "3021"
      "3111"
      "300f"
      "0603550403"
      "0c08612c621bc3bc2b5c"
      "310c"
      "300a"
      "06032a0304"
      "1e0300410a");
  const auto text = name_text(name);
  ASSERT_TRUE(text.has_value());
  EXPECT_EQ(*text, "CN=a\\,b\\x1b\\xc3\\xbc\\+\\\\,1.2.3.4=#1e0300410a");
}

TEST(NameText, RefusesWhatIsNoName) {
  for (const char* bad :
       {"", "30", "3100", "30023100", "300431023000", "3005310330010600", "300931073005060155"}) {
    EXPECT_FALSE(name_text(*from_hex(bad)).has_value()) << bad;
  }
  EXPECT_EQ(name_text(*from_hex("3000")), "");
}

}  // namespace
}  // namespace keyferry::x509
