#include "wrap/x509/declaration.h"

#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <sstream>

#include "tests/support/command.h"
#include "tests/support/temp_folder.h"
#include "tests/wrap/x509/matter_fixture.h"
#include "wrap/x509/pem.h"

namespace keyferry::x509 {
namespace {

using test::reason;

/// The named values of declarations.vec.
const std::map<std::string, Bytes>& vectors() {
  static const std::map<std::string, Bytes> kAll = [] {
    std::map<std::string, std::string> hex;
    std::ifstream in{std::string{KEYFERRY_VECTORS_DIR} + "/matter/declarations.vec"};
    for (std::string line; std::getline(in, line);) {
      std::istringstream words{line};
      std::string name;
      std::string sign;
      std::string digits;
      if (words >> name >> sign >> digits && name != "#") hex[name] += digits;
    }
    std::map<std::string, Bytes> all;
    for (const auto& [name, digits] : hex) {
      if (const auto octets = from_hex(digits)) all[name] = *octets;
    }
    return all;
  }();
  return kAll;
}

const Bytes& declaration(int number) { return vectors().at("declaration-" + std::to_string(number)); }

CertificationDeclaration parsed(ByteView cms) {
  auto read = parse_certification_declaration(cms);
  if (const auto* refusal = std::get_if<Refusal>(&read)) throw to_error(*refusal);
  return std::get<CertificationDeclaration>(read);
}

TEST(DeclarationVectors, AreReadWithTheValuesOfTheirSource) {
  const CertificationDeclaration one = parsed(declaration(1));
  EXPECT_EQ(one.format_version, 1U);
  EXPECT_EQ(one.vendor_id, 0xfff1);
  EXPECT_EQ(one.product_ids, std::vector<std::uint16_t>{0x8000});
  EXPECT_EQ(one.device_type_id, 0x1234U);
  EXPECT_EQ(one.certificate_id, "ZIG20141ZB330001-24");
  EXPECT_EQ(one.security_level, 0U);
  EXPECT_EQ(one.security_information, 0U);
  EXPECT_EQ(one.version_number, 0x2694U);
  EXPECT_EQ(one.certification_type, 0U);
  EXPECT_FALSE(one.dac_origin_vendor_id.has_value());
  const CertificationDeclaration two = parsed(declaration(2));
  EXPECT_EQ(two.vendor_id, 0xfff2);
  EXPECT_EQ(two.product_ids, (std::vector<std::uint16_t>{0x8001, 0x8002}));
  EXPECT_EQ(two.dac_origin_vendor_id, 0xfff1);
  EXPECT_EQ(two.dac_origin_product_id, 0x8000);
}

TEST(DeclarationVectors, AreSignedByTheCertificateOfTheirSource) {
  const std::vector<Bytes> signers{vectors().at("signer")};
  for (const int number : {1, 2}) {
    const auto checked = check_declaration_signature(parsed(declaration(number)), signers);
    EXPECT_EQ(std::get<DeclarationSignature>(checked), DeclarationSignature::Verified);
  }
  CertificationDeclaration bent = parsed(declaration(1));
  bent.content.back() ^= 1U;
  EXPECT_EQ(reason(check_declaration_signature(bent, signers)), "declaration-signature");
  const test::MatterPki pki;
  const std::vector<Bytes> strangers{pki.paa};
  EXPECT_EQ(std::get<DeclarationSignature>(check_declaration_signature(parsed(declaration(1)), strangers)),
            DeclarationSignature::NotVerified);
}

TEST(Declaration, IsHeldAgainstVendorAndProductOfTheDac) {
  EXPECT_EQ(reason(check_certification_declaration(declaration(1), 0xfff1, 0x8000)), "");
  EXPECT_EQ(reason(check_certification_declaration(declaration(1), 0xfff2, 0x8000)), "declaration-vendor");
  EXPECT_EQ(reason(check_certification_declaration(declaration(1), 0xfff1, 0x8001)), "declaration-product");
  // With dac_origin the DAC is of that vendor and product, whatever the product itself says.
  EXPECT_EQ(reason(check_certification_declaration(declaration(2), 0xfff1, 0x8000)), "");
  EXPECT_EQ(reason(check_certification_declaration(declaration(2), 0xfff2, 0x8001)), "declaration-vendor");
  EXPECT_EQ(reason(check_certification_declaration(declaration(2), 0xfff1, 0x8001)), "declaration-product");
}

/// TLV of a declaration of vendor FFF1 and product 8000, with a part replaced or added.
std::string content(const std::string& vendor = "2501f1ff", const std::string& more = "", const std::string& version = "240001") {
  return "15" + version + vendor + "3602050080" "18" "25033412" "2c04135a494732303134315a423333303030312d3234" "240500" "240600" "25079426" "240800" + more + "18";
}

/// Signed by `openssl cms`, the second implementation.
class SignedByOpenssl : public testing::Test {
 protected:
  void SetUp() override {
    run("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout k -out c.pem -days 9 -subj /CN=signer");
  }

  void run(const std::string& command) {
    const auto done = keyferry::test::run_command("cd " + folder_.path().string() + " && " + command);
    ASSERT_EQ(done.status, 0) << done.output;
  }

  Bytes sign(const std::string& tlv_hex, const std::string& options = "-noattr -nocerts -keyid") {
    const Bytes tlv = *from_hex(tlv_hex);
    std::ofstream{folder_ / "tlv", std::ios::binary} << as_chars(tlv);
    run("openssl cms -sign -binary -nodetach -md sha256 -in tlv -signer c.pem -inkey k -outform DER -out cd " + options);
    return read("cd");
  }

  Bytes read(const std::string& name) {
    std::ifstream in{folder_ / name, std::ios::binary};
    std::stringstream text;
    text << in.rdbuf();
    return to_bytes(as_bytes(text.str()));
  }

  Bytes signer() {
    run("openssl x509 -in c.pem -outform DER -out c.der");
    return read("c.der");
  }

  keyferry::test::TempFolder folder_;
};

TEST_F(SignedByOpenssl, IsReadAndVerified) {
  const Bytes cms = sign(content());
  EXPECT_EQ(reason(check_certification_declaration(cms, 0xfff1, 0x8000)), "");
  const std::vector<Bytes> signers{signer()};
  EXPECT_EQ(std::get<DeclarationSignature>(check_declaration_signature(parsed(cms), signers)), DeclarationSignature::Verified);
}

TEST_F(SignedByOpenssl, ListsTheAuthorizedPaas) {
  const std::string paa = "6afd22771f511fecbf1641976710dcdc31a1717e";
  const Bytes cms = sign(content("2501f1ff", "360b1014" + paa + "18"));
  EXPECT_EQ(reason(check_certification_declaration(cms, 0xfff1, 0x8000)), "");
  EXPECT_EQ(reason(check_certification_declaration(cms, 0xfff1, 0x8000, *from_hex(paa))), "");
  EXPECT_EQ(reason(check_certification_declaration(cms, 0xfff1, 0x8000, Bytes(20, 7))), "declaration-paa");
}

TEST_F(SignedByOpenssl, SkipsFieldsOfALaterSpecification) {
  EXPECT_EQ(reason(parse_certification_declaration(sign(content("2501f1ff", "350c240001360118" "18")))), "");
  EXPECT_EQ(reason(parse_certification_declaration(sign(content("2501f1ff", "2c0c0161" "290d")))), "");
}

TEST_F(SignedByOpenssl, IsRefusedInAnotherForm) {
  EXPECT_EQ(reason(parse_certification_declaration(sign(content(), "-nocerts -keyid"))), "declaration-profile");   // signed attributes
  EXPECT_EQ(reason(parse_certification_declaration(sign(content(), "-noattr -nocerts"))), "declaration-profile");  // issuer and serial
  EXPECT_EQ(reason(parse_certification_declaration(sign(content("2501f1ff", "", "240002")))), "declaration-profile");
}

TEST_F(SignedByOpenssl, IsRefusedWithBrokenContent) {
  const char* broken[] = {"", "15", "18", "2601f1ffff00"};
  for (const char* text : broken) EXPECT_EQ(reason(parse_certification_declaration(sign(text))), "declaration-malformed") << text;
  EXPECT_EQ(reason(parse_certification_declaration(sign(content("2601f1ffff00")))), "declaration-malformed");  // above 16 bits
  EXPECT_EQ(reason(parse_certification_declaration(sign(content("")))), "declaration-malformed");              // no vendor
  EXPECT_EQ(reason(parse_certification_declaration(sign(content("2501f1ff2501f1ff")))), "declaration-malformed");
  EXPECT_EQ(reason(parse_certification_declaration(sign(content("2501f1ff", "2509f1ff")))), "declaration-malformed");
  EXPECT_EQ(reason(parse_certification_declaration(sign(content() + "18"))), "declaration-malformed");
}

TEST(Declaration, RefusesOtherSizesAndEveryCut) {
  EXPECT_EQ(reason(parse_certification_declaration({})), "declaration-size");
  EXPECT_EQ(reason(parse_certification_declaration(Bytes(5000, 0x30))), "declaration-size");
  const Bytes& whole = declaration(1);
  for (std::size_t size = 1; size < whole.size(); ++size)
    EXPECT_NE(reason(parse_certification_declaration(ByteView{whole}.first(size))), "") << size;
}

}  // namespace
}  // namespace keyferry::x509
