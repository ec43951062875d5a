// What sits in a fixture and should not: real helper processes, real SoftHSM stores.
#include <gtest/gtest.h>

#include "tests/station-agent/bench.h"

namespace keyferry::station::test {
namespace {

namespace fs = std::filesystem;

class StationFixture : public testing::Test {
 protected:
  void prepare(int count) {
    place_.enrol();
    place_.add_ses(count);
  }

  void load() {
    batch_ = place_.appliance.make_batch(place_.ses, 8);
    place_.appliance.write_token(place_.token(), batch_);
    ASSERT_EQ(place_.load().status, 0);
    place_.write_lanes(place_.ses);
  }

  void expect_one(const Ran& run, const std::string& result, const std::string& reason) {
    EXPECT_EQ(run.status, result == "injected" ? 0 : 1) << run.errors;
    ASSERT_EQ(run.json["devices"].size(), 1U);
    EXPECT_EQ(run.json["devices"][0]["result"], result) << run.errors;
    EXPECT_EQ(run.json["devices"][0]["reason"], reason) << run.errors;
  }

  [[nodiscard]] nlohmann::json batch() { return place_.station("status").json["batches"][0]; }

  WorkPlace place_;
  SoftBatch batch_;
};

TEST_F(StationFixture, SaysWhereAnSeBelongsThatSitsInTheWrongPlace) {
  prepare(2);
  load();
  SeStore exchanged = place_.ses[0];
  exchanged.folder = place_.ses[1].folder;
  place_.write_lanes({exchanged});
  const Ran run = place_.run();
  expect_one(run, "refused", "wrong-se");
  EXPECT_NE(run.errors.find("it belongs to record 1 of batch " + batch_.manifest.batch_id.hex()),
            std::string::npos)
      << run.errors;
  EXPECT_EQ(batch()["loaded"], 2);
}

TEST_F(StationFixture, AMissingSeLeavesItsRecordAlone) {
  prepare(1);
  load();
  fs::rename(place_.ses[0].folder / "tokens", place_.ses[0].folder / "away");
  fs::create_directory(place_.ses[0].folder / "tokens");
  expect_one(place_.run(), "refused", "se-missing");
  EXPECT_EQ(batch()["loaded"], 1);
  fs::remove(place_.ses[0].folder / "tokens");
  fs::rename(place_.ses[0].folder / "away", place_.ses[0].folder / "tokens");
  expect_one(place_.run(), "injected", "");
}

TEST_F(StationFixture, AWrongPinIsTriedOnceAndChangesNothing) {
  prepare(1);
  load();
  fs::permissions(place_.ses[0].folder / "pin", fs::perms::owner_all);
  std::ofstream{place_.ses[0].folder / "pin"} << "0000000\n";
  expect_one(place_.run(), "refused", "se-pin-refused");
  EXPECT_EQ(batch()["loaded"], 1);
}

TEST_F(StationFixture, AnSeWithoutTransportKeyIsSetAside) {
  prepare(0);
  place_.ses.push_back(make_se(place_.folder() / "bare", Prepared::No));
  load();
  expect_one(place_.run(), "refused", "se-not-prepared");
  EXPECT_EQ(batch()["loaded"], 1);
}

TEST_F(StationFixture, AnSeThatHoldsAnotherKeyIsQuarantined) {
  prepare(1);
  load();
  put_foreign_key(place_.ses[0]);
  expect_one(place_.run(), "quarantined", "se-not-empty");
  expect_one(place_.run(), "quarantined", "se-not-empty");
  EXPECT_EQ(private_keys_on(place_.ses[0]), 1);
}

TEST_F(StationFixture, ARefusedBlobIsQuarantinedAndItsReceiptGoesHome) {
  prepare(1);
  const SeStore honest = place_.ses[0];
  place_.ses[0].transport_key[0] ^= 1;  // the appliance wraps for another chip
  load();
  expect_one(place_.run(), "quarantined", "blob-refused");
  EXPECT_EQ(private_keys_on(honest), 0);
  ASSERT_EQ(place_.unload().status, 0);
  EXPECT_EQ(place_.appliance.sums(place_.appliance.open_receipts(place_.token())),
            (Sums{0, 1, 0, 0}));
}

TEST_F(StationFixture, AHelperThatDiesLeavesADoubtThatTheNextRunSettles) {
  prepare(1);
  load();
  expect_one(place_.run("KEYFERRY_CUT=lane.after-unwrap"), "lost", "se-lost");
  EXPECT_EQ(batch()["doubtful"], 1);
  const std::string id = batch_.manifest.batch_id.hex();
  EXPECT_EQ(place_.station("return " + id + " --confirm " + id).status, 1) << "it may hold a key";
  expect_one(place_.run(), "injected", "");
  EXPECT_EQ(private_keys_on(place_.ses[0]), 1);
}

TEST_F(StationFixture, ADoubtThatIsGivenUpIsQuarantined) {
  prepare(1);
  load();
  expect_one(place_.run("KEYFERRY_CUT=lane.after-unwrap"), "lost", "se-lost");
  const std::string id = batch_.manifest.batch_id.hex();
  const Ran done = place_.station("return " + id + " --confirm " + id + " --quarantine-doubtful");
  EXPECT_EQ(done.status, 0) << done.errors;
  EXPECT_EQ(done.json["quarantined"], 1);
  expect_one(place_.run(), "quarantined", "not-proved");
}

TEST_F(StationFixture, AnUnloadInDoubtVoidsTheCoreFirst) {
  prepare(1);
  load();
  EXPECT_EQ(place_.run("KEYFERRY_CUT=station.core-after").status, 137);
  ASSERT_EQ(place_.unload().status, 0);
  EXPECT_EQ(place_.appliance.sums(place_.appliance.open_receipts(place_.token())),
            (Sums{0, 0, 0, 1}));
  expect_one(place_.run(), "injected", "");
  ASSERT_EQ(place_.unload().status, 0);
  EXPECT_EQ(place_.appliance.sums(place_.appliance.open_receipts(place_.token())),
            (Sums{1, 0, 0, 1}));
}

}  // namespace
}  // namespace keyferry::station::test
