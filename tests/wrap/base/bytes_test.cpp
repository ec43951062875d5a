#include "wrap/base/bytes.h"

#include <gtest/gtest.h>

#include "wrap/base/error.h"

namespace keyferry {
namespace {

TEST(Hex, IsLowerCaseTwoDigitsAnOctet) {
  EXPECT_EQ(to_hex(Bytes{0x00, 0x0f, 0xa0, 0xff}), "000fa0ff");
  EXPECT_EQ(to_hex({}), "");
}

TEST(Hex, IsReadInEitherCase) {
  EXPECT_EQ(from_hex("000FA0ff"), (Bytes{0x00, 0x0f, 0xa0, 0xff}));
  EXPECT_EQ(from_hex(""), Bytes{});
}

TEST(Hex, IsRefusedWithAnOddCountOrAnotherCharacter) {
  for (const char* bad : {"0", "000", "0g", "g0", " 00", "0x00", "00\n", "/0", ":0", "@0", "`0"}) {
    EXPECT_FALSE(from_hex(bad)) << bad;
  }
  EXPECT_FALSE(from_hex(std::string_view{"0\0", 2}));
}

TEST(BigEndianFields, GoThereAndBack) {
  Bytes out;
  append_u16be(out, 0x0102);
  append_u32be(out, 0x03040506);
  append_u64be(out, 0x0708090a0b0c0d0e);
  EXPECT_EQ(to_hex(out), "0102030405060708090a0b0c0d0e");
  const ByteView view = out;
  EXPECT_EQ(read_u16be(view), 0x0102);
  EXPECT_EQ(read_u32be(view.subspan(2)), 0x03040506U);
  EXPECT_EQ(read_u64be(view.subspan(6)), 0x0708090a0b0c0d0eU);
}

TEST(BigEndianFields, KeepTheirHighestBit) {
  const Bytes ones(8, 0xff);
  EXPECT_EQ(read_u16be(ones), 0xffff);
  EXPECT_EQ(read_u32be(ones), 0xffffffffU);
  EXPECT_EQ(read_u64be(ones), ~std::uint64_t{0});
}

TEST(PrefixedField, HasItsLengthBeforeIt) {
  Bytes out;
  append_u16be_prefixed(out, as_bytes("abc"));
  append_u16be_prefixed(out, {});
  EXPECT_EQ(to_hex(out), "00036162630000");
}

TEST(PrefixedField, IsRefusedAboveWhatItsLengthCanSay) {
  Bytes out;
  append_u16be_prefixed(out, Bytes(0xffff));
  EXPECT_EQ(out.size(), 0xffffU + 2);
  EXPECT_THROW(append_u16be_prefixed(out, Bytes(0x10000)), Error);
  EXPECT_EQ(out.size(), 0xffffU + 2) << "nothing was added";
}

TEST(ByteViews, AreTheSameOctetsAsCharacters) {
  const std::string text{"a\0b\xff", 4};
  EXPECT_EQ(as_bytes(text).size(), 4U);
  EXPECT_EQ(as_chars(as_bytes(text)), text);
  EXPECT_EQ(to_string(to_bytes(as_bytes(text))), text);
}

TEST(ByteViews, AreEqualByContentAndLength) {
  EXPECT_TRUE(equal(Bytes{1, 2}, Bytes{1, 2}));
  EXPECT_FALSE(equal(Bytes{1, 2}, Bytes{1, 3}));
  EXPECT_FALSE(equal(Bytes{1, 2}, Bytes{1}));
  EXPECT_TRUE(equal({}, {}));
}

}  // namespace
}  // namespace keyferry
