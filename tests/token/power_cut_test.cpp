// Power loss while a token is written: in every state that a cut may leave, a file under its final
// name is whole and right, and the next run finishes the work.
#include <gtest/gtest.h>

#include <utility>

#include "tests/token/model_medium.h"
#include "tests/token/token_fixture.h"
#include "token/transfer.h"

namespace keyferry::token {
namespace {

using test::for_each_cut;
using test::ModelMedium;
using test::pattern;
using test::RecordedOp;
using test::StickOp;
using test::StickState;

const std::string kName = "keyferry/batch/b1/segment.kf";
constexpr std::size_t kTwoPieces = (1U << 20) + 300;

/// The content under the final name; nothing when it is not there.
std::optional<Bytes> content_of(const StickState& state) {
  const auto found = state.names.find(kName);
  if (found == state.names.end()) return std::nullopt;
  return state.files.at(static_cast<std::size_t>(found->second));
}

std::vector<RecordedOp> record(const StickState& start, ByteView content, Overwrite overwrite) {
  ModelMedium medium{start};
  EXPECT_EQ(write_out(medium, kName, content, overwrite), WriteOut::Written);
  return medium.ops();
}

StickState folders() {
  StickState state;
  for (const char* folder : {"keyferry", "keyferry/batch", "keyferry/batch/b1"})
    state.names[folder] = StickState::kFolder;
  return state;
}

StickState with_file(const std::string& name, const Bytes& content) {
  StickState state = folders();
  state.files.push_back(content);
  state.names[name] = 0;
  return state;
}

TEST(PowerCut, OnAnEmptyStickTheNameIsAbsentOrWhole) {
  const Bytes content = pattern(kTwoPieces);
  const std::vector<RecordedOp> ops = record({}, content, Overwrite::Refuse);
  std::size_t absent = 0;
  const std::size_t states = for_each_cut({}, ops, [&](const StickState& state) {
    const auto found = content_of(state);
    if (!found) {
      ++absent;
      return;
    }
    ASSERT_TRUE(*found == content);
  });
  EXPECT_GT(states, 30U);
  EXPECT_GT(absent, 10U);
  EXPECT_LT(absent, states);
}

/// States that a cut after the last of `ops` may leave without the name.
std::size_t absent_after(const std::vector<RecordedOp>& ops) {
  std::size_t absent = 0;
  const auto count = [&](const StickState& state) { absent += content_of(state) ? 0 : 1; };
  for_each_cut({}, ops, count);
  const std::size_t with_last = std::exchange(absent, 0);
  for_each_cut({}, {ops.begin(), ops.end() - 1}, count);
  return with_last - absent;
}

TEST(PowerCut, AfterItReturnedTheFileIsThereInEveryState) {
  EXPECT_EQ(absent_after(record({}, pattern(kTwoPieces), Overwrite::Refuse)), 0U);
}

TEST(PowerCut, TheNextRunFinishesFromEveryState) {
  const Bytes content = pattern(kTwoPieces);
  for_each_cut({}, record({}, content, Overwrite::Refuse), [&](const StickState& state) {
    ModelMedium again{state};
    const WriteOut done = write_out(again, kName, content, Overwrite::Refuse);
    ASSERT_TRUE(content_of(again.state()) == content);
    // A cut rename may leave both names for one file. Then the old one stays: removing it from a
    // vfat whose two names share their clusters would free those of the good one.
    ASSERT_TRUE(done == WriteOut::AlreadyThere || !again.look(kName + ".tmp"));
  });
}

TEST(PowerCut, TheNextRunMayBeCutToo) {
  const Bytes content = pattern(2000);
  std::size_t states = 0;
  for_each_cut({}, record({}, content, Overwrite::Refuse), [&](const StickState& state) {
    ModelMedium again{state};
    write_out(again, kName, content, Overwrite::Refuse);
    states += for_each_cut(state, again.ops(), [&](const StickState& second) {
      const auto found = content_of(second);
      ASSERT_TRUE(!found || *found == content);
    });
  });
  EXPECT_GT(states, 500U);
}

TEST(PowerCut, WhileReplacingTheNameHasTheOldOrTheNewContentOrNone) {
  const Bytes old_content = pattern(700);
  const Bytes new_content = pattern(kTwoPieces);
  const StickState start = with_file(kName, old_content);
  bool old_seen = false;
  bool new_seen = false;
  for_each_cut(start, record(start, new_content, Overwrite::Replace), [&](const StickState& state) {
    const auto found = content_of(state);
    old_seen = old_seen || found == old_content;
    new_seen = new_seen || found == new_content;
    ASSERT_TRUE(!found || *found == old_content || *found == new_content);
  });
  EXPECT_TRUE(old_seen);
  EXPECT_TRUE(new_seen);
}

TEST(PowerCut, ALeftoverOfAnEarlierCutDoesNotGetTheName) {
  const Bytes content = pattern(kTwoPieces);
  const StickState start = with_file(kName + ".tmp", pattern(1U << 20));
  for_each_cut(start, record(start, content, Overwrite::Refuse), [&](const StickState& state) {
    const auto found = content_of(state);
    ASSERT_TRUE(!found || *found == content);
  });
}

// --- the test of the test: what media.md warns of must be seen here
// ----------------------------------------------------

std::size_t wrong_states(std::vector<RecordedOp> ops, StickOp left_out, const Bytes& content) {
  std::erase_if(ops, [&](const RecordedOp& op) { return op.op == left_out; });
  std::size_t wrong = 0;
  for_each_cut({}, ops, [&](const StickState& state) {
    const auto found = content_of(state);
    if (found && *found != content) ++wrong;
  });
  return wrong;
}

TEST(PowerCutModel, ShowsTheWrongContentThatComesOfNoFsyncBeforeTheRename) {
  const Bytes content = pattern(2000);
  const std::vector<RecordedOp> ops = record({}, content, Overwrite::Refuse);
  EXPECT_EQ(wrong_states(ops, StickOp::Remove, content), 0U);
  EXPECT_GT(wrong_states(ops, StickOp::SyncFile, content), 0U);
}

TEST(PowerCutModel, ShowsTheNameThatIsLostWithoutAnFsyncOfTheFolder) {
  std::vector<RecordedOp> ops = record({}, pattern(2000), Overwrite::Refuse);
  ASSERT_EQ(ops.back().op, StickOp::SyncFolder);
  ops.pop_back();
  EXPECT_GT(absent_after(ops), 0U);
}

}  // namespace
}  // namespace keyferry::token
