// kill -9 of the station at each cut point that a run on ATECC608 chips passes, on two lanes at the
// same time, then the same command again: the work is finished, no chip has another key than its
// record's, the sums agree.
#include <gtest/gtest.h>

#include "tests/station-agent/atecc608/chip_place.h"

namespace keyferry::station::test {
namespace {

/// Of sandwich.cpp, store_record.cpp and the session, as long as a run passes them.
constexpr const char* kPoints[] = {
    "station.cut-off-before",   "station.cut-off-after",      "station.found-before",
    "station.found-after",      "station.intent-before",      "station.intent-after",
    "station.inject-before",    "station.inject-after",       "station.chain-after",
    "station.locked",           "station.verified",           "station.core-before",
    "station.core-after",       "station.receipt-signed",     "station.receipt-attested",
    "station.signature-before", "station.signature-after",    "station.quarantine-before",
    "station.quarantine-after", "atecc608.priv-write-before",
};

class Atecc608Crash : public testing::TestWithParam<const char*> {
 protected:
  ChipPlace place_;
};

TEST_P(Atecc608Crash, TheSameRunFinishesTheWork) {
  place_.enrol();
  place_.add_chips(4);
  place_.chips[2]->power("counterfeit\n");
  const SoftBatch batch = place_.load_batch();
  place_.write_chip_lanes(2);
  ASSERT_EQ(place_.run("KEYFERRY_CUT=station.core-after").status, 137)
      << "so that recovery's points are passed too";
  const auto trace = place_.folder() / "trace";
  Ran run = place_.run("KEYFERRY_CUT=" + std::string{GetParam()} +
                       " KEYFERRY_CUT_TRACE=" + trace.string());
  EXPECT_NE(("\n" + text_of(trace)).find("\n" + std::string{GetParam()} + " "), std::string::npos)
      << "this cut point was never passed";
  EXPECT_EQ(run.status, 137);
  run = place_.run();
  EXPECT_EQ(run.status, 1) << "the counterfeit is red";
  EXPECT_EQ(run.json["lost"], 0) << run.errors;
  EXPECT_EQ(run.json["injected"].get<int>() + run.json["already-injected"].get<int>(), 3)
      << run.errors;
  for (std::size_t i : {0U, 1U, 3U}) {
    EXPECT_EQ(place_.chips[i]->held_key(), batch.segments[0][i].public_key);
    EXPECT_TRUE(place_.chips[i]->target_locked());
  }
  const Sums sums = place_.bring_home();
  EXPECT_EQ(sums.injected, 3U);
  EXPECT_EQ(sums.quarantined, 1U);
  EXPECT_EQ(sums.attested, 3U);
}

INSTANTIATE_TEST_SUITE_P(EveryCutPoint,
                         Atecc608Crash,
                         testing::ValuesIn(kPoints),
                         [](const auto& point) {
                           std::string name = point.param;
                           for (char& c : name) {
                             if (c == '.' || c == '-') c = '_';
                           }
                           return name;
                         });

}  // namespace
}  // namespace keyferry::station::test
