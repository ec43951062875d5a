#include "wrap/base/clock.h"

#include <gtest/gtest.h>

namespace keyferry {
namespace {

TEST(Rfc3339, IsWrittenInUtcToTheSecond) {
  EXPECT_EQ(to_rfc3339(UtcMillis{0}), "1970-01-01T00:00:00Z");
  EXPECT_EQ(to_rfc3339(UtcMillis{951'827'696'999}),
            "2000-02-29T12:34:56Z");  // date -u -d @951827696
  EXPECT_EQ(to_rfc3339(UtcMillis{-1}), "1969-12-31T23:59:59Z");
}

TEST(Rfc3339, GoesThereAndBack) {
  for (const char* text : {"1970-01-01T00:00:00Z",
                           "2000-02-29T12:34:56Z",
                           "2026-11-22T08:00:00Z",
                           "2038-01-19T03:14:08Z",
                           "9999-12-31T23:59:59Z",
                           "0001-01-01T00:00:00Z"}) {
    const auto time = from_rfc3339(text);
    ASSERT_TRUE(time) << text;
    EXPECT_EQ(to_rfc3339(*time), text);
    EXPECT_EQ(time->value % 1000, 0);
  }
}

TEST(Rfc3339, IsRefusedInOtherForms) {
  for (const char* bad : {"",
                          "2026-11-22",
                          "2026-11-22T08:00:00",
                          "2026-11-22T08:00:00z",
                          "2026-11-22t08:00:00Z",
                          "2026-11-22 08:00:00Z",
                          "2026-11-22T08:00:00.0Z",
                          "2026-11-22T08:00:00+00:00",
                          "2026-11-22T08:00:0Z",
                          "2026-11-22T08:00:00Z ",
                          " 026-11-22T08:00:00Z",
                          "+026-11-22T08:00:00Z",
                          "-026-11-22T08:00:00Z",
                          "2026-11-22T08:0x:00Z",
                          "2026/11/22T08:00:00Z",
                          "2026-11-22T08.00.00Z"}) {
    EXPECT_FALSE(from_rfc3339(bad)) << bad;
  }
}

TEST(Rfc3339, IsRefusedForDatesAndTimesThatDoNotExist) {
  for (const char* bad : {"2026-02-29T00:00:00Z",
                          "2100-02-29T00:00:00Z",
                          "2026-00-01T00:00:00Z",
                          "2026-13-01T00:00:00Z",
                          "2026-01-00T00:00:00Z",
                          "2026-04-31T00:00:00Z",
                          "2026-01-01T24:00:00Z",
                          "2026-01-01T00:60:00Z",
                          "2026-01-01T23:59:60Z"}) {
    EXPECT_FALSE(from_rfc3339(bad)) << bad;
  }
}

TEST(SystemTime, IsAfterThisWasWritten) {
  EXPECT_GT(SystemClock{}.now(), *from_rfc3339("2024-01-01T00:00:00Z"));
}

}  // namespace
}  // namespace keyferry
