#include "wrap/x509/lint.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>

#include "tests/support/command.h"
#include "tests/support/temp_folder.h"
#include "tests/wrap/x509/lint_cases.h"
#include "wrap/x509/bundle.h"
#include "wrap/x509/pem.h"

namespace keyferry::x509 {
namespace {

using test::Case;
using test::Chain;
using test::hex;
using test::kCn;
using test::utf8;
using test::validity;

std::vector<Case> cases() {
  std::vector<Case> all = test::general_cases();
  all.insert(all.end(), test::matter_cases().begin(), test::matter_cases().end());
  return all;
}

std::string listed(const std::vector<Finding>& findings) {
  std::string text;
  for (const Finding& finding : findings)
    text += fmt::format("  {} {} ({}): {}\n",
                        finding.certificate,
                        finding.rule->name,
                        finding.rule->clause,
                        finding.text);
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
  EXPECT_EQ(std::get<MatterIds>(matter_ids(test::facts_of(chain[0]).subject_name)),
            test::matter(0xfff1, 0x8000));
  for (std::size_t i = 0; i < chain.size(); ++i)
    EXPECT_TRUE(lint_certificate(chain[i]).empty()) << i;
}

TEST(LintVectors, APaiOfTheSameNameAndAnotherKeyIsFound) {
  const auto findings = lint_chain(vector_file("another-pai.pem"));
  EXPECT_EQ(names(findings), (std::set<std::string>{"chain-key-identifier", "chain-signature"}))
      << listed(findings);
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
      "openssl req -x509 -newkey rsa:2048 -nodes -keyout k -out c.pem -days 30 -subj /CN=x -addext "
      "keyUsage=critical,keyCertSign",
      "c.pem");
  const auto findings = lint_chain(chain);
  EXPECT_EQ(names(findings), (std::set<std::string>{"profile-key", "profile-signature"}))
      << listed(findings);
  EXPECT_NE(listed(findings).find("the key is RSA 2048"), std::string::npos);
  EXPECT_NE(listed(findings).find("sha256WithRSAEncryption"), std::string::npos);
}

TEST(LintOthers, NamesSha1AndVerifiesForeignSignaturesInAChain) {
  const std::string make =
      "openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.k -out ca.pem -days 30 -subj /CN=ca "
      "-addext keyUsage=critical,keyCertSign && "
      "openssl req -newkey rsa:2048 -nodes -keyout k -out r -subj /CN=leaf && "
      "openssl x509 -req -sha1 -in r -CA ca.pem -CAkey ca.k -days 10 -out leaf.pem && cat leaf.pem "
      "ca.pem > all.pem";
  const auto chain = made_by_openssl(make, "all.pem");
  ASSERT_EQ(chain.size(), 2U);
  const auto findings = lint_chain(chain);
  EXPECT_TRUE(names(findings).contains("x509-weak-hash")) << listed(findings);
  EXPECT_TRUE(names(findings).contains("x509-version"))
      << "openssl gives version 1 without extensions\n"
      << listed(findings);
  EXPECT_FALSE(names(findings).contains("chain-signature")) << listed(findings);
}

TEST(LintOthers, NamesEd25519) {
  const auto chain = made_by_openssl(
      "openssl req -x509 -newkey ed25519 -nodes -keyout k -out c.pem -days 30 -subj /CN=x",
      "c.pem");
  EXPECT_NE(listed(lint_chain(chain)).find("the key is Ed25519"), std::string::npos)
      << listed(lint_chain(chain));
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
