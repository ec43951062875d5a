#include "wrap/x509/lint.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>

#include "tests/support/command.h"
#include "tests/support/temp_folder.h"
#include "tests/wrap/x509/matter_fixture.h"
#include "wrap/x509/bundle.h"
#include "wrap/x509/pem.h"

namespace keyferry::x509 {
namespace {

using test::at;
using test::kCn;
using test::kPid;
using test::kVid;
using test::Parts;
using test::rdn;

/// DAC, PAI and PAA in parts, with the keys that sign them again.
struct Chain {
  test::MatterPki pki;
  std::array<Parts, 3> parts{Parts::of(pki.dac), Parts::of(pki.pai), Parts::of(pki.paa)};
  std::function<void(std::vector<Bytes>&)> afterwards = [](std::vector<Bytes>&) {};

  Parts& dac = parts[0];
  Parts& pai = parts[1];
  Parts& paa = parts[2];

  std::vector<Bytes> build() {
    std::vector<Bytes> built{dac.build(pki.pai_key), pai.build(pki.paa_key), paa.build(pki.paa_key)};
    afterwards(built);
    return built;
  }

  /// Another subject, and so another issuer of the one below (and of the PAA itself).
  void name(std::size_t index, std::initializer_list<Bytes> rdns) {
    Bytes list;
    for (const Bytes& one : rdns) append(list, one);
    parts[index].subject = der::sequence({list});
    if (index > 0) parts[index - 1].issuer = parts[index].subject;
    if (index == 2) parts[index].issuer = parts[index].subject;
  }
};

Bytes hex(std::string_view text) { return *from_hex(text); }

const Bytes kSha384 = hex("300a06082a8648ce3d040303");
const Bytes kSha1 = hex("300906072a8648ce3d0401");

Bytes validity(const char* first, const char* last) {
  return der::sequence({der::time(at(first)), der::time(at(last))});
}

Bytes utf8(std::string_view oid, std::string_view value) { return rdn(oid, der::kUtf8String, value); }

struct Case {
  const char* rule;
  std::size_t certificate;
  const char* text;  // of the finding
  void (*breaks)(Chain&);
  std::set<std::string> also = {};  // other findings that the same fault brings
};

const std::vector<Case>& cases() {
  static const std::vector<Case> all{
      {"profile-size", 0, "20000 octets", [](Chain& c) { c.afterwards = [](auto& built) { built[0] = Bytes(20000, 0x30); }; }},
      {"x509-der", 0, "not exactly one DER SEQUENCE", [](Chain& c) { c.afterwards = [](auto& built) { built[0].push_back(0); }; }},
      {"x509-der", 0, "breaks before the public key", [](Chain& c) { c.dac.spki.clear(); }, {}},
      {"x509-der", 0, "something behind its extensions", [](Chain& c) { c.dac.has_extensions = false; c.dac.unique_id = hex("0500"); },
       {"x509-authority-key-identifier", "matter-subject-key-identifier", "matter-authority-key-identifier", "matter-dac-basic-constraints", "matter-dac-key-usage", "chain-signature"}},
      {"x509-version", 0, "version 2", [](Chain& c) { c.dac.version = hex("a003020101"); }, {"matter-version"}},
      {"x509-serial-der", 0, "serial 0001", [](Chain& c) { c.dac.serial = hex("02020001"); }, {"chain-signature"}},
      {"x509-serial-positive", 0, "the serial is zero", [](Chain& c) { c.dac.serial = hex("020100"); }},
      {"x509-serial-positive", 0, "the serial is negative", [](Chain& c) { c.dac.serial = hex("0201ff"); }},
      {"x509-serial-length", 0, "21 octets", [](Chain& c) { c.dac.serial = der::integer(Bytes(21, 0x11)); }},
      {"x509-algorithm-same", 0, "outside another", [](Chain& c) { c.dac.outer_algorithm = kSha384; }, {"chain-signature"}},
      {"x509-weak-hash", 0, "ecdsa-with-SHA1", [](Chain& c) { c.dac.algorithm = kSha1; }, {"profile-signature", "matter-signature", "chain-signature"}},
      {"profile-signature", 0, "ecdsa-with-SHA384", [](Chain& c) { c.dac.algorithm = kSha384; }, {"matter-signature", "chain-signature"}},
      {"x509-signature-form", 0, "not that", [](Chain& c) { c.dac.signature_bits = hex("003000"); }, {"chain-signature"}},
      {"profile-key", 0, "EC P-384", [](Chain& c) {
         Bytes point(97, 0x22);
         point[0] = 4;
         c.dac.spki = der::sequence({der::sequence({der::oid("1.2.840.10045.2.1"), der::oid("1.3.132.0.34")}), der::bit_string(point)});
       }, {"matter-key"}},
      {"x509-name-form", 0, "the subject is malformed", [](Chain& c) { c.dac.subject = hex("30023100"); }, {"matter-dac-vendor-id", "matter-dac-product-id", "chain-signature"}},
      {"x509-issuer-empty", 0, "the issuer is empty", [](Chain& c) { c.dac.issuer = hex("3000"); }, {"chain-name"}},
      {"x509-subject-empty", 0, "the subject is empty", [](Chain& c) { c.name(0, {}); }, {"matter-dac-vendor-id", "matter-dac-product-id"}},
      {"x509-name-string", 0, "2.5.4.3 is TeletexString", [](Chain& c) { c.name(0, {rdn(kCn, 0x14, "x"), utf8(kVid, "FFF1"), utf8(kPid, "8000")}); }},
      {"x509-name-string", 0, "2.5.4.6 is UTF8String", [](Chain& c) { c.name(0, {utf8("2.5.4.6", "DE"), utf8(kVid, "FFF1"), utf8(kPid, "8000")}); }},
      {"x509-name-value", 0, "\"a_b\": characters", [](Chain& c) { c.name(0, {rdn(kCn, 0x13, "a_b"), utf8(kVid, "FFF1"), utf8(kPid, "8000")}); }},
      {"x509-name-value", 0, "has 65 characters", [](Chain& c) { c.name(0, {utf8(kCn, std::string(65, 'x')), utf8(kVid, "FFF1"), utf8(kPid, "8000")}); }},
      {"x509-time-form", 0, "notBefore is GeneralizedTime", [](Chain& c) {
         c.dac.validity = der::sequence({der::tlv(der::kGeneralizedTime, as_bytes("20270101000000Z")), der::time(at("2040-01-01T00:00:00Z"))});
       }},
      {"x509-time-form", 0, "notAfter is UTCTime", [](Chain& c) {
         c.dac.validity = der::sequence({der::time(at("2027-01-01T00:00:00Z")), der::tlv(der::kUtcTime, as_bytes("4001010000Z"))});
       }, {"chain-signature"}},
      {"x509-validity-order", 0, "from 2041-01-01", [](Chain& c) { c.dac.validity = validity("2041-01-01T00:00:00Z", "2040-01-01T00:00:00Z"); }},
      {"x509-unique-id", 0, "is there", [](Chain& c) { c.dac.unique_id = hex("81020001"); }},
      {"x509-extensions-form", 0, "not a SEQUENCE with an Extension", [](Chain& c) { c.dac.extensions.clear(); },
       {"x509-authority-key-identifier", "matter-subject-key-identifier", "matter-authority-key-identifier", "matter-dac-basic-constraints", "matter-dac-key-usage"}},
      {"x509-extension-flag", 0, "the critical flag of 2.5.29.14 is 00", [](Chain& c) {
         c.dac.remove(0x0e);
         c.dac.extensions.push_back(der::sequence({hex("0603551d0e"), hex("010100"), der::octet_string(der::octet_string(Bytes(20, 7)))}));
       }},
      {"x509-extension-twice", 0, "2.5.29.14 stands twice", [](Chain& c) { c.dac.extensions.push_back(c.dac.extensions[2]); }},
      {"x509-critical-unknown", 0, "1.2.3.4 is critical", [](Chain& c) { c.dac.extensions.push_back(der::sequence({der::oid("1.2.3.4"), der::boolean(true), hex("04020500")})); }},
      {"x509-basic-constraints", 0, "no small number", [](Chain& c) { c.dac.set(0x13, true, hex("30030201ff")); }},
      {"x509-ca-constraints", 1, "not critical", [](Chain& c) { c.pai.set(0x13, false, hex("30060101ff020100")); }, {"matter-pai-basic-constraints"}},
      {"x509-path-length-use", 0, "path length 0 without cA TRUE", [](Chain& c) { c.dac.set(0x13, true, hex("3003020100")); }, {"matter-dac-basic-constraints"}},
      {"x509-key-usage", 0, "zero bits at the end", [](Chain& c) { c.dac.set(0x0f, true, hex("03020080")); }},
      {"x509-key-usage", 0, "no bit is set", [](Chain& c) { c.dac.set(0x0f, true, hex("03020700")); }, {"matter-dac-key-usage"}},
      {"x509-cert-sign-use", 0, "cA is not TRUE", [](Chain& c) { c.dac.set(0x0f, true, hex("03020284")); }, {"matter-dac-key-usage"}},
      {"x509-cert-sign-use", 1, "a CA without keyUsage", [](Chain& c) { c.pai.remove(0x0f); }, {"matter-pai-key-usage"}},
      {"x509-subject-key-identifier", 1, "a CA without one", [](Chain& c) { c.pai.remove(0x0e); }, {"matter-subject-key-identifier"}},
      {"x509-authority-key-identifier", 0, "there is none", [](Chain& c) { c.dac.remove(0x23); }, {"matter-authority-key-identifier"}},
      {"x509-key-identifier-critical", 0, "2.5.29.14 is critical", [](Chain& c) { c.dac.set(0x0e, true, der::octet_string(Bytes(20, 7))); }},
      {"x509-alt-name", 0, "not a SEQUENCE with a name", [](Chain& c) { c.dac.set(0x11, false, hex("3000")); }},
      {"x509-alt-name", 0, "a name of tag 0x87", [](Chain& c) { c.dac.set(0x11, false, hex("30058703010203")); }},
      {"x509-extended-key-usage", 0, "not a SEQUENCE of OIDs", [](Chain& c) { c.dac.set(0x25, false, hex("30020500")); }},
      {"x509-policies", 0, "a policy twice", [](Chain& c) { c.dac.set(0x20, false, hex("300c300406022a03300406022a03")); }},
      {"chain-length", 0, "11 certificates", [](Chain& c) { c.afterwards = [](auto& built) { built.resize(11, Bytes{built[2]}); }; }},
      {"chain-name", 0, "the next certificate is CN=ACME PAI", [](Chain& c) { c.dac.issuer = der::sequence({utf8(kCn, "other")}); }},
      {"chain-key-identifier", 0, "issued by the key 0707", [](Chain& c) { c.dac.set(0x23, false, der::sequence({der::tlv(0x80, Bytes(20, 7))})); }},
      {"chain-signature", 0, "not signed by CN=ACME PAI", [](Chain& c) { c.afterwards = [&c](auto& built) { built[0] = c.dac.build(c.pki.paa_key); }; }},
      {"chain-signature", 2, "not signed by its own key", [](Chain& c) { c.afterwards = [&c](auto& built) { built[2] = c.paa.build(c.pki.dac_key); }; }, {"matter-paa-self-signed"}},
      {"chain-not-a-ca", 1, "is not a CA", [](Chain& c) { c.pai.set(0x13, true, hex("3000")); }, {"matter-pai-basic-constraints", "x509-cert-sign-use"}},
      {"chain-key-usage", 1, "has no keyCertSign", [](Chain& c) { c.pai.set(0x0f, true, hex("03020102")); }, {"matter-pai-key-usage", "x509-cert-sign-use", "x509-path-length-use"}},
      {"chain-path-length", 2, "allows 0 CAs below it, there are 1", [](Chain& c) { c.paa.set(0x13, true, hex("30060101ff020100")); }, {"matter-paa-basic-constraints"}},
      {"chain-validity", 1, "its issuer from 2026-01-01", [](Chain& c) { c.pai.validity = validity("2025-12-31T00:00:00Z", "9999-12-31T23:59:59Z"); }},
      {"matter-version", 0, "version 1", [](Chain& c) { c.dac.version.clear(); }, {"x509-version"}},
      {"matter-signature", 1, "ecdsa-with-SHA384", [](Chain& c) { c.pai.algorithm = kSha384; }, {"profile-signature", "chain-signature"}},
      {"matter-key", 0, "the key is EC P-256", [](Chain& c) {
         // The point compressed, which PublicKey::from_spki does not take.
         Bytes point = to_bytes(c.pki.dac_key.public_key().point().first(33));
         point[0] = static_cast<std::uint8_t>(2 + (c.pki.dac_key.public_key().point()[64] & 1U));
         c.dac.spki = der::sequence({der::sequence({der::oid("1.2.840.10045.2.1"), der::oid("1.2.840.10045.3.1.7")}), der::bit_string(point)});
       }, {"profile-key"}},
      {"matter-size", 0, " octets", [](Chain& c) { c.dac.extensions.push_back(der::sequence({der::oid("1.2.3.4"), der::octet_string(der::octet_string(Bytes(200, 7)))})); }},
      {"matter-vid-utf8", 0, "string tag 0x13", [](Chain& c) { c.name(0, {rdn(kVid, 0x13, "FFF1"), utf8(kPid, "8000")}); }},
      {"matter-vid-digits", 0, "VendorID is \"fff1\"", [](Chain& c) { c.name(0, {utf8(kVid, "fff1"), utf8(kPid, "8000")}); }},
      {"matter-vid-digits", 0, "VendorID is \"FFF\"", [](Chain& c) { c.name(0, {utf8(kVid, "FFF"), utf8(kPid, "8000")}); }},
      {"matter-pid-utf8", 0, "string tag 0x13", [](Chain& c) { c.name(0, {utf8(kVid, "FFF1"), rdn(kPid, 0x13, "8000")}); }},
      {"matter-pid-digits", 0, "ProductID is \"80000\"", [](Chain& c) { c.name(0, {utf8(kVid, "FFF1"), utf8(kPid, "80000")}); }},
      {"matter-common-name", 0, "behind Mpid: stands \"80g0\"", [](Chain& c) { c.name(0, {utf8(kCn, "ACME Mvid:FFF1 Mpid:80g0")}); }},
      {"matter-common-name", 0, "Mvid: stands 2 times", [](Chain& c) { c.name(0, {utf8(kCn, "Mvid:FFF1 Mvid:FFF1 Mpid:8000")}); }, {"matter-dac-vendor-id"}},
      {"matter-mixed", 0, "a reader takes the attributes alone", [](Chain& c) { c.name(0, {utf8(kCn, "ACME Mpid:8000"), utf8(kVid, "FFF1")}); }, {"matter-dac-product-id"}},
      {"matter-subject-key-identifier", 0, "there is none", [](Chain& c) { c.dac.remove(0x0e); }},
      {"matter-authority-key-identifier", 1, "there is none", [](Chain& c) { c.pai.remove(0x23); }, {"x509-authority-key-identifier"}},
      {"matter-dac-vendor-id", 0, "there are 0", [](Chain& c) { c.name(0, {utf8(kCn, "ACME"), utf8(kPid, "8000")}); }},
      {"matter-dac-vendor-id", 0, "there are 2", [](Chain& c) { c.name(0, {utf8(kVid, "FFF1"), utf8(kVid, "FFF1"), utf8(kPid, "8000")}); }},
      {"matter-dac-product-id", 0, "there are 0", [](Chain& c) { c.name(0, {utf8(kCn, "ACME"), utf8(kVid, "FFF1")}); }},
      {"matter-dac-basic-constraints", 0, "not critical, cA FALSE, path length absent", [](Chain& c) { c.dac.set(0x13, false, hex("3000")); }},
      {"matter-dac-basic-constraints", 0, "cA TRUE", [](Chain& c) { c.dac.set(0x13, true, hex("30030101ff")); }, {"x509-cert-sign-use"}},
      {"matter-dac-key-usage", 0, "not critical: digitalSignature", [](Chain& c) { c.dac.set(0x0f, false, hex("03020780")); }},
      {"matter-dac-key-usage", 0, "digitalSignature contentCommitment", [](Chain& c) { c.dac.set(0x0f, true, hex("030206c0")); }},
      {"matter-dac-key-usage", 0, "there is none", [](Chain& c) { c.dac.remove(0x0f); }},
      {"matter-dac-vendor-match", 0, "FFF2, but its issuer's is FFF1", [](Chain& c) { c.name(0, {utf8(kVid, "FFF2"), utf8(kPid, "8000")}); }},
      {"matter-dac-product-match", 0, "8001, but its issuer's is 8000", [](Chain& c) { c.name(0, {utf8(kVid, "FFF1"), utf8(kPid, "8001")}); }},
      {"matter-dac-validity", 0, "its PAI 2046", [](Chain& c) { c.pai.validity = validity("2026-02-01T00:00:00Z", "2046-02-01T00:00:00Z"); }, {"chain-validity"}},
      {"matter-pai-vendor-id", 1, "there are 0", [](Chain& c) { c.name(1, {utf8(kCn, "ACME PAI"), utf8(kPid, "8000")}); }},
      {"matter-pai-product-id", 1, "there are 2", [](Chain& c) { c.name(1, {utf8(kVid, "FFF1"), utf8(kPid, "8000"), utf8(kPid, "8000")}); }},
      {"matter-pai-basic-constraints", 1, "critical, cA TRUE, path length absent", [](Chain& c) { c.pai.set(0x13, true, hex("30030101ff")); }},
      {"matter-pai-basic-constraints", 1, "path length 1", [](Chain& c) { c.pai.set(0x13, true, hex("30060101ff020101")); }},
      {"matter-pai-key-usage", 1, "critical: keyCertSign", [](Chain& c) { c.pai.set(0x0f, true, hex("03020204")); }},
      {"matter-pai-key-usage", 1, "not critical: keyCertSign cRLSign", [](Chain& c) { c.pai.set(0x0f, false, hex("03020106")); }},
      {"matter-pai-vendor-match", 1, "FFF1, but its issuer's is FFF2", [](Chain& c) { c.name(2, {utf8(kCn, "ACME PAA"), utf8(kVid, "FFF2")}); }},
      {"matter-paa-self-signed", 2, "issued by CN=other", [](Chain& c) { c.paa.issuer = der::sequence({utf8(kCn, "other")}); }},
      {"matter-paa-vendor-id", 2, "there are 2", [](Chain& c) { c.name(2, {utf8(kVid, "FFF1"), utf8(kVid, "FFF1")}); }},
      {"matter-paa-product-id", 2, "there are 1", [](Chain& c) { c.name(2, {utf8(kVid, "FFF1"), utf8(kPid, "8000")}); }},
      {"matter-paa-basic-constraints", 2, "path length 2", [](Chain& c) { c.paa.set(0x13, true, hex("30060101ff020102")); }},
      {"matter-paa-key-usage", 2, "critical: cRLSign", [](Chain& c) { c.paa.set(0x0f, true, hex("03020102")); }, {"x509-cert-sign-use", "x509-path-length-use", "chain-key-usage"}},
  };
  return all;
}

std::string listed(const std::vector<Finding>& findings) {
  std::string text;
  for (const Finding& finding : findings)
    text += fmt::format("  {} {} ({}): {}\n", finding.certificate, finding.rule->name, finding.rule->clause, finding.text);
  return text;
}

std::set<std::string> names(const std::vector<Finding>& findings) {
  std::set<std::string> found;
  for (const Finding& finding : findings) found.emplace(finding.rule->name);
  return found;
}

class BrokenRule : public testing::TestWithParam<Case> {};

TEST_P(BrokenRule, IsFoundWithItsNameClauseAndMessage) {
  Chain chain;
  GetParam().breaks(chain);
  const auto findings = lint_chain(chain.build(), LintProfile::MatterDac);
  bool found = false;
  for (const Finding& finding : findings) {
    const std::string name{finding.rule->name};
    found |= name == GetParam().rule && finding.certificate == GetParam().certificate &&
             finding.text.find(GetParam().text) != std::string::npos;
    EXPECT_TRUE(name == GetParam().rule || GetParam().also.contains(name)) << listed(findings);
    EXPECT_FALSE(finding.rule->clause.empty());
    EXPECT_FALSE(finding.rule->sentence.empty());
  }
  EXPECT_TRUE(found) << GetParam().rule << ": " << GetParam().text << "\n" << listed(findings);
}

INSTANTIATE_TEST_SUITE_P(Cases, BrokenRule, testing::ValuesIn(cases()), [](const auto& one) {
  std::string name = fmt::format("{:02}_{}", one.index, one.param.rule);
  std::ranges::replace(name, '-', '_');
  return name;
});

TEST(LintRules, EachHasANegativeTestAndANameOfItsOwn) {
  std::set<std::string> tested;
  for (const Case& one : cases()) tested.insert(one.rule);
  std::set<std::string> seen;
  for (const LintRule& rule : lint_rules()) {
    EXPECT_TRUE(tested.contains(std::string{rule.name})) << rule.name;
    EXPECT_TRUE(seen.emplace(rule.name).second) << rule.name;
  }
}

TEST(Lint, FindsNothingInWhatWeMake) {
  test::MatterPki pki;
  const auto findings = lint_chain(pki.chain());
  EXPECT_TRUE(findings.empty()) << listed(findings);
  EXPECT_EQ(lint_profile_of(pki.chain()), LintProfile::MatterDac);
  test::Ca ca;
  const test::Leaf leaf = test::make_leaf(ca);
  const std::vector<Bytes> chain{leaf.certificate, ca.certificate};
  const auto general = lint_chain(chain);
  EXPECT_TRUE(general.empty()) << listed(general);
  EXPECT_EQ(lint_profile_of(chain), LintProfile::General);
}

TEST(Lint, FindsNothingInACommonNameFormDac) {
  Chain chain;
  chain.name(0, {utf8(kCn, "ACME Matter Devel DAC 5CDA9899 Mvid:FFF1 Mpid:8000")});
  const auto findings = lint_chain(chain.build());
  EXPECT_TRUE(findings.empty()) << listed(findings);
}

TEST(Lint, AllowsDigitalSignatureInAPaiAndUtcTimeThrough2049) {
  Chain chain;
  chain.pai.set(0x0f, true, hex("03020186"));
  chain.dac.validity = validity("2026-03-01T00:00:00Z", "2049-12-31T23:59:59Z");
  const auto findings = lint_chain(chain.build());
  EXPECT_TRUE(findings.empty()) << listed(findings);
  EXPECT_EQ(chain.dac.validity[2], der::kUtcTime);
  EXPECT_EQ(chain.dac.validity[17], der::kUtcTime);
}

TEST(Lint, OrdersFindingsByCertificateThenRule) {
  Chain chain;
  chain.pai.remove(0x0e);
  chain.dac.remove(0x23);
  chain.dac.serial = hex("020100");
  const auto findings = lint_chain(chain.build());
  ASSERT_GE(findings.size(), 4U);
  EXPECT_EQ(findings[0].rule->name, "x509-serial-positive");
  EXPECT_EQ(findings.back().certificate, 1U);
}

std::vector<Bytes> vector_file(const std::string& name) {
  std::ifstream in{std::string{KEYFERRY_VECTORS_DIR} + "/matter/" + name};
  std::stringstream text;
  text << in.rdbuf();
  return std::get<std::vector<Bytes>>(read_certificates(as_bytes(text.str())));
}

TEST(LintVectors, TheSpecificationsExampleChainHasNoFinding) {
  const auto chain = vector_file("chain.pem");
  ASSERT_EQ(chain.size(), 3U);
  const auto findings = lint_chain(chain);
  EXPECT_TRUE(findings.empty()) << listed(findings);
  EXPECT_EQ(lint_profile_of(chain), LintProfile::MatterDac);
  EXPECT_EQ(std::get<MatterIds>(matter_ids(test::facts_of(chain[0]).subject_name)), test::matter(0xfff1, 0x8000));
  for (std::size_t i = 0; i < chain.size(); ++i) EXPECT_TRUE(lint_certificate(chain[i]).empty()) << i;
}

TEST(LintVectors, APaiOfTheSameNameAndAnotherKeyIsFound) {
  const auto findings = lint_chain(vector_file("another-pai.pem"));
  EXPECT_EQ(names(findings), (std::set<std::string>{"chain-key-identifier", "chain-signature"})) << listed(findings);
}

TEST(LintVectors, APaaWithoutVendorAndPathLengthIsAllowed) {
  const auto chain = vector_file("old-paa.pem");
  EXPECT_EQ(lint_profile_of(chain), LintProfile::General);
  const auto findings = lint_chain(chain, LintProfile::MatterPaa);
  EXPECT_TRUE(findings.empty()) << listed(findings);
}

std::vector<Bytes> made_by_openssl(const std::string& commands, const std::string& file) {
  const keyferry::test::TempFolder folder;
  const auto made = keyferry::test::run_command("cd " + folder.path().string() + " && " + commands);
  EXPECT_EQ(made.status, 0) << made.output;
  std::ifstream in{folder.path() / file, std::ios::binary};
  std::stringstream text;
  text << in.rdbuf();
  auto read = read_certificates(as_bytes(text.str()));
  return std::get<std::vector<Bytes>>(read);
}

TEST(LintOthers, NamesAnRsaKeyAndItsSignatureAsOutsideTheProfile) {
  const auto chain = made_by_openssl(
      "openssl req -x509 -newkey rsa:2048 -nodes -keyout k -out c.pem -days 30 -subj /CN=x -addext keyUsage=critical,keyCertSign",
      "c.pem");
  const auto findings = lint_chain(chain);
  EXPECT_EQ(names(findings), (std::set<std::string>{"profile-key", "profile-signature"})) << listed(findings);
  EXPECT_NE(listed(findings).find("the key is RSA 2048"), std::string::npos);
  EXPECT_NE(listed(findings).find("sha256WithRSAEncryption"), std::string::npos);
}

TEST(LintOthers, NamesSha1AndVerifiesForeignSignaturesInAChain) {
  const std::string make =
      "openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.k -out ca.pem -days 30 -subj /CN=ca -addext keyUsage=critical,keyCertSign && "
      "openssl req -newkey rsa:2048 -nodes -keyout k -out r -subj /CN=leaf && "
      "openssl x509 -req -sha1 -in r -CA ca.pem -CAkey ca.k -days 10 -out leaf.pem && cat leaf.pem ca.pem > all.pem";
  const auto chain = made_by_openssl(make, "all.pem");
  ASSERT_EQ(chain.size(), 2U);
  const auto findings = lint_chain(chain);
  EXPECT_TRUE(names(findings).contains("x509-weak-hash")) << listed(findings);
  EXPECT_TRUE(names(findings).contains("x509-version")) << "openssl gives version 1 without extensions\n" << listed(findings);
  EXPECT_FALSE(names(findings).contains("chain-signature")) << listed(findings);
}

TEST(LintOthers, NamesEd25519) {
  const auto chain = made_by_openssl("openssl req -x509 -newkey ed25519 -nodes -keyout k -out c.pem -days 30 -subj /CN=x", "c.pem");
  EXPECT_NE(listed(lint_chain(chain)).find("the key is Ed25519"), std::string::npos) << listed(lint_chain(chain));
}

TEST(Lint, LivesThroughEveryCutAndFlippedOctet) {
  test::MatterPki pki;
  for (std::size_t size = 0; size < pki.dac.size(); ++size) {
    const Bytes cut(pki.dac.begin(), pki.dac.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_FALSE(lint_certificate(cut).empty()) << size;
  }
  for (std::size_t at_octet = 0; at_octet < pki.dac.size(); ++at_octet) {
    auto chain = pki.chain();
    chain[0][at_octet] ^= 0x41U;
    EXPECT_FALSE(lint_chain(chain).empty()) << at_octet;
  }
}

}  // namespace
}  // namespace keyferry::x509
