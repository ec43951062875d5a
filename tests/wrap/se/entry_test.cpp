#include "wrap/se/entry.h"

#include <gtest/gtest.h>

#include <functional>

#include "tests/wrap/se/example.h"

namespace keyferry::se {
namespace {

std::string reason_of(const std::variant<Entry, Refusal>& result) {
  const auto* refusal = std::get_if<Refusal>(&result);
  return refusal == nullptr ? "accepted" : refusal->reason;
}

TEST(CanonicalEntry, IsTheExampleOfTheFormat) {
  EXPECT_EQ(to_hex(canonical_entry(example_entry())),
            "0006706b6373313100103565313161303763303030303030303100"
            "0453452d3100024c37000364616300000004"
            "00000001"
            "000764657269766564"
            "0006736974652d61"
            "0000");
}

TEST(CanonicalEntry, HasTheLeafHashOfTheFormat) {
  EXPECT_EQ(entry_leaf_hash(canonical_entry(example_entry())).hex(), in_format_md("leaf hash"));
}

TEST(CanonicalEntry, ReadsBackToTheSameEntry) {
  Entry entry = example_entry();
  entry.device_serial = "DEV:0001";
  entry.generation = 0x01020304;
  entry.transport_kind = TransportKind::Delivered;
  entry.transport_data = Bytes(40, 0xAB);
  const auto parsed = parse_canonical_entry(canonical_entry(entry));
  ASSERT_TRUE(std::holds_alternative<Entry>(parsed));
  EXPECT_EQ(std::get<Entry>(parsed), entry);
}

TEST(CanonicalEntry, IsTakenWholeOrNotAtAll) {
  const Bytes whole = canonical_entry(example_entry());
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_NE(reason_of(parse_canonical_entry(ByteView{whole}.first(size))), "accepted") << size;
  }
  Bytes longer = whole;
  longer.push_back(0);
  EXPECT_EQ(reason_of(parse_canonical_entry(longer)), "entry-syntax");
  EXPECT_EQ(reason_of(parse_canonical_entry(Bytes(kMaxEntryBytes + 1))), "entry-syntax");
}

TEST(CanonicalEntry, NeverReadsBackToOtherOctets) {
  const Bytes whole = canonical_entry(example_entry());
  for (std::size_t at = 0; at < whole.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      Bytes changed = whole;
      changed[at] = static_cast<std::uint8_t>(changed[at] ^ (1 << bit));
      const auto parsed = parse_canonical_entry(changed);
      if (const auto* entry = std::get_if<Entry>(&parsed)) {
        ASSERT_EQ(canonical_entry(*entry), changed);
      }
    }
  }
}

struct BadEntry {
  std::string_view reason;
  std::function<void(Entry&)> spoil;
};

TEST(CanonicalEntry, RefusesAFieldOutOfItsPattern) {
  const std::vector<BadEntry> table{
      {"entry-serial", [](Entry& e) { e.serial = serial_of("12 "); }},
      {"entry-serial", [](Entry& e) { e.serial = serial_of("12345678901234567"); }},
      {"entry-part", [](Entry& e) { e.part = "a b"; }},
      {"entry-lot", [](Entry& e) { e.lot = "=1"; }},
      {"entry-key-name", [](Entry& e) { e.key_name = ""; }},
      {"entry-key-name", [](Entry& e) { e.key_name = "DAC"; }},
      {"entry-device-serial", [](Entry& e) { e.device_serial = "a/b"; }},
      {"entry-generation", [](Entry& e) { e.generation = 0; }},
      {"entry-transport-name", [](Entry& e) { e.transport_name = ""; }},
      {"entry-transport-data", [](Entry& e) { e.transport_data = {1}; }},
      {"entry-transport-data", [](Entry& e) { e.transport_kind = TransportKind::Delivered; }},
      {"entry-transport-data",
       [](Entry& e) {
         e.transport_kind = TransportKind::Public;
         e.transport_data = Bytes(kMaxTransportDataBytes + 1);
       }},
      {"family-unsupported", [](Entry& e) { e.family = Family::Atecc608; }},
  };
  for (const BadEntry& bad : table) {
    Entry entry = example_entry();
    bad.spoil(entry);
    const auto refusal = check_entry(entry);
    ASSERT_TRUE(refusal) << bad.reason;
    EXPECT_EQ(refusal->reason, bad.reason);
    EXPECT_THROW(static_cast<void>(canonical_entry(entry)), Error);
  }
}

}  // namespace
}  // namespace keyferry::se
