#include "wrap/x509/linted_shape.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "wrap/crypto/soft_key.h"
#include "wrap/x509/certificate_builder.h"
#include "wrap/x509/template.h"

namespace keyferry::x509 {
namespace {

class LintedShapeTest : public ::testing::Test {
 protected:
  LintedShapeTest() {
    device_.name = kMatterDacTemplateName;
    device_.subject = "CN=ACME {device_serial}";
    device_.matter = {std::uint16_t{0xFFF1}, std::uint16_t{0x8000}, MatterForm::Attributes};
    device_.not_before = *from_rfc3339("2026-01-01T00:00:00Z");
    device_.not_after = *from_rfc3339("2046-01-01T00:00:00Z");
    device_.issuer_name = std::get<Bytes>(fixed_name("CN=ACME PAI"));
    device_.issuer_key_identifier = Bytes(20, 7);
  }

  [[nodiscard]] Bytes made(const std::string& serial, const crypto::PublicKey& key) {
    return made_with(*CertificateSerial::from_hex("4123456789abcdef0123456789abcdef"), serial, key);
  }

  [[nodiscard]] Bytes made_with(const CertificateSerial& certificate, const std::string& serial, const crypto::PublicKey& key) {
    return CertificateBuilder{device_}.to_be_signed(certificate, fields(serial), key);
  }

  [[nodiscard]] static SubjectFields fields(const std::string& serial) {
    return {serial, *SeSerial::from_bytes(Bytes(8, 3)), "dac", "P1", "L1"};
  }

  SystemRandom random_;
  DeviceTemplate device_;
  crypto::PublicKey key_ = crypto::SoftKey::generate().public_key();
  crypto::PublicKey other_ = crypto::SoftKey::generate().public_key();
};

TEST_F(LintedShapeTest, TakesAnotherDevicesCertificateOfTheSameTemplate) {
  const LintedShape shape{made("A-1", key_)};
  EXPECT_EQ(shape.compare(made("A-1", key_), key_), std::nullopt);
  EXPECT_EQ(shape.compare(made("A-much-longer-name-2", other_), other_), std::nullopt);
}

TEST_F(LintedShapeTest, TakesEveryLengthOfASerial) {
  const LintedShape shape{made_with(longest_serial(), "A-1", key_)};
  for (const char* serial : {"00000000000000000000000000000001", "00800000000000000000000000000000",
                             "7fffffffffffffffffffffffffffffff", "80000000000000000000000000000000"}) {
    EXPECT_EQ(shape.compare(made_with(*CertificateSerial::from_hex(serial), "A-1", key_), key_), std::nullopt) << serial;
  }
}

/// Same length, so that nothing else differs: 80 01 is negative, 00 01 is not in shortest form.
TEST_F(LintedShapeTest, RefusesASerialThatIsNegativeZeroOrNotInShortestForm) {
  const LintedShape shape{made("A-1", key_)};
  const Bytes good = made_with(*CertificateSerial::from_hex("00000000000000000000000000000101"), "A-1", key_);
  constexpr std::size_t kSerialAt = 4 + 5 + 2;  // SEQUENCE with two octets of length, version, INTEGER
  ASSERT_EQ(shape.compare(good, key_), std::nullopt);
  for (const std::uint8_t first : {std::uint8_t{0x00}, std::uint8_t{0x80}}) {
    Bytes bad = good;
    bad.at(kSerialAt) = first;
    EXPECT_TRUE(shape.compare(bad, key_).has_value()) << int{first};
  }
  Bytes zero = made_with(*CertificateSerial::from_hex("00000000000000000000000000000001"), "A-1", key_);
  zero.at(kSerialAt) = 0;
  EXPECT_TRUE(shape.compare(zero, key_).has_value());
}

TEST_F(LintedShapeTest, TakesOtherAlternativeNamesOfTheSameKind) {
  device_.name = kCustomTemplateName;
  device_.matter = {};
  device_.alt_names = {"dns:{device_serial}.example"};
  const LintedShape shape{made("a-1", key_)};
  EXPECT_EQ(shape.compare(made("b-22", other_), other_), std::nullopt);
}

TEST_F(LintedShapeTest, RefusesACertificateForAnotherKey) {
  const LintedShape shape{made("A-1", key_)};
  EXPECT_TRUE(shape.compare(made("A-1", other_), key_).has_value());
}

/// Every octet but those of serial and common name: one changed bit, and it is refused.
TEST_F(LintedShapeTest, RefusesEveryOtherChangedOctet) {
  const Bytes linted = made("A-1", key_);
  const LintedShape shape{linted};
  const Bytes good = made("B-2", other_);
  const std::string name = "ACME B-2";
  const auto name_at = std::ranges::search(good, name).begin() - good.begin();
  constexpr std::ptrdiff_t kSerialAt =
      4 + 5 + 2;  // SEQUENCE with two octets of length, version, INTEGER
  std::size_t taken = 0;
  for (std::size_t at = 0; at < good.size(); ++at) {
    Bytes bad = good;
    bad[at] ^= 1;
    const auto place = static_cast<std::ptrdiff_t>(at);
    const bool free =
        (place >= kSerialAt && place < kSerialAt + 16) ||
        (place >= name_at && place < name_at + static_cast<std::ptrdiff_t>(name.size()));
    EXPECT_EQ(shape.compare(bad, other_) == std::nullopt, free) << "octet " << at;
    taken += free ? 1 : 0;
  }
  EXPECT_EQ(taken, 16 + name.size());
}

TEST_F(LintedShapeTest, RefusesAnExtensionMoreOrLess) {
  device_.name = kCustomTemplateName;
  device_.matter = {};
  const Bytes plain = made("A-1", key_);
  device_.policies = {"1.3.6.1.4.1.99999.8"};
  const Bytes more = made("A-1", key_);
  EXPECT_TRUE(LintedShape{plain}.compare(more, key_).has_value());
  EXPECT_TRUE(LintedShape{more}.compare(plain, key_).has_value());
}

TEST_F(LintedShapeTest, RefusesAnotherVendorInTheSubject) {
  const LintedShape shape{made("A-1", key_)};
  device_.matter.vendor_id = 0xFFF2;
  EXPECT_TRUE(shape.compare(made("A-1", key_), key_).has_value());
}

TEST_F(LintedShapeTest, ThrowsOnALintedOneThatIsNoCertificate) {
  EXPECT_THROW(LintedShape{Bytes(10, 0)}, Error);
}

}  // namespace
}  // namespace keyferry::x509
