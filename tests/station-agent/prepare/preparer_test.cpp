// Preparation of blank ATECC608 chips: what comes out, what is refused, and a power cut at each
// command.
#include "station-agent/prepare/preparer.h"

#include <fmt/format.h>

#include "tests/station-agent/prepare/room.h"
#include "tests/support/sanitizers.h"

namespace keyferry::prepare::test {
namespace {

class PreparerTest : public Room {};

TEST_F(PreparerTest, MakesABlankChipReadyAndSaysSoSigned) {
  if (!keyferry::test::kMemoryCanBeLocked) GTEST_SKIP() << "a sanitizer makes mlock do nothing";
  BenchChip chip{blank(1)};
  const auto outcome = run(chip);
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->result, Result::Prepared) << outcome->text;
  expect_prepared(chip);
}

TEST_F(PreparerTest, LeavesAPreparedChipAlone) {
  if (!keyferry::test::kMemoryCanBeLocked) GTEST_SKIP() << "a sanitizer makes mlock do nothing";
  BenchChip chip{blank(1)};
  ASSERT_TRUE(run(chip));
  const vse::Memory before = chip.memory();
  const auto again = run(chip);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->result, Result::PreparedBefore);
  EXPECT_EQ(chip.memory(), before);
}

TEST_F(PreparerTest, GivesEachChipATransportKeyOfItsOwn) {
  if (!keyferry::test::kMemoryCanBeLocked) GTEST_SKIP() << "a sanitizer makes mlock do nothing";
  BenchChip one{blank(1)};
  BenchChip two{blank(2)};
  ASSERT_TRUE(run(one) && run(two));
  EXPECT_FALSE(equal(one.memory().key(4), two.memory().key(4)));
}

TEST_F(PreparerTest, RefusesAChipThatSomebodyLockedBefore) {
  const auto file = blank(1);
  vse::Memory memory = *vse::load_memory(file);
  memory.lock_config();
  vse::save_memory(file, memory);
  BenchChip chip{file};
  const auto outcome = run(chip);
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->result, Result::Refused);
  EXPECT_EQ(outcome->reason, "not-blank");
  EXPECT_EQ(chip.memory(), memory);
  EXPECT_TRUE(journal().all().empty());
}

TEST_F(PreparerTest, RefusesMoreChipsThanWereOrdered) {
  if (!keyferry::test::kMemoryCanBeLocked) GTEST_SKIP() << "a sanitizer makes mlock do nothing";
  for (std::uint8_t number = 1; number <= 5; ++number) {
    BenchChip chip{blank(number)};
    ASSERT_EQ(run(chip)->result, Result::Prepared);
  }
  BenchChip chip{blank(6)};
  const auto outcome = run(chip);
  EXPECT_EQ(outcome->result, Result::Refused);
  EXPECT_EQ(outcome->reason, "count");
}

/// Locks of the virtual chip's own, between two runs.
void lock_behind_our_back(const std::filesystem::path& file,
                          const std::function<void(vse::Memory&)>& change) {
  vse::Memory memory = *vse::load_memory(file);
  change(memory);
  vse::save_memory(file, memory);
}

TEST_F(PreparerTest, SetsAChipAsideWhoseAttestationSlotSomebodyElseLocked) {
  const auto file = blank(1);
  {
    BenchChip chip{file, "cut-before GenKey"};
    ASSERT_FALSE(run(chip));
  }
  lock_behind_our_back(file, [](vse::Memory& memory) { memory.lock_slot(1); });
  BenchChip chip{file};
  EXPECT_EQ(run(chip)->result, Result::SetAside);
  const auto again = run(chip);
  EXPECT_EQ(again->result, Result::SetAside);
  EXPECT_EQ(again->reason, "set-aside-before");
}

TEST_F(PreparerTest, SetsAChipAsideWhoseDataZoneSomebodyElseLockedOverAnotherKey) {
  if (!keyferry::test::kMemoryCanBeLocked) GTEST_SKIP() << "a sanitizer makes mlock do nothing";
  const auto file = blank(1);
  {
    BenchChip chip{file, "cut-before CheckMac"};
    ASSERT_FALSE(run(chip));
  }
  lock_behind_our_back(file, [](vse::Memory& memory) {
    memory.slots[4][0] ^= 1;
    memory.lock_data();
  });
  BenchChip chip{file};
  const auto outcome = run(chip);
  EXPECT_EQ(outcome->result, Result::SetAside);
  EXPECT_EQ(outcome->reason, "proof");
}

TEST_F(PreparerTest, SetsAChipAsideWhoseLockedConfigurationIsNotTheOrders) {
  const auto file = blank(1);
  {
    BenchChip chip{file, "cut-before Lock"};
    ASSERT_FALSE(run(chip));
  }
  lock_behind_our_back(file, [](vse::Memory& memory) {
    memory.config[20] ^= 1;
    memory.lock_config();
  });
  BenchChip chip{file};
  const auto outcome = run(chip);
  EXPECT_EQ(outcome->result, Result::SetAside);
  EXPECT_EQ(outcome->reason, "configuration");
  EXPECT_NE(outcome->text.find("octet 20"), std::string::npos) << outcome->text;
}

TEST_F(PreparerTest, SetsAChipAsideThatCannotSignWithItsAttestationKey) {
  BenchChip chip{blank(1), "counterfeit"};
  const auto outcome = run(chip);
  EXPECT_EQ(outcome->result, Result::SetAside);
  EXPECT_EQ(outcome->reason, "attestation");
}

TEST_F(PreparerTest, FinishesOnANoisyBus) {
  if (!keyferry::test::kMemoryCanBeLocked) GTEST_SKIP() << "a sanitizer makes mlock do nothing";
  BenchChip chip{blank(1), "noise 5 11"};
  const auto outcome = run(chip);
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->result, Result::Prepared) << outcome->text;
  expect_prepared(chip);
}

TEST_F(PreparerTest, WritesNoTransportKeyIntoItsJournal) {
  if (!keyferry::test::kMemoryCanBeLocked) GTEST_SKIP() << "a sanitizer makes mlock do nothing";
  BenchChip chip{blank(1)};
  ASSERT_TRUE(run(chip));
  const Bytes key = to_bytes(chip.memory().key(4));
  for (const auto& entry : std::filesystem::recursive_directory_iterator{folder_ / "orders"}) {
    if (!entry.is_regular_file()) continue;
    const Bytes content = read_file(entry.path(), 1 << 20);
    EXPECT_EQ(std::ranges::search(content, key).begin(), content.end()) << entry.path();
  }
}

/// Power cut before or after command N of the first run; afterwards the same again until it is
/// done.
TEST_F(PreparerTest, GoesOnAfterAPowerCutAtEachCommand) {
  if (!keyferry::test::kMemoryCanBeLocked) GTEST_SKIP() << "a sanitizer makes mlock do nothing";
  std::uint64_t commands = 0;
  {
    BenchChip whole{blank(200)};
    ASSERT_EQ(run(whole)->result, Result::Prepared);
    commands = whole.commands();
  }
  ASSERT_GT(commands, 40U);
  order_.count = checked_.order.count = 1000;
  int cut_runs = 0;
  for (std::uint64_t number = 1; number <= commands; ++number) {
    for (const char* kind : {"cut-before", "cut-after"}) {
      SCOPED_TRACE(fmt::format("{} {}", kind, number));
      std::filesystem::remove_all(folder_ / "orders");
      BenchChip chip{blank(1), fmt::format("{} {}", kind, number)};
      ASSERT_FALSE(run(chip)) << "the cut is in the first run";
      ++cut_runs;
      const auto outcome = run(chip);
      ASSERT_TRUE(outcome);
      EXPECT_EQ(outcome->result, Result::Prepared) << outcome->reason << ": " << outcome->text;
      expect_prepared(chip);
    }
  }
  EXPECT_EQ(cut_runs, static_cast<int>(2 * commands));
}

class OrderTest : public Room {
 protected:
  [[nodiscard]] std::string refusal_of(const token::PreparationOrder& order) const {
    const auto checked = check_order(
        order, preparer_key_.public_key(), token::Environment::Development, UtcMillis{1});
    const auto* refusal = std::get_if<Refusal>(&checked);
    return refusal != nullptr ? refusal->reason : "";
  }

  void change_profile(const std::function<void(se::Atecc608Profile&)>& change) {
    se::Atecc608Profile profile = se::example_profile();
    change(profile);
    v1::Atecc608Profile message;
    se::to_message(profile, message);
    order_.profile = to_bytes(as_bytes(message.SerializeAsString()));
  }
};

TEST_F(OrderTest, IsForOnePreparer) {
  order_.preparer = crypto::SoftKey::generate().public_key();
  EXPECT_EQ(refusal_of(order_), "preparer-other");
}

TEST_F(OrderTest, HasAnEndAndAnEnvironment) {
  order_.expires = UtcMillis{1};
  EXPECT_EQ(refusal_of(order_), "expired");
  order_.expires = UtcMillis{2};
  order_.environment = token::Environment::Production;
  EXPECT_EQ(refusal_of(order_), "environment");
}

TEST_F(OrderTest, HasAConfigurationThatRecordsCanBeMadeFor) {
  change_profile([](se::Atecc608Profile& profile) { profile.configuration[96 + 8] |= 0x40; });
  EXPECT_EQ(refusal_of(order_), "atecc608-req-random");
  change_profile([](se::Atecc608Profile& profile) { profile.configuration[87] = 0x00; });
  EXPECT_EQ(refusal_of(order_), "configuration-open");
}

TEST_F(OrderTest, HasARsaKeyAndASlotForWhatItBrings) {
  order_.vendor_public_key = Bytes(91, 0x30);
  EXPECT_EQ(refusal_of(order_), "vendor-key");
  order_.vendor_public_key = vendor_spki();
  order_.secure_boot_key = std::nullopt;
  EXPECT_EQ(refusal_of(order_), "secure-boot-slot");
}

TEST_F(OrderTest, OpensOnlyAsItsApplianceSignedIt) {
  const Bytes file = appliance_.signed_order(order_);
  const auto opened_order = token::open_preparation_order(file);
  ASSERT_TRUE(std::holds_alternative<token::PreparationOrder>(opened_order));
  EXPECT_EQ(std::get<token::PreparationOrder>(opened_order), order_);
  Bytes altered = file;
  const Bytes lot = to_bytes(as_bytes("L7"));
  std::ranges::search(altered, lot).begin()[1] = '8';
  const auto refused = token::open_preparation_order(altered);
  ASSERT_TRUE(std::holds_alternative<Refusal>(refused));
  EXPECT_EQ(std::get<Refusal>(refused).reason, "signature");
}

TEST_F(OrderTest, WithTheCardOfAnotherApplianceIsRefused) {
  Appliance other;
  order_.card = other.card();
  const auto refused = token::open_preparation_order(other.signed_order(order_));
  ASSERT_TRUE(std::holds_alternative<Refusal>(refused));
  EXPECT_EQ(std::get<Refusal>(refused).reason, "appliance-id");
}

TEST_F(OrderTest, ReceiptsAreRefusedWhenAlteredOrSomebodyElses) {
  if (!keyferry::test::kMemoryCanBeLocked) GTEST_SKIP() << "a sanitizer makes mlock do nothing";
  BenchChip chip{blank(1)};
  ASSERT_TRUE(run(chip));
  const Bytes receipt = journal().all().at(0).receipt;
  auto signed_bytes = std::get<token::SignedBytes>(token::parse_signed_bytes(receipt));
  const auto line = token::parse_preparation_line(token::preparation_line(signed_bytes));
  EXPECT_EQ(std::get<token::SignedBytes>(line), signed_bytes);
  const auto stranger = crypto::SoftKey::generate();
  EXPECT_TRUE(std::holds_alternative<Refusal>(
      token::open_preparation_receipt(signed_bytes, stranger.public_key())));
  signed_bytes.payload.back() ^= 1;
  EXPECT_TRUE(std::holds_alternative<Refusal>(
      token::open_preparation_receipt(signed_bytes, preparer_key_.public_key())));
}

}  // namespace
}  // namespace keyferry::prepare::test
