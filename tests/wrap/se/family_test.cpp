#include "wrap/se/family.h"

#include <gtest/gtest.h>

namespace keyferry::se {
namespace {

TEST(Family, HasANameThatReadsBack) {
  for (const Family family : kAllFamilies) EXPECT_EQ(family_from_name(family_name(family)), family);
  EXPECT_EQ(family_from_name("pkcs12"), std::nullopt);
  EXPECT_EQ(family_from_name(""), std::nullopt);
}

TEST(Family, IsSupportedWhenItIsPkcs11) {
  EXPECT_EQ(unsupported(Family::Pkcs11), std::nullopt);
  for (const Family family : {Family::Atecc608, Family::OptigaTrustM, Family::Tpm2}) {
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

}  // namespace
}  // namespace keyferry::se
