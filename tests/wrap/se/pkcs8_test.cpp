#include "wrap/se/pkcs8.h"

#include <gtest/gtest.h>

#include <string>

namespace keyferry::se {
namespace {

// Source: written by hand from RFC 5208 and RFC 5915; the scalar and the point are RFC 6979's,
// section A.2.5.
const std::string kD = "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721";
const std::string kPoint =
    "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"
    "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299";
const std::string kAlgorithm = "301306072a8648ce3d020106082a8648ce3d030107";
const std::string kShort = "3041020100" + kAlgorithm + "042730250201010420" + kD;
const std::string kWithPoint = "308187020100" + kAlgorithm + "046d306b0201010420" + kD +
                               "a144034200"
                               "04" +
                               kPoint;
const std::string kWithBoth = "308193020100" + kAlgorithm + "047930770201010420" + kD +
                              "a00a06082a8648ce3d030107" +
                              "a144034200"
                              "04" +
                              kPoint;

bool accepted(const std::string& hex) {
  const auto octets = from_hex(hex);
  return octets && std::holds_alternative<std::size_t>(check_wrapped_plaintext(*octets));
}

TEST(WrappedPlaintext, TakesTheFormsThatModulesWrap) {
  EXPECT_EQ(std::get<std::size_t>(check_wrapped_plaintext(*from_hex(kShort))), 67U);
  EXPECT_EQ(std::get<std::size_t>(check_wrapped_plaintext(*from_hex(kWithPoint))), 138U);
  EXPECT_EQ(std::get<std::size_t>(check_wrapped_plaintext(*from_hex(kWithBoth))), 150U);
}

TEST(WrappedPlaintext, TakesSevenZeroOctetsBehindItAndNothingElse) {
  std::string padded = kShort;
  for (int zeros = 1; zeros <= 7; ++zeros) {
    padded += "00";
    EXPECT_EQ(std::get<std::size_t>(check_wrapped_plaintext(*from_hex(padded))), 67U) << zeros;
  }
  EXPECT_FALSE(accepted(padded + "00"));
  EXPECT_FALSE(accepted(kShort + "01"));
  EXPECT_FALSE(accepted(kShort + "0000000001"));
}

TEST(WrappedPlaintext, GivesTheScalar) {
  EXPECT_EQ(to_hex(scalar_in_wrapped_plaintext(*from_hex(kWithPoint)).expose()), kD);
  EXPECT_THROW(static_cast<void>(scalar_in_wrapped_plaintext(Bytes(67))), Error);
}

TEST(WrappedPlaintext, IsNoCutOrChangedDer) {
  const Bytes whole = *from_hex(kWithBoth);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_TRUE(
        std::holds_alternative<Refusal>(check_wrapped_plaintext(ByteView{whole}.first(size))))
        << size;
  }
  const std::size_t before_scalar = kWithBoth.find(kD) / 2;
  for (std::size_t at = 0; at < before_scalar; ++at) {
    Bytes changed = whole;
    changed[at] ^= 0x01;
    EXPECT_TRUE(std::holds_alternative<Refusal>(check_wrapped_plaintext(changed))) << at;
  }
}

TEST(WrappedPlaintext, IsNoOtherAlgorithmAndNoLongForm) {
  EXPECT_FALSE(accepted(""));
  EXPECT_FALSE(accepted("30"));
  EXPECT_FALSE(accepted("3080"));
  EXPECT_FALSE(accepted("3084ffffffff"));
  EXPECT_FALSE(accepted("308141" + kShort.substr(4))) << "a length that fits one octet";
  std::string p384 = kShort;
  p384.replace(p384.find("06082a8648ce3d030107"), 20, "06082a8648ce3d030106");
  EXPECT_FALSE(accepted(p384));
}

}  // namespace
}  // namespace keyferry::se
