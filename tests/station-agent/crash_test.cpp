// kill -9 at each cut point of the station and its helper, then the same command again: the work is
// finished, no SE has two keys, the sums agree. The points are read out of the sources; one that is
// never reached fails its test.
#include <gtest/gtest.h>

#include <regex>
#include <set>

#include "tests/station-agent/bench.h"

namespace keyferry::station::test {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> cut_points() {
  std::set<std::string> names;
  const std::regex pattern{"KF_CUT\\(\"((station|lane)\\.[a-z0-9-]+)\"\\)"};
  for (const auto& entry :
       fs::recursive_directory_iterator(fs::path{KEYFERRY_SOURCE_DIR} / "station-agent")) {
    if (entry.path().extension() != ".cpp") continue;
    const std::string text = text_of(entry.path());
    for (std::sregex_iterator it{text.begin(), text.end(), pattern}, end; it != end; ++it) {
      const std::string name = (*it)[1].str();
      if (name.starts_with("station.revocations-")) continue;  // walked by tests/e2e/ends_test.py
      EXPECT_TRUE(names.insert(name).second) << name << " is there twice";
    }
  }
  return {names.begin(), names.end()};
}

class StationCrash : public testing::TestWithParam<std::string> {
 protected:
  /// Cut at the point under test, then again without, until the command has its answer.
  Ran insist(const std::function<Ran(const std::string&)>& command) {
    Ran ran = command("KEYFERRY_CUT=" + GetParam() + " KEYFERRY_CUT_TRACE=" + trace().string());
    for (int again = 0;
         again < 3 && (ran.status == 137 || ran.errors.find("se-lost") != std::string::npos);
         ++again) {
      ran = command("");
    }
    return ran;
  }

  [[nodiscard]] fs::path trace() const { return place_.folder() / "trace"; }

  [[nodiscard]] bool reached() const {
    const std::string lines = "\n" + text_of(trace());
    return lines.find("\n" + GetParam() + " ") != std::string::npos;
  }

  WorkPlace place_;
};

TEST_P(StationCrash, TheSameCommandFinishesTheWork) {
  ASSERT_EQ(insist([&](const std::string& env) { return place_.init(env); }).status, 0);
  const std::string token = place_.token().string();
  ASSERT_EQ(insist([&](const std::string& env) {
              return place_.station("enroll --to " + token, env);
            }).status,
            0);
  place_.appliance.answer_enrolment(place_.token());
  const std::string words = place_.appliance.words();
  ASSERT_EQ(insist([&](const std::string& env) {
              return place_.station("enroll --from " + token + " --fingerprint " + words, env);
            }).status,
            0);
  place_.add_ses(4);  // good, good, refuses its blob, stays in the box
  place_.ses[2].transport_key[0] ^= 1;
  const SoftBatch batch = place_.appliance.make_batch(place_.ses, 2);
  place_.appliance.write_token(place_.token(), batch);
  ASSERT_EQ(insist([&](const std::string& env) { return place_.load(env); }).status, 0);

  place_.write_lanes({place_.ses[0], place_.ses[1], place_.ses[2]});
  ASSERT_EQ(place_.run("KEYFERRY_CUT=station.core-after").status, 137)
      << "so that recovery's points are reached too";
  const Ran run = insist([&](const std::string& env) { return place_.run(env); });
  EXPECT_EQ(run.status, 1) << "one is red";
  EXPECT_EQ(run.json["quarantined"], 1) << run.errors;
  EXPECT_EQ(run.json["injected"].get<int>() + run.json["already-injected"].get<int>(), 2)
      << run.errors;
  for (const SeStore& se : place_.ses) EXPECT_EQ(private_keys_on(se), &se < &place_.ses[2] ? 1 : 0);

  const std::string id = batch.manifest.batch_id.hex();
  ASSERT_EQ(insist([&](const std::string& env) {
              return place_.station("return " + id + " --confirm " + id, env);
            }).status,
            0);
  ASSERT_EQ(insist([&](const std::string& env) { return place_.unload(env); }).status, 0);
  const Sums sums = place_.appliance.sums(place_.appliance.open_receipts(place_.token()));
  EXPECT_EQ(sums.injected, 2U);
  EXPECT_EQ(sums.quarantined, 1U);
  EXPECT_EQ(sums.returned, 1U);
  for (const auto& entry : fs::recursive_directory_iterator(place_.home())) {
    EXPECT_NE(entry.path().extension(), ".tmp") << entry.path() << " was left over";
  }
  EXPECT_TRUE(reached()) << "this cut point was never reached";
}

INSTANTIATE_TEST_SUITE_P(EveryCutPoint,
                         StationCrash,
                         testing::ValuesIn(cut_points()),
                         [](const auto& point) {
                           std::string name = point.param;
                           for (char& c : name) {
                             if (c == '.' || c == '-') c = '_';
                           }
                           return name;
                         });

}  // namespace
}  // namespace keyferry::station::test
