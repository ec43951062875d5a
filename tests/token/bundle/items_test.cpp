#include "token/bundle/items.h"

#include <gtest/gtest.h>

namespace keyferry::bundle {
namespace {

ReceiptItem sample() {
  return {.record_no = RecordNo{7},
          .station = *StationId::from_bytes(Bytes(16, 3)),
          .generation = 1,
          .position = 99,
          .core = Bytes(40, 5),
          .signature = Bytes(64, 6),
          .attestation = {},
          .attestation_key = {}};
}

TEST(BundleItems, AreSplitAsTheyWereAppended) {
  Bytes file;
  append_item(file, ByteView{});
  append_item(file, as_bytes("two"));
  const auto items = split_items(file, 2);
  const auto& list = std::get<std::vector<ByteView>>(items);
  ASSERT_EQ(list.size(), 2U);
  EXPECT_TRUE(list[0].empty());
  EXPECT_EQ(as_chars(list[1]), "two");
}

TEST(BundleItems, AreRefusedWhereTheyAreCutOrTooMany) {
  Bytes file;
  append_item(file, as_bytes("one"));
  append_item(file, as_bytes("two"));
  for (std::size_t size = 1; size < file.size(); ++size) {
    const auto items = split_items(ByteView{file}.first(size), 2);
    ASSERT_EQ(std::holds_alternative<Refusal>(items), size != 7) << size;
  }
  EXPECT_TRUE(std::holds_alternative<Refusal>(split_items(file, 1)));
  EXPECT_TRUE(std::holds_alternative<Refusal>(split_items(Bytes(4, 0xff), 1)));
}

TEST(BundleItems, AReceiptHasOneForm) {
  Bytes file;
  append_item(file, sample());
  const ByteView item = ByteView{file}.subspan(4);
  const auto parsed = parse_receipt_item(item);
  ASSERT_TRUE(parsed.has_value());
  EXPECT_EQ(parsed->core, sample().core);
  EXPECT_EQ(parsed->position, 99U);
  Bytes longer = to_bytes(item);
  append(longer, as_bytes(std::string{"\x78\x01", 2}));  // field 15 = 1: nobody's
  EXPECT_FALSE(parse_receipt_item(longer).has_value());
  Bytes twice = to_bytes(item);
  append(twice, item);
  EXPECT_FALSE(parse_receipt_item(twice).has_value());
}

TEST(BundleItems, AReceiptHasFieldsOfTheirLengths) {
  for (const std::size_t size : {std::size_t{1}, std::size_t{63}, std::size_t{65}}) {
    ReceiptItem receipt = sample();
    receipt.signature.resize(size);
    Bytes file;
    append_item(file, receipt);
    EXPECT_FALSE(parse_receipt_item(ByteView{file}.subspan(4)).has_value()) << size;
  }
}

}  // namespace
}  // namespace keyferry::bundle
