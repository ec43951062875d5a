#include "wrap/p11/types.h"

#include <gtest/gtest.h>

#include "wrap/p11/error.h"

namespace keyferry::p11 {
namespace {

Bytes raw_point() {
  Bytes point(65, 0x11);
  point[0] = 0x04;
  return point;
}

TEST(EcPoint, IsTakenRawAndAsDer) {
  Bytes der{0x04, 0x41};
  append(der, raw_point());
  ASSERT_TRUE(parse_ec_point(raw_point()));
  EXPECT_EQ(parse_ec_point(raw_point()), parse_ec_point(der));
}

TEST(EcPoint, IsNothingElse) {
  Bytes compressed(33, 0x11);
  compressed[0] = 0x02;
  Bytes cut = raw_point();
  cut.pop_back();
  Bytes longer{0x04, 0x42};
  append(longer, raw_point());
  longer.push_back(0);
  Bytes wrong_tag{0x03, 0x41};
  append(wrong_tag, raw_point());
  for (const Bytes& value : {Bytes{}, compressed, cut, longer, wrong_tag}) {
    EXPECT_EQ(parse_ec_point(value), std::nullopt) << to_hex(value);
  }
}

TEST(Names, AreThoseOfTheStandard) {
  EXPECT_EQ(mechanism_name(Mechanism::AesKeyWrapPad), "CKM_AES_KEY_WRAP_PAD (0x210a)");
  EXPECT_EQ(mechanism_name(Mechanism{0x80000001}), "mechanism 0x80000001");
  EXPECT_EQ(attribute_name(Attribute::UnwrapTemplate), "CKA_UNWRAP_TEMPLATE");
  EXPECT_EQ(attribute_name(Attribute{0x99}), "attribute 0x99");
  EXPECT_EQ(rv_name(0x6A), "CKR_KEY_UNEXTRACTABLE");
  EXPECT_EQ(rv_name(0x80000123), "CKR 0x80000123");
}

TEST(Pkcs11Error, NamesFunctionValueAndObject) {
  const Pkcs11Error error{"C_WrapKey", 0x6A, "key \"dev-root\", slot 3"};
  EXPECT_STREQ(error.what(), "C_WrapKey: CKR_KEY_UNEXTRACTABLE (key \"dev-root\", slot 3)");
  EXPECT_EQ(error.code(), Code::Hsm);
  EXPECT_EQ(error.hint(), "the key was made without CKA_EXTRACTABLE");
  EXPECT_TRUE(error.is_policy_refusal());
  EXPECT_FALSE(error.is_device_lost());
}

TEST(Pkcs11Error, KnowsALostDevice) {
  EXPECT_TRUE((Pkcs11Error{"C_Sign", 0x32, "key"}.is_device_lost()));  // CKR_DEVICE_REMOVED
  EXPECT_TRUE((Pkcs11Error{"C_Sign", 0xB3, "key"}.is_device_lost()));  // CKR_SESSION_HANDLE_INVALID
  EXPECT_FALSE((Pkcs11Error{"C_Sign", 0x05, "key"}.is_device_lost()));  // CKR_GENERAL_ERROR
}

}  // namespace
}  // namespace keyferry::p11
