#include "wrap/x509/pem.h"

#include <gtest/gtest.h>

#include "tests/wrap/x509/fixture.h"

namespace keyferry::x509 {
namespace {

using test::reason;

std::vector<Bytes> blocks(std::string_view text) {
  return std::get<std::vector<Bytes>>(from_pem(text, kPemCertificate));
}

TEST(Pem, ReadsWhatItWrites) {
  for (const std::size_t size : {1UL, 47UL, 48UL, 49UL, 500UL}) {
    const Bytes der(size, 0x5a);
    const std::string text = to_pem(kPemCertificate, der);
    EXPECT_EQ(blocks(text), std::vector<Bytes>{der}) << size;
    EXPECT_TRUE(text.starts_with("-----BEGIN CERTIFICATE-----\n"));
    EXPECT_TRUE(text.ends_with("\n-----END CERTIFICATE-----\n"));
  }
}

TEST(Pem, BreaksLinesAt64) {
  EXPECT_EQ(to_pem("X", Bytes(49, 0)),
            "-----BEGIN X-----\n" + std::string(64, 'A') + "\nAA==\n-----END X-----\n");
}

TEST(Pem, ReadsSeveralBlocksWithTextBetweenAndCrLf) {
  const Bytes one(10, 1), two(20, 2);
  std::string text = "Subject: somebody\n" + to_pem(kPemCertificate, one) + "and\n\n" +
                     to_pem(kPemCertificate, two);
  EXPECT_EQ(blocks(text), (std::vector<Bytes>{one, two}));
  for (std::size_t at = 0; (at = text.find('\n', at)) != std::string::npos; at += 2)
    text.replace(at, 1, "\r\n");
  EXPECT_EQ(blocks(text), (std::vector<Bytes>{one, two}));
}

TEST(Pem, RefusesAnotherLabel) {
  EXPECT_EQ(reason(from_pem(to_pem("PRIVATE KEY", Bytes(10, 1)), kPemCertificate)), "pem");
}

TEST(Pem, RefusesWhatIsNoPem) {
  for (const char* bad : {"",
                          "hello\n",
                          "-----BEGIN CERTIFICATE-----\n",
                          "-----BEGIN CERTIFICATE-----\nAAAA\n",
                          "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
                          "-----BEGIN CERTIFICATE-----\nA\n-----END CERTIFICATE-----\n",
                          "-----BEGIN CERTIFICATE-----\nAAA*\n-----END CERTIFICATE-----\n",
                          "-----BEGIN CERTIFICATE-----\nAAAB====\n-----END CERTIFICATE-----\n",
                          "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE----\n"}) {
    EXPECT_EQ(reason(from_pem(bad, kPemCertificate)), "pem") << bad;
  }
}

TEST(Pem, RefusesMoreThanItsLimits) {
  std::string many;
  for (std::size_t i = 0; i <= kMaxPemBlocks; ++i) many += to_pem(kPemCertificate, Bytes(1, 1));
  EXPECT_EQ(reason(from_pem(many, kPemCertificate)), "pem");
  EXPECT_EQ(reason(from_pem(std::string(kMaxPemBytes + 1, '\n'), kPemCertificate)), "pem");
}

}  // namespace
}  // namespace keyferry::x509
