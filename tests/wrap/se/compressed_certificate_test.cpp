// The 72-octet form: what it can say, what it refuses, and that it expands to the same certificate.
#include "wrap/se/compressed_certificate.h"

#include <gtest/gtest.h>

#include "wrap/base/random.h"
#include "wrap/crypto/hash.h"
#include "wrap/crypto/soft_key.h"
#include "wrap/x509/certificate.h"
#include "wrap/x509/certificate_builder.h"

namespace keyferry::se {
namespace {

class CompressedCertificateTest : public testing::Test {
 protected:
  Bytes certificate(const std::string& not_before, const std::string& not_after) {
    const x509::CertificateBuilder builder{x509::DeviceTemplate{
        .subject = "CN={key_name},O=ACME,serialNumber={se_serial}",
        .not_before = *from_rfc3339(not_before),
        .not_after = *from_rfc3339(not_after),
        .issuer_name = issuer_name(),
        .issuer_key_identifier = *from_hex("a1b2c3d4e5f60718293a4b5c6d7e8f9001020304")}};
    const x509::SubjectFields fields{
        std::nullopt, *SeSerial::from_hex("0123a5c7e90b2d4fee"), "dac", "", ""};
    const Bytes tbs = builder.to_be_signed(x509::make_serial(random_), fields, key_.public_key());
    return x509::assemble(tbs, key_.sign_digest(crypto::sha256(tbs)));
  }

  CompressedCertificate compressed(const Bytes& der) {
    const auto result = compress_certificate(der);
    EXPECT_TRUE(std::holds_alternative<CompressedCertificate>(result));
    return std::get<CompressedCertificate>(result);
  }

  SystemRandom random_;
  crypto::SoftKey key_ = crypto::SoftKey::generate();

 private:
  Bytes issuer_name() {
    const x509::CaSpec spec{
        "CN=CA", *from_rfc3339("2020-01-01T00:00:00Z"), *from_rfc3339("2060-01-01T00:00:00Z"), 0};
    const Bytes tbs = x509::ca_to_be_signed(spec, x509::make_serial(random_), key_.public_key());
    const auto parsed =
        x509::parse_certificate(x509::assemble(tbs, key_.sign_digest(crypto::sha256(tbs))));
    return std::get<x509::CertificateFacts>(parsed).subject_name;
  }
};

TEST_F(CompressedCertificateTest, HoldsSignatureDatesAndSigner) {
  const Bytes der = certificate("2024-03-01T05:00:00Z", "2050-03-01T05:00:00Z");
  const CompressedCertificate octets = compressed(der);
  const auto facts = std::get<x509::CertificateFacts>(x509::parse_certificate(der));
  EXPECT_TRUE(equal(ByteView{octets}.first(64), facts.signature));
  EXPECT_EQ(to_hex(ByteView{octets}.subspan(64)), "c184baa1b2000000");
}

TEST_F(CompressedCertificateTest, ExpandsToTheSameOctets) {
  const Bytes der = certificate("2031-12-31T23:00:00Z", "2032-12-31T23:00:00Z");
  EXPECT_EQ(std::get<Bytes>(expand_certificate(compressed(der), der)), der);
}

TEST_F(CompressedCertificateTest, SaysNoEndAsZeroYears) {
  const Bytes der = certificate("2024-03-01T05:00:00Z", "9999-12-31T23:59:59Z");
  EXPECT_EQ(compressed(der)[66] & 0x1F, 0);
}

TEST_F(CompressedCertificateTest, TakesTheSignatureOfWhatWasRead) {
  const Bytes der = certificate("2024-03-01T05:00:00Z", "2050-03-01T05:00:00Z");
  CompressedCertificate octets = compressed(der);
  octets[10] ^= 1;
  EXPECT_NE(std::get<Bytes>(expand_certificate(octets, der)), der);
}

TEST_F(CompressedCertificateTest, OfAnotherCertificateIsRefused) {
  const Bytes der = certificate("2024-03-01T05:00:00Z", "2050-03-01T05:00:00Z");
  for (const std::size_t at : {64U, 66U, 67U, 69U, 71U}) {
    CompressedCertificate octets = compressed(der);
    octets.at(at) ^= 1;
    EXPECT_EQ(std::get<Refusal>(expand_certificate(octets, der)).reason,
              "atecc608-certificate-other")
        << at;
  }
}

TEST_F(CompressedCertificateTest, RefusesAValidityThatTheFormCannotSay) {
  const std::pair<const char*, const char*> cases[] = {
      {"2024-03-01T05:30:00Z", "2025-03-01T05:30:00Z"},   // half an hour
      {"2024-03-01T05:00:00Z", "2025-03-01T04:59:59Z"},   // not to the second
      {"2024-03-01T05:00:00Z", "2025-03-02T05:00:00Z"},   // a day too long
      {"2024-03-01T05:00:00Z", "2056-03-01T05:00:00Z"},   // 32 years
      {"1999-03-01T05:00:00Z", "2020-03-01T05:00:00Z"},   // before the first year
      {"2032-03-01T05:00:00Z", "2033-03-01T05:00:00Z"}};  // after the last
  for (const auto& [from, to] : cases) {
    const auto result = compress_certificate(certificate(from, to));
    ASSERT_TRUE(std::holds_alternative<Refusal>(result)) << from << " " << to;
    EXPECT_EQ(std::get<Refusal>(result).reason, "atecc608-certificate-form");
  }
}

TEST_F(CompressedCertificateTest, RefusesWhatIsNoCertificate) {
  EXPECT_TRUE(std::holds_alternative<Refusal>(compress_certificate(Bytes(10))));
}

}  // namespace
}  // namespace keyferry::se
