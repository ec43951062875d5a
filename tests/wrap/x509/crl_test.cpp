#include "wrap/x509/crl.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/support/command.h"
#include "tests/support/temp_folder.h"
#include "wrap/crypto/hash.h"
#include "wrap/crypto/soft_key.h"
#include "wrap/x509/pem.h"

namespace keyferry::x509 {
namespace {

constexpr UtcMillis kThis{1'790'000'000'000};  // 2026-09-21
constexpr UtcMillis kNext{1'800'000'000'000};

struct Ca {
  Ca() {
    SystemRandom random;
    const Bytes tbs =
        ca_to_be_signed({"CN=CRL test CA", UtcMillis{1'700'000'000'000}, UtcMillis{1'900'000'000'000}, 0},
                        make_serial(random), key.public_key());
    der = assemble(tbs, key.sign_digest(crypto::sha256(tbs)));
    facts.emplace(std::get<CertificateFacts>(parse_certificate(der)));
  }

  [[nodiscard]] CrlFacts crl(std::uint64_t number) const {
    return {facts->subject_name, facts->subject_key_identifier, number, kThis, kNext};
  }

  [[nodiscard]] Bytes sign(const CrlBuilder& builder) {
    const Bytes tbs = builder.to_be_signed();
    return assemble(tbs, key.sign_digest(crypto::sha256(tbs)));
  }

  crypto::SoftKey key = crypto::SoftKey::generate();
  Bytes der;
  std::optional<CertificateFacts> facts;
};

std::string openssl_says(Ca& ca, const Bytes& crl) {
  const keyferry::test::TempFolder folder;
  const auto write = [&](const char* name, ByteView octets) {
    std::ofstream{folder / name, std::ios::binary}.write(reinterpret_cast<const char*>(octets.data()),
                                                         static_cast<std::streamsize>(octets.size()));
  };
  write("crl.der", crl);
  write("ca.pem", as_bytes(to_pem(kPemCertificate, ca.der)));
  const std::string path = folder.path().string();
  return keyferry::test::run_command("openssl crl -inform DER -in " + path + "/crl.der -noout -text -CAfile " + path +
                                     "/ca.pem 2>&1")
      .output;
}

TEST(Crl, OfNothingVerifiesWithOpenSslAndHasNoList) {
  Ca ca;
  const std::string said = openssl_says(ca, ca.sign(CrlBuilder{ca.crl(1)}));
  EXPECT_NE(said.find("verify OK"), std::string::npos) << said;
  EXPECT_NE(said.find("No Revoked Certificates"), std::string::npos) << said;
  EXPECT_NE(said.find("Version 2 (0x1)"), std::string::npos) << said;
}

TEST(Crl, NamesSerialsTimesAndReasonsAsOpenSslReadsThem) {
  Ca ca;
  CrlBuilder builder{ca.crl(300), 3};
  Bytes serial(16, 0x11);
  serial[0] = 0x7a;
  builder.add(serial, kThis, 5);
  serial[0] = 0x41;
  builder.add(serial, UtcMillis{2'600'000'000'000}, 0);  // 2052: GeneralizedTime
  serial[0] = 0x42;
  builder.add(serial, kThis, 1);
  const std::string said = openssl_says(ca, ca.sign(builder));
  EXPECT_NE(said.find("verify OK"), std::string::npos) << said;
  for (const char* words : {"7A111111111111111111111111111111", "41111111111111111111111111111111",
                            "Cessation Of Operation", "Key Compromise", "Sep 21", "2052 GMT", "X509v3 CRL Number",
                            "300", "X509v3 Authority Key Identifier", "ecdsa-with-SHA256"}) {
    EXPECT_NE(said.find(words), std::string::npos) << words << "\n" << said;
  }
}

TEST(Crl, RefusesATimeOrderAReasonOrASerialThatThereIsNot) {
  Ca ca;
  CrlFacts backwards = ca.crl(1);
  backwards.next_update = kThis;
  EXPECT_THROW(CrlBuilder{backwards}, Error);
  CrlBuilder builder{ca.crl(1)};
  const Bytes serial(16, 0x41);
  EXPECT_THROW(builder.add(serial, kThis, 7), Error);
  EXPECT_THROW(builder.add(serial, kThis, 8), Error);
  EXPECT_THROW(builder.add(serial, kThis, 11), Error);
  EXPECT_THROW(builder.add(Bytes{}, kThis, 1), Error);
  EXPECT_THROW(builder.add(Bytes(21, 1), kThis, 1), Error);
}

}  // namespace
}  // namespace keyferry::x509
