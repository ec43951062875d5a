#include "appliance/ledger/seen_values.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "appliance/ledger/ledger.h"
#include "tests/support/temp_folder.h"
#include "wrap/base/error.h"

namespace keyferry::appliance {
namespace {

class SeenValuesTest : public testing::Test {
 protected:
  void SetUp() override { database_.exec("DELETE FROM seen_run"); }

  std::vector<SeenId> some(std::size_t count) {
    std::vector<SeenId> ids(count);
    for (SeenId& id : ids) {
      for (std::uint8_t& octet : id) octet = static_cast<std::uint8_t>(random_());
    }
    return ids;
  }

  std::int64_t number(const std::string& sql) { return database_.execAndGet(sql).getInt64(); }

  test::TempFolder folder_;
  Ledger ledger_{folder_.path() / "ledger.db", store::Role::Writer};
  store::Database& database_ = ledger_.database();
  std::mt19937 random_{20261122};
};

TEST_F(SeenValuesTest, RemembersAcrossRunsMovesAndNewObjects) {
  SeenValues seen{database_};
  std::vector<std::pair<SeenId, SeenId>> samples;
  for (int run = 0; run < 20; ++run) {
    auto keys = some(8192);
    auto serials = some(8192);
    samples.emplace_back(keys[run], serials[run]);
    store::WriteTransaction transaction{database_};
    seen.add(keys, serials);
    transaction.commit();
  }
  // 16 runs of 8192 are 131,072: these have moved, four have not.
  EXPECT_EQ(number("SELECT count(*) FROM seen_run"), 4);
  EXPECT_EQ(number("SELECT count(*) FROM seen_public_key"), 16 * 8192);
  EXPECT_EQ(number("SELECT count(*) FROM seen_serial"), 16 * 8192);
  SeenValues again{database_};
  for (SeenValues* const values : {&seen, &again}) {
    for (const auto& [key, serial] : samples) {
      EXPECT_THROW(values->add({key}, some(1)), SeenBefore);
      EXPECT_THROW(values->add(some(1), {serial}), SeenBefore);
    }
  }
  again.add(some(1), some(1));
  EXPECT_EQ(number("SELECT count(*) FROM seen_run"), 5);
}

/// They are looked for by 64: whichever of a segment was there before, and whatever is left over.
TEST_F(SeenValuesTest, FindsWhatHasMovedWhereverItStandsInASegment) {
  SeenValues seen{database_};
  const auto moved = some(131'072);
  store::WriteTransaction transaction{database_};
  seen.add(moved, some(moved.size()));
  transaction.commit();
  ASSERT_EQ(number("SELECT count(*) FROM seen_run"), 0);
  for (const std::size_t count : {1, 63, 64, 65, 128, 200}) {
    for (const std::size_t at : {std::size_t{0}, count / 2, count - 1}) {
      auto keys = some(count);
      std::ranges::sort(keys);
      keys.at(at) = moved.at(at * 7);
      EXPECT_THROW(seen.add(keys, some(count)), SeenBefore) << at << " of " << count;
    }
    EXPECT_NO_THROW(seen.add(some(count), some(count))) << count;
  }
}

TEST_F(SeenValuesTest, AKeyIsNoSerial) {
  SeenValues seen{database_};
  const auto one = some(1);
  seen.add(one, some(1));
  seen.add(some(1), one);
}

TEST_F(SeenValuesTest, RefusesTwiceTheSameInOneSegment) {
  SeenValues seen{database_};
  auto keys = some(2);
  keys[1] = keys[0];
  EXPECT_THROW(seen.add(keys, some(2)), SeenBefore);
  EXPECT_THROW(seen.add(some(2), keys), SeenBefore);
}

TEST_F(SeenValuesTest, RefusesUnequalNumbersAndNone) {
  SeenValues seen{database_};
  EXPECT_THROW(seen.add(some(2), some(1)), Error);
  EXPECT_THROW(seen.add({}, {}), Error);
}

TEST_F(SeenValuesTest, RunsAreNotEdited) {
  SeenValues seen{database_};
  seen.add(some(1), some(1));
  EXPECT_THROW(database_.exec("UPDATE seen_run SET serials = public_keys"), SQLite::Exception);
  EXPECT_THROW(database_.exec("INSERT INTO seen_run (public_keys, serials) VALUES (zeroblob(16), zeroblob(32))"),
               SQLite::Exception);
  EXPECT_THROW(database_.exec("INSERT INTO seen_run (public_keys, serials) VALUES (zeroblob(8), zeroblob(8))"),
               SQLite::Exception);
}

}  // namespace
}  // namespace keyferry::appliance
