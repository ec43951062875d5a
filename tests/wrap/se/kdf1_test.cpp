#include "wrap/se/kdf1.h"

#include <botan/block_cipher.h>
#include <gtest/gtest.h>

#include <functional>
#include <set>

#include "tests/wrap/se/example.h"

namespace keyferry::se {
namespace {

TEST(KfKdf1, GivesTheExampleOfTheFormat) {
  const Bytes data = kf_kdf_1_data("site-a", example_entry(), 32);
  EXPECT_EQ(to_hex(data), in_format_md("data"));
  Bytes master(32);
  for (std::size_t i = 0; i < master.size(); ++i) master[i] = static_cast<std::uint8_t>(i);
  const auto cipher = Botan::BlockCipher::create_or_throw("AES-256");
  cipher->set_key(master);
  Bytes key = data;
  cipher->encrypt(key);
  EXPECT_EQ(to_hex(key), in_format_md("key"));
}

TEST(KfKdf1, NumbersItsBlocksFromOne) {
  const Bytes data = kf_kdf_1_data("site-a", example_entry(), 64);
  ASSERT_EQ(data.size(), 64U);
  for (std::size_t block = 0; block < 4; ++block) {
    EXPECT_EQ(data[block * 16], block + 1);
    EXPECT_TRUE(equal(ByteView{data}.subspan(block * 16 + 1, 15), ByteView{data}.subspan(1, 15)));
  }
}

TEST(KfKdf1, GivesAsManyBlocksAsTheKeyNeeds) {
  EXPECT_EQ(kf_kdf_1_data("m", example_entry(), 16).size(), 16U);
  EXPECT_EQ(kf_kdf_1_data("m", example_entry(), 17).size(), 32U);
  EXPECT_EQ(kf_kdf_1_data("m", example_entry(), 33).size(), 48U);
  EXPECT_THROW(static_cast<void>(kf_kdf_1_data("m", example_entry(), 15)), Error);
  EXPECT_THROW(static_cast<void>(kf_kdf_1_data("m", example_entry(), 65)), Error);
}

TEST(KfKdf1, DependsOnEverythingThatTellsTwoKeysApart) {
  std::set<Bytes> seen;
  const auto add = [&seen](std::string_view master, const std::function<void(Entry&)>& change) {
    Entry entry = example_entry();
    change(entry);
    seen.insert(kf_kdf_1_data(master, entry, 32));
  };
  add("site-a", [](Entry&) {});
  add("site-b", [](Entry&) {});
  add("site-a", [](Entry& e) { e.family = Family::Tpm2; });
  add("site-a", [](Entry& e) { e.part = "SE-2"; });
  add("site-a", [](Entry& e) { e.key_name = "boot"; });
  add("site-a", [](Entry& e) { e.generation = 2; });
  add("site-a", [](Entry& e) { e.serial = serial_of("5e11a07c00000002"); });
  // Fields that touch: the lengths keep them apart.
  add("site-a", [](Entry& e) {
    e.part = "SE-1dac";
    e.key_name = "";
  });
  EXPECT_EQ(seen.size(), 8U);
}

TEST(KfKdf1, DoesNotDependOnWhatMayChangeForOneKey) {
  Entry other = example_entry();
  other.lot = "L8";
  other.device_serial = "DEV-1";
  EXPECT_EQ(kf_kdf_1_data("m", other, 32), kf_kdf_1_data("m", example_entry(), 32));
}

}  // namespace
}  // namespace keyferry::se
