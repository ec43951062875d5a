#include "wrap/x509/certificate.h"

#include <gtest/gtest.h>

#include <random>

#include "tests/support/command.h"
#include "tests/support/temp_folder.h"
#include "tests/wrap/x509/fixture.h"
#include "wrap/base/durable_file.h"
#include "wrap/x509/der.h"

namespace keyferry::x509 {
namespace {

using test::reason;

const Bytes& sample() {
  static const Bytes kCertificate = [] {
    test::Ca ca;
    return test::make_leaf(ca).certificate;
  }();
  return kCertificate;
}

/// The sample with its first occurrence of `from` replaced by as many octets.
Bytes patched(std::string_view from, std::string_view to) {
  Bytes changed = sample();
  const Bytes old_octets = *from_hex(from);
  const Bytes new_octets = *from_hex(to);
  const auto found = std::ranges::search(changed, old_octets);
  EXPECT_FALSE(found.empty()) << from;
  std::ranges::copy(new_octets, found.begin());
  return changed;
}

TEST(ParseCertificate, GivesTheFactsOfALeaf) {
  test::Ca ca;
  const test::Leaf leaf = test::make_leaf(ca);
  const auto parsed = parse_certificate(leaf.certificate);
  ASSERT_EQ(reason(parsed), "");
  const auto& facts = std::get<CertificateFacts>(parsed);
  EXPECT_EQ(facts.subject, "CN=DEV-0001,O=ACME,serialNumber=01ab02cd");
  EXPECT_EQ(facts.issuer, "CN=Test CA,O=ACME,C=DE");
  EXPECT_TRUE(serial_from_content(facts.serial));
  EXPECT_EQ(facts.key, leaf.key.public_key());
  EXPECT_EQ(facts.not_before, test::at("2026-06-01T00:00:00Z"));
  EXPECT_EQ(facts.not_after, test::at("2056-05-31T23:59:59Z"));
  EXPECT_FALSE(facts.is_ca);
  EXPECT_FALSE(facts.path_length.has_value());
  EXPECT_EQ(facts.key_usage, kDigitalSignature);
  EXPECT_EQ(facts.subject_key_identifier, to_bytes(key_identifier(leaf.key.public_key()).bytes()));
  EXPECT_EQ(facts.authority_key_identifier, to_bytes(key_identifier(ca.key.public_key()).bytes()));
  EXPECT_EQ(facts.tbs, leaf.tbs);
  EXPECT_EQ(facts.sha256, crypto::sha256(leaf.certificate));
  EXPECT_TRUE(crypto::verify(ca.key.public_key(), crypto::sha256(leaf.tbs), facts.signature));
}

TEST(ParseCertificate, GivesTheFactsOfACa) {
  test::Ca ca;
  ca.spec.path_length = 255;
  ca.certificate = ca.make();
  const CertificateFacts facts = ca.facts();
  EXPECT_TRUE(facts.is_ca);
  EXPECT_EQ(facts.path_length, 255U);
  EXPECT_EQ(facts.key_usage, kKeyCertSign | kCrlSign);
}

TEST(ParseCertificate, ReadsACertificateThatOpensslMade) {
  const keyferry::test::TempFolder folder;
  const auto made = keyferry::test::run_command(
      "cd " + folder.path().string() +
      " && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout k.pem "
      "-subj '/O=Other/CN=openssl'"
      " -days 30 -sha256 -outform der -out c.der");
  ASSERT_EQ(made.status, 0) << made.output;
  const auto parsed = parse_certificate(read_file(folder / "c.der", kMaxCertificateBytes));
  ASSERT_EQ(reason(parsed), "");
  EXPECT_EQ(std::get<CertificateFacts>(parsed).subject, "O=Other,CN=openssl");
  EXPECT_TRUE(std::get<CertificateFacts>(parsed).is_ca);
}

TEST(ParseCertificate, RefusesOtherAlgorithmsAsOutsideItsProfile) {
  const keyferry::test::TempFolder folder;
  for (const char* algorithm : {"rsa:2048", "ec -pkeyopt ec_paramgen_curve:P-384", "ed25519"}) {
    const auto made = keyferry::test::run_command(
        "cd " + folder.path().string() + " && openssl req -x509 -newkey " + algorithm +
        " -nodes -keyout k.pem -subj /CN=x -outform der -out c.der");
    ASSERT_EQ(made.status, 0) << made.output;
    EXPECT_EQ(reason(parse_certificate(read_file(folder / "c.der", kMaxCertificateBytes))),
              "certificate-profile")
        << algorithm;
  }
}

TEST(ParseCertificate, RefusesAnUnknownCriticalExtension) {
  // keyUsage becomes 2.5.29.30 (nameConstraints), still critical.
  EXPECT_EQ(reason(parse_certificate(patched("0603551d0f0101ff", "0603551d1e0101ff"))),
            "certificate-profile");
}

TEST(ParseCertificate, RefusesAnExtensionThatStandsTwice) {
  EXPECT_EQ(reason(parse_certificate(patched("0603551d0e", "0603551d23"))),
            "certificate-malformed");
}

TEST(ParseCertificate, RefusesWhatDerForbids) {
  EXPECT_EQ(reason(parse_certificate(patched("0603551d0f0101ff", "0603551d0f010101"))),
            "certificate-malformed");
  EXPECT_EQ(reason(parse_certificate(patched("03020780", "03020700"))),
            "certificate-malformed");  // no usage at all
  EXPECT_EQ(reason(parse_certificate(patched("03020780", "030207c0"))),
            "certificate-malformed");  // unused bits set
}

TEST(ParseCertificate, RefusesOtherVersionsAndNegativeSerials) {
  EXPECT_EQ(reason(parse_certificate(patched("a003020102", "a003020101"))), "certificate-profile");
  Bytes negative = sample();
  const Bytes start = *from_hex("a00302010202");  // then the length of the serial
  const auto found = std::ranges::search(negative, start);
  ASSERT_FALSE(found.empty());
  *(found.end() + 1) = 0x80;
  EXPECT_EQ(reason(parse_certificate(negative)), "certificate-malformed");
}

TEST(ParseCertificate, RefusesSizesOutOfBounds) {
  EXPECT_EQ(reason(parse_certificate({})), "certificate-size");
  EXPECT_EQ(reason(parse_certificate(Bytes(kMaxCertificateBytes + 1, 0x30))), "certificate-size");
}

TEST(ParseCertificate, RefusesEveryShorteningAndAnOctetBehind) {
  for (std::size_t size = 1; size < sample().size(); ++size) {
    EXPECT_NE(reason(parse_certificate(ByteView{sample()}.first(size))), "") << size;
  }
  Bytes longer = sample();
  longer.push_back(0);
  EXPECT_EQ(reason(parse_certificate(longer)), "certificate-malformed");
}

TEST(ParseCertificate, SurvivesEveryChangedOctet) {
  for (std::size_t at = 0; at < sample().size(); ++at) {
    for (const unsigned flip : {0x01U, 0x80U, 0xffU}) {
      Bytes changed = sample();
      changed[at] = static_cast<std::uint8_t>(changed[at] ^ flip);
      static_cast<void>(parse_certificate(changed));
    }
  }
}

TEST(ParseCertificate, SurvivesGarbage) {
  std::mt19937 random{20260722};
  for (int round = 0; round < 20000; ++round) {
    Bytes garbage(random() % 400 + 1);
    for (auto& octet : garbage) octet = static_cast<std::uint8_t>(random());
    garbage.front() = 0x30;
    EXPECT_NE(reason(parse_certificate(garbage)), "");
  }
}

TEST(ParseCertificate, SurvivesDeepNesting) {
  Bytes nested = *from_hex("3000");
  while (nested.size() + 4 <= kMaxCertificateBytes) nested = der::tlv(der::kSequence, nested);
  EXPECT_EQ(reason(parse_certificate(nested)), "certificate-malformed");
}

}  // namespace
}  // namespace keyferry::x509
