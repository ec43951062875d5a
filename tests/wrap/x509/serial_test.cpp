#include "wrap/x509/serial.h"

#include <gtest/gtest.h>

#include <set>

#include "tests/support/command.h"
#include "tests/support/temp_folder.h"
#include "tests/wrap/x509/fixture.h"
#include "wrap/base/durable_file.h"
#include "wrap/x509/certificate.h"
#include "wrap/x509/crl.h"
#include "wrap/x509/der.h"
#include "wrap/x509/issued.h"
#include "wrap/x509/path.h"
#include "wrap/x509/pem.h"

namespace keyferry::x509 {
namespace {

CertificateSerial serial_of(std::string_view hex) {
  return *CertificateSerial::from_hex(hex);
}

/// Gives these octets, and then only the last of them.
class Fixed final : public RandomSource {
 public:
  explicit Fixed(Bytes octets) : octets_{std::move(octets)} {}

  void fill(std::span<std::uint8_t> out) override {
    for (std::uint8_t& octet : out) {
      octet = octets_[at_];
      if (at_ + 1 < octets_.size()) ++at_;
    }
  }

 private:
  Bytes octets_;
  std::size_t at_ = 0;
};

TEST(CertificateSerial, IsTheRandomOctetsAndNothingElse) {
  Fixed ones{Bytes{0xff}};
  EXPECT_EQ(make_serial(ones).hex(), "ffffffffffffffffffffffffffffffff");
  Bytes octets(15, 0);
  octets.push_back(1);
  Fixed one{octets};
  EXPECT_EQ(make_serial(one).hex(), "00000000000000000000000000000001");
}

TEST(CertificateSerial, IsDrawnAgainWhenItIsZero) {
  Bytes octets(16, 0);
  octets.push_back(0x80);
  Fixed zero_first{octets};
  EXPECT_EQ(make_serial(zero_first).hex(), "80808080808080808080808080808080");
  Fixed zeros{Bytes{0}};
  EXPECT_THROW(static_cast<void>(make_serial(zeros)), Error);
}

TEST(CertificateSerial, HasEachOfItsBitsAtRandom) {
  SystemRandom random;
  std::set<CertificateSerial> seen;
  std::array<int, 128> ones{};
  for (int i = 0; i < 1000; ++i) {
    const CertificateSerial serial = make_serial(random);
    EXPECT_TRUE(seen.insert(serial).second);
    for (std::size_t bit = 0; bit < ones.size(); ++bit)
      ones.at(bit) += (serial.bytes()[bit / 8] >> (bit % 8)) & 1;
  }
  // 500 expected, standard deviation 16: outside by ten of them about once in 10^21 runs.
  for (const int count : ones) EXPECT_TRUE(count > 340 && count < 660) << count;
}

struct Case {
  const char* serial;
  const char* content;  // of the INTEGER, X.690 8.3
};

constexpr Case kCases[] = {
    {"00000000000000000000000000000001", "01"},
    {"00000000000000000000000000000080", "0080"},
    {"0000000000000000000000000000ff00", "00ff00"},
    {"00800000000000000000000000000000", "00800000000000000000000000000000"},
    {"007f0000000000000000000000000000", "7f0000000000000000000000000000"},
    {"0000a5a5a5a5a5a5a5a5a5a5a5a5a5a5", "00a5a5a5a5a5a5a5a5a5a5a5a5a5a5"},
    {"ffffffffffffffffffffffffffffffff", "00ffffffffffffffffffffffffffffffff"},
    {"80000000000000000000000000000000", "0080000000000000000000000000000000"},
    {"7fffffffffffffffffffffffffffffff", "7fffffffffffffffffffffffffffffff"},
    {"01000000000000000000000000000000", "01000000000000000000000000000000"},
    {"4123456789abcdef0123456789abcdef",
     "4123456789abcdef0123456789abcdef"},  // of an earlier version
};

class SerialCase : public ::testing::TestWithParam<Case> {
 protected:
  [[nodiscard]] CertificateSerial serial() const { return serial_of(GetParam().serial); }

  [[nodiscard]] Bytes made(const CertificateSerial& serial) {
    return CertificateBuilder{test::device_template(ca_)}.to_be_signed(
        serial, test::fields(), key_.public_key());
  }

  test::Ca ca_;
  crypto::SoftKey key_ = crypto::SoftKey::generate();
};

INSTANTIATE_TEST_SUITE_P(Serials, SerialCase, ::testing::ValuesIn(kCases));

TEST_P(SerialCase, IsTheShortestPositiveIntegerAndComesBackFromIt) {
  const SerialContent content{serial()};
  EXPECT_EQ(to_hex(content.view()), GetParam().content);
  EXPECT_EQ(der::tlv(der::kInteger, content.view()), der::integer(serial().bytes()));
  EXPECT_EQ(serial_from_content(content.view()), serial());
  EXPECT_EQ(stored_serial(content.view()), to_bytes(serial().bytes()));
  EXPECT_LE(content.view().size(), SerialContent{longest_serial()}.view().size());
}

TEST_P(SerialCase, StandsInADeviceCertificateThatTheReadersTake) {
  const Bytes tbs = made(serial());
  const Bytes certificate = test::sign_tbs(tbs, ca_.key);
  const auto parsed = parse_certificate(certificate);
  ASSERT_EQ(test::reason(parsed), "");
  EXPECT_EQ(serial_from_content(std::get<CertificateFacts>(parsed).serial), serial());
  EXPECT_EQ(test::reason(
                lint_device_certificate(certificate, test::device_template(ca_), test::fields())),
            "");

  const std::vector<Bytes> chain{certificate};
  const std::vector<Bytes> anchors{ca_.certificate};
  const auto verified = verify_chain(chain, anchors, test::at("2027-01-01T00:00:00Z"));
  ASSERT_EQ(test::reason(verified), "");
  EXPECT_EQ(serial_from_content(std::get<ChainFacts>(verified).serial), serial());
}

TEST_P(SerialCase, IsLikeAnyOtherOnceOneOfThemWasLinted) {
  for (const Case& other : kCases)
    EXPECT_EQ(test::reason(LintedShape{made(serial_of(other.serial))}.compare(made(serial()), key_.public_key())), "")
        << other.serial;
}

TEST_P(SerialCase, StandsInACaCertificate) {
  const auto facts = std::get<CertificateFacts>(parse_certificate(
      test::sign_tbs(ca_to_be_signed(ca_.spec, serial(), ca_.key.public_key()), ca_.key)));
  EXPECT_EQ(serial_from_content(facts.serial), serial());
}

/// openssl prints the number without leading zero octets.
TEST_P(SerialCase, IsReadVerifiedAndFoundRevokedByOpenssl) {
  const keyferry::test::TempFolder folder;
  const auto write = [&](const char* name, std::string_view label, const Bytes& der) {
    write_file_durably(folder / name, as_bytes(to_pem(label, der)), Overwrite::Refuse);
    return (folder / name).string();
  };
  const std::string leaf =
      write("leaf.pem", kPemCertificate, test::sign_tbs(made(serial()), ca_.key));
  const std::string root = write("root.pem", kPemCertificate, ca_.certificate);
  std::string number = to_hex(serial().bytes());
  while (number.starts_with("00")) number.erase(0, 2);
  std::ranges::transform(number, number.begin(), [](char c) {
    return c >= 'a' ? static_cast<char>(c - 'a' + 'A') : c;
  });
  EXPECT_EQ(keyferry::test::run_command("openssl x509 -noout -serial -in " + leaf).output,
            "serial=" + number + "\n");

  const std::string verify = "openssl verify -x509_strict -attime 1800000000 -CAfile " + root;
  EXPECT_EQ(keyferry::test::run_command(verify + " " + leaf).status, 0);
  const CertificateFacts issuer = ca_.facts();
  CrlBuilder builder{{issuer.subject_name,
                      issuer.subject_key_identifier,
                      1,
                      UtcMillis{1'790'000'000'000},
                      UtcMillis{1'810'000'000'000}}};
  builder.add(serial().bytes(), UtcMillis{1'790'000'000'000}, 1);
  const std::string crl =
      write("ca.crl", "X509 CRL", test::sign_tbs(builder.to_be_signed(), ca_.key));
  const auto refused =
      keyferry::test::run_command(verify + " -crl_check -CRLfile " + crl + " " + leaf + " 2>&1");
  EXPECT_NE(refused.output.find("certificate revoked"), std::string::npos) << refused.output;
}

TEST(CertificateSerial, IsNoneOfOursInAnotherForm) {
  for (const char* content : {"",
                              "00",
                              "80",
                              "ff",
                              "0001",
                              "ff80",
                              "0000000000000000000000000000000001",
                              "010000000000000000000000000000000000",
                              "01ffffffffffffffffffffffffffffffff"}) {
    EXPECT_EQ(serial_from_content(*from_hex(content)), std::nullopt) << content;
  }
}

TEST(CertificateSerial, IsStoredWithSixteenOctetsOrTheMoreThatAnOutsideCaGave) {
  const auto stored = [](const char* hex) {
    const auto octets = stored_serial(*from_hex(hex));
    return octets ? to_hex(*octets) : "none";
  };
  EXPECT_EQ(stored("1001"), "00000000000000000000000000001001");
  EXPECT_EQ(stored("0000000000000000000000000000000000001001"), "00000000000000000000000000001001");
  EXPECT_EQ(stored("00ffffffffffffffffffffffffffffffffffffff01"),
            "ffffffffffffffffffffffffffffffffffffff01");
  EXPECT_EQ(stored("01ffffffffffffffffffffffffffffffffffffffff"), "none");
  EXPECT_EQ(stored(""), "none");
}

TEST(CertificateBuilder, RefusesTheSerialZero) {
  test::Ca ca;
  const auto zero = *CertificateSerial::from_bytes(Bytes(16, 0));
  const CertificateBuilder builder{test::device_template(ca)};
  EXPECT_THROW(static_cast<void>(builder.to_be_signed(zero, test::fields(), ca.key.public_key())),
               Error);
  EXPECT_THROW(static_cast<void>(ca_to_be_signed(ca.spec, zero, ca.key.public_key())), Error);
}

/// What a plan is checked with holds for every certificate that is made under it.
TEST(MaxCertificateBytes, CountsTheLongestSerial) {
  test::Ca ca;
  DeviceTemplate fixed = test::device_template(ca);
  fixed.subject = "CN=0123456789,serialNumber={se_serial}";
  SubjectFields fields = test::fields();
  fields.se_serial =
      *SeSerial::from_bytes(Bytes(32, 0xab));  // 64 characters, the most that serialNumber has
  const Bytes tbs =
      CertificateBuilder{fixed}.to_be_signed(longest_serial(), fields, ca.key.public_key());
  EXPECT_EQ(assemble(tbs, Bytes(crypto::kSignatureBytes, 0xff)).size(),
            max_certificate_bytes(fixed));
}

}  // namespace
}  // namespace keyferry::x509
