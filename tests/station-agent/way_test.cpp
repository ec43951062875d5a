// The station's whole way on real parts: SoftHSM identity, SoftHSM SEs, SQLite, folders as tokens.
#include <gtest/gtest.h>

#include "tests/station-agent/bench.h"

namespace keyferry::station::test {
namespace {

TEST(StationWay, InjectsVerifiesAndBringsReceiptsHome) {
  WorkPlace place;
  place.enrol();
  place.add_ses(3);
  const SoftBatch batch = place.appliance.make_batch(place.ses, 2);
  place.appliance.write_token(place.token(), batch);
  const Ran load = place.load();
  ASSERT_EQ(load.status, 0) << load.errors;
  EXPECT_EQ(load.json["batches"][0]["segments_here"], 2);
  EXPECT_EQ(load.json["batches"][0]["records_new"], 3);

  place.write_lanes(place.ses);
  const Ran run = place.run();
  ASSERT_EQ(run.status, 0) << run.errors;
  EXPECT_EQ(run.json["injected"], 3);
  for (const SeStore& se : place.ses) {
    EXPECT_EQ(private_keys_on(se), 1);
    EXPECT_EQ(certificates_on(se), 2);
  }
  const Ran again = place.run();
  EXPECT_EQ(again.status, 0);
  EXPECT_EQ(again.json["already-injected"], 3);

  const Ran unload = place.unload();
  ASSERT_EQ(unload.status, 0) << unload.errors;
  const OpenedReceipts receipts = place.appliance.open_receipts(place.token());
  EXPECT_EQ(place.appliance.sums(receipts), (Sums{3, 0, 0, 0}));
  const Ran same = place.unload();
  EXPECT_EQ(same.status, 0);
  EXPECT_EQ(same.json["was_there"], true);
}

}  // namespace
}  // namespace keyferry::station::test
