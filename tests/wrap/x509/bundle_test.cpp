#include "wrap/x509/bundle.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "tests/support/command.h"
#include "tests/support/temp_folder.h"
#include "tests/wrap/x509/matter_fixture.h"
#include "wrap/x509/certificate.h"
#include "wrap/x509/pem.h"

namespace keyferry::x509 {
namespace {

using test::reason;

std::vector<Bytes> read(std::string_view file) {
  auto certificates = read_certificates(as_bytes(file));
  if (const auto* refusal = std::get_if<Refusal>(&certificates)) throw to_error(*refusal);
  return std::get<std::vector<Bytes>>(certificates);
}

TEST(ReadCertificates, TakesPemAndDer) {
  test::Ca ca;
  EXPECT_EQ(std::get<std::vector<Bytes>>(read_certificates(ca.certificate)),
            std::vector<Bytes>{ca.certificate});
  const std::string pem = to_pem(kPemCertificate, ca.certificate);
  EXPECT_EQ(std::get<std::vector<Bytes>>(read_certificates(as_bytes(pem))),
            std::vector<Bytes>{ca.certificate});
  EXPECT_EQ(reason(read_certificates({})), "pem");
  EXPECT_EQ(reason(read_certificates(Bytes(20000, 0x30))), "certificate-size");
}

/// Chains in the forms that CAs give, made by openssl.
class Bundles : public testing::Test {
 protected:
  void SetUp() override {
    for (const Bytes& certificate : pki_.chain()) pem_ += to_pem(kPemCertificate, certificate);
    std::ofstream{folder_ / "chain.pem"} << pem_;
  }

  std::string make(const std::string& command) {
    const auto done =
        keyferry::test::run_command("cd " + folder_.path().string() + " && " + command);
    EXPECT_EQ(done.status, 0) << done.output;
    std::ifstream in{folder_ / "out", std::ios::binary};
    std::stringstream text;
    text << in.rdbuf();
    return text.str();
  }

  test::MatterPki pki_;
  std::string pem_;
  keyferry::test::TempFolder folder_;
};

TEST_F(Bundles, OfPemWithTextAndCrLfAreRead) {
  EXPECT_EQ(read(pem_), pki_.chain());
  EXPECT_EQ(read("subject=CN=x\n  some text\n" + pem_ + "\ntrailing"), pki_.chain());
  std::string windows;
  for (const char c : pem_) windows += c == '\n' ? std::string{"\r\n"} : std::string(1, c);
  EXPECT_EQ(read(windows), pki_.chain());
  const std::string shown = make("for n in 1; do openssl x509 -in chain.pem -text -out out; done");
  EXPECT_EQ(read(shown), std::vector<Bytes>{pki_.dac});
}

TEST_F(Bundles, OfPkcs7AreReadInEveryForm) {
  EXPECT_EQ(read(make("openssl crl2pkcs7 -nocrl -certfile chain.pem -out out")), pki_.chain());
  EXPECT_EQ(read(make("openssl crl2pkcs7 -nocrl -certfile chain.pem -outform DER -out out")),
            pki_.chain());
  const std::string labelled =
      make("openssl crl2pkcs7 -nocrl -certfile chain.pem | sed s/PKCS7/CERTIFICATE/ > out");
  EXPECT_EQ(read(labelled), pki_.chain());
  // BER with indefinite lengths, as BouncyCastle writes it: only the frame around the certificates.
  const Bytes der = to_bytes(
      as_bytes(make("openssl crl2pkcs7 -nocrl -certfile chain.pem -outform DER -out out")));
  der::Reader info{der::only_element(der, der::kSequence)->content};
  const auto oid = info.next();
  const auto wrapped = info.next();
  const auto inner = der::only_element(wrapped->content, der::kSequence);
  Bytes ber{0x30, 0x80};
  append(ber, oid->whole);
  append(ber, Bytes{0xa0, 0x80, 0x30, 0x80});
  append(ber, inner->content);
  append(ber, Bytes(6, 0));
  EXPECT_EQ(read(as_chars(ber)), pki_.chain());
}

TEST_F(Bundles, ThatHoldSomethingElseAreRefused) {
  EXPECT_EQ(reason(read_certificates(
                as_bytes("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"))),
            "pem");
  EXPECT_EQ(reason(read_certificates(as_bytes("hello"))), "pem");
  EXPECT_EQ(reason(read_certificates(as_bytes(pem_.substr(0, pem_.size() - 10)))), "pem");
  EXPECT_EQ(reason(read_certificates(
                as_bytes("-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n"))),
            "pem");
  EXPECT_EQ(
      reason(read_certificates(as_bytes("-----BEGIN PKCS7-----\nMAA=\n-----END PKCS7-----\n"))),
      "pem");
  std::string cut = make("openssl crl2pkcs7 -nocrl -certfile chain.pem -outform DER -out out");
  cut.pop_back();
  EXPECT_EQ(reason(read_certificates(as_bytes(cut))), "pkcs7");
  std::ofstream{folder_ / "empty.pem"};
  const std::string none = make("openssl crl2pkcs7 -nocrl -outform DER -out out");
  EXPECT_EQ(reason(read_certificates(as_bytes(none))), "pkcs7");
  EXPECT_EQ(reason(read_certificates(Bytes(kMaxBundleBytes + 1, 'x'))), "bundle-size");
}

TEST_F(Bundles, OfAHundredThousandAreReadInPiecesAndInTheSameMemory) {
  const std::string one = to_pem(kPemCertificate, pki_.dac);
  std::size_t count = 0;
  BundleReader reader{[&](ByteView certificate) -> std::optional<Refusal> {
    EXPECT_TRUE(equal(certificate, pki_.dac));
    ++count;
    return std::nullopt;
  }};
  std::string piece;
  for (int i = 0; i < 100; ++i) piece += one;
  for (int i = 0; i < 1000; ++i) {
    // Cut at places that are no line ends.
    ASSERT_FALSE(reader.feed(as_bytes(std::string_view{piece}.substr(0, 1001))));
    ASSERT_FALSE(reader.feed(as_bytes(std::string_view{piece}.substr(1001))));
  }
  EXPECT_FALSE(reader.finish());
  EXPECT_EQ(count, 100'000U);
}

TEST_F(Bundles, EndWithTheVisitorsRefusal) {
  BundleReader reader{[](ByteView) { return std::optional{Refusal{"enough", "enough"}}; }};
  EXPECT_EQ(reason(reader.feed(as_bytes(pem_))), "enough");
  EXPECT_EQ(reason(reader.feed(as_bytes(pem_))), "enough");
  EXPECT_EQ(reason(reader.finish()), "enough");
}

TEST(ReadCertificates, RefusesMoreThanItKeeps) {
  std::string many;
  for (std::size_t i = 0; i <= kMaxBundleCertificates; ++i)
    many += to_pem(kPemCertificate, Bytes{0x30, 0x00});
  EXPECT_EQ(reason(read_certificates(as_bytes(many))), "bundle-size");
}

/// A certs-only SignedData that holds `count` elements of `element`.
Bytes pkcs7_of(std::size_t count, const Bytes& element) {
  Bytes certificates;
  for (std::size_t i = 0; i < count; ++i) append(certificates, element);
  const Bytes data = der::oid("1.2.840.113549.1.7.1");
  const Bytes signed_data = der::sequence({der::integer(1),
                                           der::tlv(der::kSet, {}),
                                           der::sequence({data}),
                                           der::tlv(der::context_constructed(0), certificates),
                                           der::tlv(der::kSet, {})});
  return der::sequence(
      {der::oid("1.2.840.113549.1.7.2"), der::tlv(der::context_constructed(0), signed_data)});
}

TEST(Pkcs7, IsRefusedByItsCountBeforeAnyOfItIsRead) {
  test::Ca ca;
  const auto three = read_certificates(pkcs7_of(3, ca.certificate));
  EXPECT_EQ(std::get<std::vector<Bytes>>(three), std::vector<Bytes>(3, ca.certificate));
  const auto most = read_certificates(pkcs7_of(kMaxBundleCertificates, Bytes{0x30, 0x00}));
  EXPECT_NE(std::get<Refusal>(most).text.find("malformed"), std::string::npos);
  const auto more = read_certificates(pkcs7_of(kMaxBundleCertificates + 1, Bytes{0x30, 0x00}));
  ASSERT_EQ(reason(more), "pkcs7");
  EXPECT_NE(std::get<Refusal>(more).text.find("more than 16384 certificates"), std::string::npos)
      << "these are none: whoever reads them says malformed";
}

TEST(Pkcs7, IsAtMostFourMebibytes) {
  test::Ca ca;
  const Bytes large = pkcs7_of(kMaxPkcs7Bytes / ca.certificate.size() + 1, ca.certificate);
  EXPECT_EQ(reason(read_certificates(large)), "certificate-size");
  EXPECT_EQ(reason(read_certificates(as_bytes(to_pem("PKCS7", large)))), "pem");
}

}  // namespace
}  // namespace keyferry::x509
