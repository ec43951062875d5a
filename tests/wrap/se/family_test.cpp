#include "wrap/se/family.h"

#include <gtest/gtest.h>

namespace keyferry::se {
namespace {

TEST(Family, HasANameThatReadsBack) {
  for (const Family family : kAllFamilies) EXPECT_EQ(family_from_name(family_name(family)), family);
  EXPECT_EQ(family_from_name("pkcs12"), std::nullopt);
  EXPECT_EQ(family_from_name(""), std::nullopt);
}

TEST(Family, IsSupportedWhenItHasABuilder) {
  for (const Family family : {Family::Pkcs11, Family::Atecc608}) {
    EXPECT_EQ(unsupported(family), std::nullopt);
    EXPECT_EQ(transport_key_size_bytes(family), 32U);
  }
  for (const Family family : {Family::OptigaTrustM, Family::Tpm2}) {
    ASSERT_TRUE(unsupported(family)) << family_name(family);
    EXPECT_EQ(unsupported(family)->reason, "family-unsupported");
    EXPECT_THROW(static_cast<void>(transport_key_size_bytes(family)), Error);
  }
}

TEST(TransportKind, HasANameThatReadsBack) {
  for (const TransportKind kind :
       {TransportKind::Derived, TransportKind::Delivered, TransportKind::Public}) {
    EXPECT_EQ(transport_kind_from_name(transport_kind_name(kind)), kind);
  }
  EXPECT_EQ(transport_kind_from_name("stolen"), std::nullopt);
}

TEST(Serial, LosesTrailingBlanksOnly) {
  const auto serial = normalise_serial(Family::Pkcs11, as_bytes("12 ab           "));
  ASSERT_TRUE(std::holds_alternative<SeSerial>(serial));
  EXPECT_EQ(serial_text(Family::Pkcs11, std::get<SeSerial>(serial)), "12 ab");
}

TEST(Serial, IsRefusedWhenItIsNone) {
  for (const std::string_view text :
       {"", "                ", " 12", "12345678901234567", "12\n", "12\x7f"}) {
    const auto serial = normalise_serial(Family::Pkcs11, as_bytes(text));
    ASSERT_TRUE(std::holds_alternative<Refusal>(serial)) << text;
    EXPECT_EQ(std::get<Refusal>(serial).reason, "serial-invalid");
  }
  EXPECT_EQ(std::get<Refusal>(normalise_serial(Family::Tpm2, as_bytes("1"))).reason,
            "family-unsupported");
}

TEST(Serial, OfAnAtecc608HasNineOctetsThatBegin0123) {
  const auto serial = normalise_serial(Family::Atecc608, *from_hex("0123a5c7e90b2d4fee"));
  ASSERT_TRUE(std::holds_alternative<SeSerial>(serial));
  EXPECT_EQ(serial_text(Family::Atecc608, std::get<SeSerial>(serial)), "0123a5c7e90b2d4fee");
  for (const char* digits :
       {"", "0123a5c7e90b2d4f", "0123a5c7e90b2d4fee00", "0124a5c7e90b2d4fee", "0223a5c7e90b2d4fee"}) {
    const auto refused = normalise_serial(Family::Atecc608, *from_hex(digits));
    ASSERT_TRUE(std::holds_alternative<Refusal>(refused)) << digits;
    EXPECT_EQ(std::get<Refusal>(refused).reason, "serial-invalid");
  }
}

}  // namespace
}  // namespace keyferry::se
