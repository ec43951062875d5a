// `keyferry-audit cert lint` as a program: texts, JSON and exit status.
#include "token/audit-tool/certificate_view.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/support/command.h"
#include "tests/support/temp_folder.h"

namespace keyferry::audit_tool {
namespace {

const std::string kVectors = std::string{KEYFERRY_VECTORS_DIR} + "/matter/";

test::CommandResult lint(const std::string& arguments) {
  return test::run_command(std::string{KEYFERRY_BIN_DIR} + "/keyferry-audit cert lint " + arguments);
}

TEST(CertLint, FindsNothingInTheSpecificationsChain) {
  const auto result = lint(kVectors + "chain.pem");
  EXPECT_EQ(result.status, 0) << result.output;
  EXPECT_NE(result.output.find("profile  matter-dac\n"), std::string::npos) << result.output;
  EXPECT_NE(result.output.find("CN=Matter Test DAC 0001,VendorID=FFF1,ProductID=8000"), std::string::npos);
  EXPECT_NE(result.output.find("\nno finding\n"), std::string::npos);
}

TEST(CertLint, NamesRuleAndClauseAndEndsWithOne) {
  const auto result = lint(kVectors + "another-pai.pem");
  EXPECT_EQ(result.status, 1) << result.output;
  EXPECT_NE(result.output.find("another-pai.pem #1: chain-signature: not signed by CN=Matter Test PAI"), std::string::npos) << result.output;
  EXPECT_NE(result.output.find("(RFC 5280 6.1.3 (a)(1))"), std::string::npos);
  EXPECT_NE(result.output.find("2 findings"), std::string::npos);
}

TEST(CertLint, SaysTheSameAsJson) {
  const auto result = lint("--json " + kVectors + "another-pai.pem");
  EXPECT_EQ(result.status, 1);
  const auto json = nlohmann::json::parse(result.output);
  EXPECT_EQ(json["schema"], "keyferry.audit-cert-lint.v1");
  EXPECT_EQ(json["profile"], "matter-dac");
  ASSERT_EQ(json["findings"].size(), 2U);
  EXPECT_EQ(json["findings"][0]["rule"], "chain-key-identifier");
  EXPECT_EQ(json["findings"][0]["certificate"], 0);
  EXPECT_EQ(json["certificates"].size(), 2U);
}

TEST(CertLint, TakesFilesOfEveryFormAsOneChain) {
  const test::TempFolder folder;
  const auto made = test::run_command("cd " + folder.path().string() +
                                      " && openssl x509 -in " + kVectors + "chain.pem -outform DER -out dac.der"
                                      " && openssl crl2pkcs7 -nocrl -certfile " + kVectors + "chain.pem -out all.p7b"
                                      " && ln -s dac.der link.der");
  ASSERT_EQ(made.status, 0) << made.output;
  const std::string in = folder.path().string() + "/";
  EXPECT_EQ(lint(in + "dac.der").status, 0);
  EXPECT_EQ(lint(in + "link.der").status, 0);
  EXPECT_EQ(lint(in + "all.p7b").status, 0);
  EXPECT_EQ(lint(in + "dac.der " + kVectors + "old-paa.pem").status, 1);
}

TEST(CertLint, LintsACertificateOfAnybody) {
  const test::TempFolder folder;
  const auto made = test::run_command("cd " + folder.path().string() + " && openssl req -x509 -newkey rsa:2048 -nodes -keyout k -out c.pem -days 9 -subj /CN=anybody -sha1");
  ASSERT_EQ(made.status, 0) << made.output;
  const auto result = lint((folder / "c.pem").string());
  EXPECT_EQ(result.status, 1);
  for (const char* part : {"profile  general", "x509-weak-hash: signed with sha1WithRSAEncryption", "profile-key: the key is RSA 2048"})
    EXPECT_NE(result.output.find(part), std::string::npos) << part << "\n" << result.output;
}

TEST(CertLint, TakesTheProfileThatIsAskedFor) {
  EXPECT_EQ(lint("--profile matter-paa " + kVectors + "old-paa.pem").status, 0);
  const auto as_dac = lint("--profile matter-dac " + kVectors + "old-paa.pem");
  EXPECT_EQ(as_dac.status, 1);
  EXPECT_NE(as_dac.output.find("matter-dac-vendor-id"), std::string::npos);
  EXPECT_EQ(lint("--profile dac " + kVectors + "old-paa.pem").status, 2);
}

TEST(CertLint, LintsDerThatIsNoCertificateAndRefusesFilesThatAreNone) {
  const test::TempFolder folder;
  std::ofstream{folder / "junk.der", std::ios::binary} << std::string("\x30\x03\x02\x01\x05", 5);
  std::ofstream{folder / "large.der", std::ios::binary} << "0" << std::string(20000, 'x');
  std::ofstream{folder / "text.pem"} << "hello\n";
  std::ofstream{folder / "empty"};
  const auto junk = lint((folder / "junk.der").string());
  EXPECT_EQ(junk.status, 1);
  EXPECT_NE(junk.output.find("x509-der"), std::string::npos) << junk.output;
  const auto large = lint((folder / "large.der").string());
  EXPECT_EQ(large.status, 1);
  EXPECT_NE(large.output.find("profile-size: 20001 octets"), std::string::npos) << large.output;
  for (const char* name : {"text.pem", "empty", "nothing-there"}) {
    const auto refused = lint((folder / name).string());
    EXPECT_EQ(refused.status, 2) << name << refused.output;
    EXPECT_NE(refused.output.find("hint: "), std::string::npos) << refused.output;
  }
  EXPECT_EQ(lint("").status, 2);
}

TEST(CertRules, AreListedWithTheirClauses) {
  const auto result = test::run_command(std::string{KEYFERRY_BIN_DIR} + "/keyferry-audit cert rules");
  EXPECT_EQ(result.status, 0);
  for (const x509::LintRule& rule : x509::lint_rules())
    EXPECT_NE(result.output.find(std::string{rule.name} + "\n"), std::string::npos) << rule.name;
}

}  // namespace
}  // namespace keyferry::audit_tool
