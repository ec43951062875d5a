#include "wrap/se/entry.h"

#include <gtest/gtest.h>

#include <functional>

#include "tests/wrap/se/atecc608_example.h"
#include "tests/wrap/se/example.h"
#include "wrap/crypto/soft_key.h"

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
      {"family-unsupported", [](Entry& e) { e.family = Family::Tpm2; }},
      {"entry-serial", [](Entry& e) { e.family = Family::Atecc608; }},
      {"entry-attestation-key",
       [](Entry& e) { e.attestation_key = crypto::SoftKey::generate().public_key(); }},
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

TEST(CanonicalEntry, WithAnAttestationKeyIsThatOfFormatMd) {
  Entry entry = example_chip_entry();
  entry.attestation_key = crypto::PublicKey::from_point(*from_hex("04" + in_format_md("a-xy")));
  ASSERT_TRUE(entry.attestation_key);
  const Bytes octets = canonical_entry(entry);
  EXPECT_EQ(to_hex(octets), in_format_md("a-entry"));
  EXPECT_EQ(entry_leaf_hash(octets).hex(), in_format_md("a-leaf"));
}

TEST(CanonicalEntry, HasAnEleventhFieldWhereThereIsAnAttestationKey) {
  Entry entry = example_chip_entry();
  const Bytes ten = canonical_entry(entry);
  entry.attestation_key = crypto::SoftKey::generate().public_key();
  const Bytes eleven = canonical_entry(entry);
  ASSERT_EQ(eleven.size(), ten.size() + 2 + 65);
  EXPECT_TRUE(equal(ByteView{eleven}.first(ten.size()), ten));
  EXPECT_NE(entry_leaf_hash(eleven), entry_leaf_hash(ten));
  const auto parsed = parse_canonical_entry(eleven);
  ASSERT_TRUE(std::holds_alternative<Entry>(parsed));
  EXPECT_EQ(std::get<Entry>(parsed), entry);
  Bytes empty_field = ten;
  append_u16be(empty_field, 0);
  EXPECT_TRUE(std::holds_alternative<Refusal>(parse_canonical_entry(empty_field)));
  Bytes twelve = eleven;
  append_u16be_prefixed(twelve, Bytes{1});
  EXPECT_TRUE(std::holds_alternative<Refusal>(parse_canonical_entry(twelve)));
  Bytes off_curve = eleven;
  off_curve.back() ^= 1;
  const auto refused = parse_canonical_entry(off_curve);
  ASSERT_TRUE(std::holds_alternative<Refusal>(refused));
  EXPECT_EQ(std::get<Refusal>(refused).reason, "entry-attestation-key");
}

}  // namespace
}  // namespace keyferry::se
