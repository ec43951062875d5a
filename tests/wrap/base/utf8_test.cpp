#include "wrap/base/utf8.h"

#include <gtest/gtest.h>

namespace keyferry {
namespace {

TEST(Utf8, IsDecodedForEachLength) {
  EXPECT_EQ(decode_utf8("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x94\x91"), U"a\u00e9\u20ac\U0001f511");
  EXPECT_EQ(decode_utf8(""), U"");
  EXPECT_EQ(decode_utf8("\xf4\x8f\xbf\xbf"), U"\U0010ffff");
}

TEST(Utf8, IsRefusedWhenItIsNotWellFormed) {
  for (const char* bad : {"\x80",
                          "\xc3",
                          "\xc3(",
                          "\xc0\xaf",
                          "\xc1\xbf",
                          "\xe0\x80\x80",
                          "\xe2\x82",
                          "\xed\xa0\x80",
                          "\xed\xbf\xbf",
                          "\xf0\x80\x80\x80",
                          "\xf4\x90\x80\x80",
                          "\xf8\x88\x80\x80\x80",
                          "\xfe",
                          "\xff",
                          "a\xe9"}) {
    EXPECT_FALSE(decode_utf8(bad)) << bad;
  }
}

TEST(Utf8, KnowsWhatMovesATerminal) {
  EXPECT_TRUE(is_control(0x1b));
  EXPECT_TRUE(is_control(0x7f));
  EXPECT_TRUE(is_control(0x9b));
  EXPECT_FALSE(is_control(' '));
  EXPECT_FALSE(is_control(0xa0));
  EXPECT_TRUE(is_unicode_space(0xa0));
  EXPECT_TRUE(is_unicode_space(0x3000));
  EXPECT_FALSE(is_unicode_space('a'));
}

}  // namespace
}  // namespace keyferry
