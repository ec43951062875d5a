#include "wrap/x509/bundle.h"

#include <gtest/gtest.h>

#include "tests/wrap/x509/fixture.h"
#include "wrap/x509/pem.h"

namespace keyferry::x509 {
namespace {

using test::reason;

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

}  // namespace
}  // namespace keyferry::x509
