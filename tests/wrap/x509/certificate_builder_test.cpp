#include "wrap/x509/certificate_builder.h"

#include <botan/pk_keys.h>
#include <botan/pkix_types.h>
#include <botan/x509cert.h>
#include <gtest/gtest.h>

#include "tests/support/command.h"
#include "tests/support/temp_folder.h"
#include "tests/wrap/x509/fixture.h"
#include "wrap/base/durable_file.h"
#include "wrap/x509/certificate.h"
#include "wrap/x509/pem.h"

namespace keyferry::x509 {
namespace {

using test::at;

Botan::X509_Certificate botan_certificate(const Bytes& der) {
  return Botan::X509_Certificate{der.data(), der.size()};
}

void write_pem(const std::filesystem::path& path, const Bytes& der) {
  write_file_durably(path, as_bytes(to_pem(kPemCertificate, der)), Overwrite::Refuse);
}

TEST(CertificateBuilder, RefusesAnUnsoundTemplate) {
  test::Ca ca;
  DeviceTemplate unsound = test::device_template(ca);
  unsound.subject = "CN=x";
  EXPECT_THROW(CertificateBuilder{unsound}, Error);
}

TEST(CertificateBuilder, RefusesAnEntryWithoutTheDeviceSerialThatItsPatternUses) {
  test::Ca ca;
  SystemRandom random;
  SubjectFields fields = test::fields();
  fields.device_serial.reset();
  const CertificateBuilder builder{test::device_template(ca)};
  EXPECT_THROW(
      static_cast<void>(builder.to_be_signed(make_serial(random), fields, ca.key.public_key())),
      Error);
}

TEST(CertificateBuilder, GivesALeafThatBotanReadsAndVerifies) {
  test::Ca ca;
  const test::Leaf leaf = test::make_leaf(ca);
  const auto root = botan_certificate(ca.certificate);
  const auto certificate = botan_certificate(leaf.certificate);

  EXPECT_EQ(certificate.x509_version(), 3U);
  EXPECT_FALSE(certificate.is_CA_cert());
  EXPECT_EQ(certificate.constraints(), Botan::DIGITAL_SIGNATURE);
  EXPECT_EQ(certificate.subject_dn().get_first_attribute("X520.CommonName"), "DEV-0001");
  EXPECT_EQ(certificate.subject_dn().get_first_attribute("X520.SerialNumber"), "01ab02cd");
  EXPECT_EQ(certificate.issuer_dn(), root.subject_dn());
  EXPECT_EQ(certificate.authority_key_id(), root.subject_key_id());
  const auto serial = stored_serial(certificate.serial_number());
  EXPECT_EQ(serial, stored_serial(std::get<CertificateFacts>(parse_certificate(leaf.certificate)).serial));
  EXPECT_EQ(certificate.subject_key_id().size(), 20U);
  const auto spki = leaf.key.public_key().spki_der();
  EXPECT_EQ(certificate.subject_public_key_info(), spki);
  const std::unique_ptr<Botan::Public_Key> issuer_key{root.load_subject_public_key()};
  EXPECT_TRUE(certificate.check_signature(*issuer_key));
}

TEST(CertificateBuilder, GivesARootThatBotanReadsAndVerifies) {
  test::Ca ca;
  ca.spec.path_length = 3;
  const auto root = botan_certificate(ca.make());
  EXPECT_TRUE(root.is_CA_cert());
  EXPECT_TRUE(root.is_self_signed());
  EXPECT_EQ(root.path_limit(), 3U);
  EXPECT_EQ(root.constraints(), Botan::KEY_CERT_SIGN | Botan::CRL_SIGN);
  EXPECT_TRUE(root.is_critical("X509v3.BasicConstraints"));
  EXPECT_TRUE(root.is_critical("X509v3.KeyUsage"));
}

TEST(CertificateBuilder, GivesAChainThatOpensslVerifiesStrictly) {
  test::Ca ca;
  const keyferry::test::TempFolder folder;
  write_pem(folder / "root.pem", ca.certificate);
  write_pem(folder / "leaf.pem", test::make_leaf(ca).certificate);
  for (const char* time : {"1800000000", "2540000000", "2700000000"}) {  // 2027, 2050, 2055
    const auto result = keyferry::test::run_command(
        "openssl verify -x509_strict -attime " + std::string{time} + " -CAfile " +
        (folder / "root.pem").string() + " " + (folder / "leaf.pem").string());
    EXPECT_EQ(result.status, 0) << result.output;
  }
}

TEST(CertificateBuilder, GivesALeafThatOpensslPrintsAsAsked) {
  test::Ca ca;
  const keyferry::test::TempFolder folder;
  write_pem(folder / "leaf.pem", test::make_leaf(ca).certificate);
  const auto text =
      keyferry::test::run_command("openssl x509 -noout -text -nameopt sep_comma_plus -in " +
                                  (folder / "leaf.pem").string())
          .output;
  for (const char* expected : {"Version: 3 (0x2)",
                               "Signature Algorithm: ecdsa-with-SHA256",
                               "Subject: CN=DEV-0001,O=ACME,serialNumber=01ab02cd",
                               "Issuer: CN=Test CA,O=ACME,C=DE",
                               "Not Before: Jun  1 00:00:00 2026 GMT",
                               "Not After : May 31 23:59:59 2056 GMT",
                               "ASN1 OID: prime256v1",
                               "X509v3 Basic Constraints: critical\n                CA:FALSE",
                               "X509v3 Key Usage: critical\n                Digital Signature\n",
                               "X509v3 Subject Key Identifier:",
                               "X509v3 Authority Key Identifier:"}) {
    EXPECT_NE(text.find(expected), std::string::npos) << expected << "\n" << text;
  }
  EXPECT_EQ(text.find("Extended Key Usage"), std::string::npos);
}

TEST(CertificateBuilder, WritesValidityOnBothSidesOf2050) {
  test::Ca ca;
  DeviceTemplate spanning = test::device_template(ca);
  spanning.not_before = at("2049-12-31T23:59:59Z");
  spanning.not_after = at("2050-01-01T00:00:00Z");
  const test::Leaf leaf = test::make_leaf(ca, spanning);
  const auto certificate = botan_certificate(leaf.certificate);
  EXPECT_EQ(certificate.not_before().to_string(), "491231235959Z");
  EXPECT_EQ(certificate.not_after().to_string(), "20500101000000Z");
}

TEST(CertificateBuilder, GivesTheLengthsThatDerAsksForWithLongAndShortSubjects) {
  test::Ca ca;
  for (const std::size_t size : {1UL, 20UL, 40UL, 64UL}) {
    SubjectFields fields = test::fields();
    fields.device_serial = std::string(size, 'x');
    const test::Leaf leaf = test::make_leaf(ca, test::device_template(ca), fields);
    EXPECT_EQ(botan_certificate(leaf.certificate)
                  .subject_dn()
                  .get_first_attribute("X520.CommonName")
                  .size(),
              size);
  }
}

TEST(CertificateBuilder, NamesAKeyByTheSha1OfItsPoint) {
  const auto key = crypto::SoftKey::generate();
  const keyferry::test::TempFolder folder;
  write_file_durably(folder / "point", key.public_key().point(), Overwrite::Refuse);
  const auto result =
      keyferry::test::run_command("openssl dgst -sha1 -r " + (folder / "point").string());
  EXPECT_EQ(result.output.substr(0, 40), key_identifier(key.public_key()).hex());
}

TEST(CaToBeSigned, RefusesAnUnsoundSubjectOrValidity) {
  test::Ca ca;
  SystemRandom random;
  const auto key = ca.key.public_key();
  CaSpec spec = ca.spec;
  spec.subject = "CN={part}";
  EXPECT_THROW(static_cast<void>(ca_to_be_signed(spec, make_serial(random), key)), Error);
  spec = ca.spec;
  spec.not_after = spec.not_before;
  EXPECT_THROW(static_cast<void>(ca_to_be_signed(spec, make_serial(random), key)), Error);
}

TEST(Assemble, RefusesWhatIsNoTbsOrNoSignature) {
  EXPECT_THROW(static_cast<void>(assemble(*from_hex("0400"), Bytes(64))), Error);
  EXPECT_THROW(static_cast<void>(assemble(*from_hex("3000"), Bytes(63))), Error);
}

}  // namespace
}  // namespace keyferry::x509
