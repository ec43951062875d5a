// Each reason that a station can write into a receipt has plain words: read from the station's own
// sources, so that a new reason without words fails here.
#include "token/reason_words.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>

namespace keyferry::token {
namespace {

namespace fs = std::filesystem;

/// Where reasons of chips, lanes and verdicts are made; not what is refused before a record is
/// touched.
bool speaks_of_chips(const fs::path& file) {
  static const std::set<std::string> others{"load.cpp",
                                            "enrol.cpp",
                                            "revocations.cpp",
                                            "checkpoints.cpp",
                                            "desk.cpp",
                                            "store_batch.cpp",
                                            "lanes_file.cpp",
                                            "settings.cpp",
                                            "main.cpp",
                                            "identity.cpp",
                                            "firmware.cpp",
                                            "declaration.cpp",
                                            "admission.cpp",
                                            "order.cpp",
                                            "wire.cpp",
                                            "messages.cpp"};
  const bool source = file.extension() == ".cpp";
  const bool prepares = file.parent_path().filename() == "prepare";
  return source && !prepares && !others.contains(file.filename().string()) &&
         !file.filename().string().starts_with("commands_");
}

std::set<std::string> reasons_in_sources() {
  const std::regex made{
      R"re((?:quarantine\(|Refusal\{|refused\(|return no\(|reason = |red\(\s*"[a-z]+",)\s*"([a-z]+(?:-[a-z]+)+)")re"};
  std::set<std::string> found;
  const fs::path root{KEYFERRY_SOURCE_DIR};
  for (const fs::path& top : {root / "station-agent", root / "wrap" / "evidence"}) {
    for (const auto& entry : fs::recursive_directory_iterator{top}) {
      if (!entry.is_regular_file() || !speaks_of_chips(entry.path())) continue;
      std::ifstream in{entry.path()};
      const std::string text{std::istreambuf_iterator<char>{in}, std::istreambuf_iterator<char>{}};
      for (auto at = std::sregex_iterator{text.begin(), text.end(), made};
           at != std::sregex_iterator{};
           ++at) {
        found.insert((*at)[1]);
      }
    }
  }
  return found;
}

TEST(ReasonWords, EachReasonOfTheStationHasWords) {
  const auto reasons = reasons_in_sources();
  EXPECT_GE(reasons.size(), 30U) << "the pattern above finds them no more";
  for (const char* reason : {"blob-refused", "challenge-failed", "chain-invalid", "not-proved"}) {
    EXPECT_TRUE(reasons.contains(reason)) << reason;
  }
  for (const std::string& reason : reasons) {
    EXPECT_TRUE(std::ranges::any_of(reason_table(),
                                    [&](const ReasonWords& row) { return row.reason == reason; }))
        << reason << " has no words in token/reason_words.cpp";
  }
}

TEST(ReasonWords, AreSentencesThatFitOnASticker) {
  for (const ReasonWords& row : reason_table()) {
    EXPECT_LE(row.words.size(), 100U) << row.reason;
    EXPECT_TRUE(row.words.ends_with('.')) << row.reason;
    EXPECT_TRUE(std::ranges::all_of(row.words, [](char c) { return c >= ' ' && c <= '~'; }))
        << row.reason;
    EXPECT_EQ(reason_words(row.reason), row.words);
  }
}

TEST(ReasonWords, SayThatAReasonIsNotKnown) {
  EXPECT_NE(reason_words("made-up").find("does not know"), std::string::npos);
}

}  // namespace
}  // namespace keyferry::token
