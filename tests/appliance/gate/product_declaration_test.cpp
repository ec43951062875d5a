// A Certification Declaration against the plan that names it, with the public examples of tests/vectors/matter.
#include "appliance/plan/product_declaration.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "wrap/base/durable_file.h"
#include "wrap/crypto/hash.h"
#include "wrap/x509/bundle.h"

namespace keyferry::appliance {
namespace {

Bytes vector_of(const std::string& wanted) {
  std::ifstream in{std::string{KEYFERRY_VECTORS_DIR} + "/matter/declarations.vec"};
  std::string hex;
  for (std::string line; std::getline(in, line);) {
    std::istringstream words{line};
    std::string name, sign, digits;
    if (words >> name >> sign >> digits && name == wanted) hex += digits;
  }
  return from_hex(hex).value();
}

class ProductDeclarationTest : public ::testing::Test {
 protected:
  ProductDeclarationTest() {
    device_.name = x509::kMatterDacTemplateName;
    device_.matter.vendor_id = std::uint16_t{0xFFF1};
    device_.matter.product_id = std::uint16_t{0x8000};
    name_both();
  }

  void name_both() {
    device_.certification_declaration = crypto::sha256(cms_);
    device_.declaration_signer = crypto::sha256(signer_);
  }

  [[nodiscard]] std::string reason() const {
    const auto refusal = check_declaration(device_, cms_, signer_, {});
    return refusal ? refusal->reason : "";
  }

  Bytes cms_ = vector_of("declaration-1");
  Bytes signer_ = vector_of("signer");
  x509::DeviceTemplate device_;
};

TEST_F(ProductDeclarationTest, IsTakenForItsProductWithItsSignersCertificate) {
  EXPECT_EQ(reason(), "");
  EXPECT_NE(declaration_signature_sentence(device_).find("is checked with"), std::string::npos);
}

TEST_F(ProductDeclarationTest, IsTakenWithoutASignerAndThePlanSaysThatNobodyLooked) {
  signer_.clear();
  device_.declaration_signer.reset();
  EXPECT_EQ(reason(), "");
  EXPECT_NE(declaration_signature_sentence(device_).find("is not checked"), std::string::npos);
}

TEST_F(ProductDeclarationTest, IsNotTakenWithOneBitOfItsSignatureChanged) {
  cms_.back() ^= 1;
  name_both();
  EXPECT_EQ(reason(), "declaration-signature");
}

TEST_F(ProductDeclarationTest, IsNotTakenWithAnotherCertificateThanItsSigners) {
  const Bytes pem = read_file(std::string{KEYFERRY_VECTORS_DIR} + "/matter/old-paa.pem", 1U << 16);
  signer_ = std::get<std::vector<Bytes>>(x509::read_certificates(pem)).at(0);
  name_both();
  EXPECT_EQ(reason(), "declaration-signature");
}

TEST_F(ProductDeclarationTest, MustBeTheOneThatThePlanNames) {
  cms_ = vector_of("declaration-2");
  EXPECT_EQ(reason(), "declaration-other");
  cms_.clear();
  EXPECT_EQ(reason(), "declaration-missing");
  device_.certification_declaration.reset();
  device_.declaration_signer.reset();
  EXPECT_EQ(reason(), "declaration-other") << "a signer that nobody named";
  signer_.clear();
  EXPECT_EQ(reason(), "") << "neither named nor given";
}

TEST_F(ProductDeclarationTest, MustBeOfTheTemplatesProduct) {
  device_.matter.product_id = std::uint16_t{0x8001};
  EXPECT_EQ(reason(), "declaration-product");
  device_.matter.product_id.reset();
  EXPECT_EQ(reason(), "declaration-vendor");
}

}  // namespace
}  // namespace keyferry::appliance
