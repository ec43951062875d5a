#include "appliance/front/fleet_export.h"

#include <gtest/gtest.h>

namespace keyferry::appliance {
namespace {

TEST(FleetExport, NoCellIsComputedByASpreadsheet) {
  for (const char* text : {"=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx"}) {
    EXPECT_EQ(csv_cell(text).find(text[0]), csv_cell(text).front() == '"' ? 2U : 1U) << text;
  }
  EXPECT_EQ(csv_cell("=1+1"), "'=1+1");
  EXPECT_EQ(csv_cell("=A,B"), "\"'=A,B\"");
}

TEST(FleetExport, OneCellStaysOneCell) {
  EXPECT_EQ(csv_cell(""), "");
  EXPECT_EQ(csv_cell("SN-1"), "SN-1");
  EXPECT_EQ(csv_cell("a,b"), "\"a,b\"");
  EXPECT_EQ(csv_cell("a\"b"), "\"a\"\"b\"");
  EXPECT_EQ(csv_cell("a\nb"), "\"a\nb\"");
}

}  // namespace
}  // namespace keyferry::appliance
