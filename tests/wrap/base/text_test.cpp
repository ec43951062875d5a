#include "wrap/base/text.h"

#include <gtest/gtest.h>

namespace keyferry {
namespace {

TEST(Name, TakesLowerCaseDigitsAndThreeMarks) {
  for (const char* good : {"a", "0", "station-7", "kf_tk.v1", "a--b"})
    EXPECT_TRUE(is_name(good)) << good;
  EXPECT_TRUE(is_name(std::string(63, 'a')));
}

TEST(Name, RefusesWhatCouldBeMoreThanAName) {
  for (const char* bad : {"",
                          "-a",
                          ".a",
                          "..",
                          "_a",
                          "A",
                          "aB",
                          "a b",
                          "a/b",
                          "a\nb",
                          "a\x1b[31m",
                          "a;b",
                          "\xc3\xa9",
                          "a\x7f",
                          "=1",
                          "<a>"}) {
    EXPECT_FALSE(is_name(bad)) << bad;
  }
  EXPECT_FALSE(is_name(std::string(64, 'a')));
  EXPECT_FALSE(is_name(std::string_view{"a\0", 2}));
}

TEST(PartText, TakesWhatPartAndLotNumbersHave) {
  for (const char* good : {"", "ATECC608B-TNGTLS", "SLS32AIA010MH/USON10", "lot_7.2+3"}) {
    EXPECT_TRUE(is_part_text(good)) << good;
  }
  EXPECT_TRUE(is_part_text(std::string(64, 'A')));
  EXPECT_FALSE(is_part_text(std::string(65, 'A')));
  for (const char* bad : {"a b", "a,b", "=a", "\"a\"", "a;", "<a>", "a\n", "a:"})
    EXPECT_FALSE(is_part_text(bad)) << bad;
}

TEST(DeviceSerial, TakesOneTo64OfItsCharacters) {
  for (const char* good : {"1", "SN-0001", "00:11:22:33", "a_b.c"})
    EXPECT_TRUE(is_device_serial(good)) << good;
  EXPECT_TRUE(is_device_serial(std::string(64, '1')));
  EXPECT_FALSE(is_device_serial(std::string(65, '1')));
}

TEST(DeviceSerial, IsNeverAFormulaATagOrAnEscape) {
  for (const char* bad :
       {"", "-1", "=1", "+1", "@1", ".1", ":1", "_1", "1+1", "1 ", "\t1", "<b>", "1&2", "1\x1b"}) {
    EXPECT_FALSE(is_device_serial(bad)) << bad;
  }
}

TEST(Printable, ShowsAsciiAndWritesTheRestAsHex) {
  EXPECT_EQ(printable("plain text, 1+1"), "plain text, 1+1");
  EXPECT_EQ(printable("a\x1b[31m\n\x7f\xff\\"), "a\\x1b[31m\\x0a\\x7f\\xff\\x5c");
  EXPECT_EQ(printable(std::string_view{"a\0b", 3}), "a\\x00b");
}

TEST(Printable, IsCutAt200Characters) {
  EXPECT_EQ(printable(std::string(200, 'a')), std::string(200, 'a'));
  EXPECT_EQ(printable(std::string(201, 'a')), std::string(200, 'a') + "...");
}

}  // namespace
}  // namespace keyferry
