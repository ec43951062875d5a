#include "appliance/ledger/ledger.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/support/temp_folder.h"
#include "wrap/crypto/hash.h"

namespace keyferry::appliance {
namespace {

Bytes leaf(std::string_view text) {
  return to_bytes(as_bytes(text));
}

std::string note(std::uint64_t size) {
  return fmt::format("appliance\n{}\nAAAA\n\nsignature\n", size);
}

/// A ledger file that can be opened again, as after a cut.
class LedgerTest : public testing::Test {
 protected:
  Ledger& open() {
    ledger_.reset();
    ledger_ = std::make_unique<Ledger>(folder_.path() / "ledger.db", store::Role::Writer);
    ledger_->on_action("set", [](store::Database& database, ByteView data) {
      SQLite::Statement insert{database, "INSERT INTO meta (key, value) VALUES ('acted', :value)"};
      store::bind_blob(insert, ":value", data);
      insert.exec();
    });
    return *ledger_;
  }

  test::TempFolder folder_;
  std::unique_ptr<Ledger> ledger_;
};

TEST_F(LedgerTest, CountsPendingLeavesButDoesNotCallThemFinal) {
  Ledger& ledger = open();
  ledger.store_pending(0, {leaf("a"), leaf("b")}, {});
  EXPECT_EQ(ledger.log_size(), 2U);
  EXPECT_EQ(ledger.final_log_size(), 0U);
}

TEST_F(LedgerTest, AppliesTheActionWhenACheckpointCoversTheBlock) {
  Ledger& ledger = open();
  ledger.store_pending(0, {leaf("a")}, {}, Action{"set", leaf("x")});
  EXPECT_FALSE(ledger.text_value("acted"));
  ledger.settle(note(1));
  EXPECT_EQ(ledger.text_value("acted"), "x");
  EXPECT_EQ(ledger.final_log_size(), 1U);
}

TEST_F(LedgerTest, FinishesACutStepWhenTheHsmWentOn) {
  open().store_pending(0, {leaf("a")}, {}, Action{"set", leaf("x")});
  Ledger& again = open();
  EXPECT_FALSE(again.reconcile(1, note(1)));
  EXPECT_EQ(again.text_value("acted"), "x");
  EXPECT_EQ(again.newest_checkpoint()->size, 1U);
}

TEST_F(LedgerTest, DropsACutStepWhenTheHsmDidNotGoOn) {
  open().store_pending(0, {leaf("a")}, {}, Action{"set", leaf("x")});
  Ledger& again = open();
  EXPECT_TRUE(again.reconcile(0, ""));
  EXPECT_FALSE(again.text_value("acted"));
  EXPECT_EQ(again.log_size(), 0U);
}

TEST_F(LedgerTest, TakesAnEarlierPendingBlockAsFinalWhenTheHsmStandsBehindIt) {
  Ledger& ledger = open();
  ledger.store_pending(0, {leaf("a")}, {}, Action{"set", leaf("x")});
  ledger.store_pending(1, {leaf("b")}, {});
  EXPECT_EQ(ledger.final_log_size(), 1U);
  EXPECT_EQ(ledger.text_value("acted"), "x");
}

TEST_F(LedgerTest, ReplacesAPendingBlockThatNeverHappened) {
  Ledger& ledger = open();
  ledger.store_pending(0, {leaf("a")}, {}, Action{"set", leaf("x")});
  ledger.store_pending(0, {leaf("b")}, {});
  EXPECT_EQ(ledger.leaves(0, 1), std::vector<Bytes>{leaf("b")});
  EXPECT_FALSE(ledger.text_value("acted"));
}

TEST_F(LedgerTest, RefusesLeavesThatDoNotFollow) {
  EXPECT_THROW(open().store_pending(1, {leaf("a")}, {}), Error);
}

TEST_F(LedgerTest, StopsWhenTheHsmHasMoreLeavesThanTheLedger) {
  try {
    open().reconcile(3, note(3));
    FAIL() << "not refused";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::Rollback);
  }
}

TEST_F(LedgerTest, StopsAtAPendingActionThatNobodyKnows) {
  Ledger& ledger = open();
  ledger.store_pending(0, {leaf("a")}, {}, Action{"from-the-future", {}});
  EXPECT_THROW(ledger.settle(note(1)), Error);
  EXPECT_EQ(ledger.final_log_size(), 0U);
}

TEST_F(LedgerTest, NeverEditsOrRemovesAFinalLeaf) {
  Ledger& ledger = open();
  ledger.store_pending(0, {leaf("a")}, {});
  ledger.settle(note(1));
  EXPECT_THROW(ledger.database().exec("UPDATE log_block SET leaves = x'0000000162'"),
               SQLite::Exception);
  EXPECT_THROW(ledger.database().exec("DELETE FROM log_block"), SQLite::Exception);
}

TEST_F(LedgerTest, GivesLeavesAndHashesAcrossBlocks) {
  Ledger& ledger = open();
  ledger.store_pending(0, {leaf("a"), leaf("b")}, {});
  ledger.store_pending(2, {leaf("c"), leaf("d")}, {});
  const std::vector<Bytes> expected{leaf("b"), leaf("c")};
  EXPECT_EQ(ledger.leaves(1, 3), expected);
  const Bytes prefixed = leaf(std::string_view{"\0b", 2});
  EXPECT_EQ(ledger.leaf_hashes(1, 2).front(), crypto::sha256(prefixed));
}

TEST_F(LedgerTest, SaysWhenLeavesAreAskedForThatItDoesNotHave) {
  EXPECT_THROW(static_cast<void>(open().leaves(0, 1)), Error);
}

TEST(CheckpointSize, RefusesWhatIsNoCheckpoint) {
  EXPECT_THROW(static_cast<void>(checkpoint_size("appliance\nmany\n")), Error);
  EXPECT_EQ(checkpoint_size("appliance\n12\nroot\n"), 12U);
}

}  // namespace
}  // namespace keyferry::appliance
