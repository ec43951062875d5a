#include "wrap/base/ids.h"

#include <gtest/gtest.h>

#include <type_traits>

namespace keyferry {
namespace {

static_assert(!std::is_convertible_v<BatchId, StationId>, "same width, not interchangeable");
static_assert(!std::is_convertible_v<Digest, KeyId>);
static_assert(!std::is_convertible_v<RecordNo, SegmentIndex>);

TEST(BytesIdParsing, TakesItsOneLengthOnly) {
  EXPECT_TRUE(BatchId::from_bytes(Bytes(16, 1)));
  for (const std::size_t size : {0U, 15U, 17U, 32U})
    EXPECT_FALSE(BatchId::from_bytes(Bytes(size))) << size;
}

TEST(BytesIdParsing, GoesThroughHex) {
  const std::string hex = "000102030405060708090a0b0c0d0e0f";
  const auto id = BatchId::from_hex(hex);
  ASSERT_TRUE(id);
  EXPECT_EQ(id->hex(), hex);
  EXPECT_EQ(as_bytes(id->str()).size(), 16U);
  EXPECT_FALSE(BatchId::from_hex("0001"));
  EXPECT_FALSE(BatchId::from_hex(hex.substr(1) + "x"));
}

TEST(BytesIdOrder, IsThatOfTheOctets) {
  const auto low = *BatchId::from_hex("00ff0000000000000000000000000000");
  const auto high = *BatchId::from_hex("01000000000000000000000000000000");
  EXPECT_LT(low, high);
  EXPECT_NE(low, high);
}

TEST(SeSerialParsing, TakesOneTo64Octets) {
  EXPECT_FALSE(SeSerial::from_bytes({}));
  EXPECT_TRUE(SeSerial::from_bytes(Bytes(1)));
  EXPECT_TRUE(SeSerial::from_bytes(Bytes(64)));
  EXPECT_FALSE(SeSerial::from_bytes(Bytes(65)));
  EXPECT_EQ(SeSerial::from_hex("01ab")->hex(), "01ab");
  EXPECT_FALSE(SeSerial::from_hex("01a"));
}

}  // namespace
}  // namespace keyferry
