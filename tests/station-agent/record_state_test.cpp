#include "station-agent/record_state.h"

#include <gtest/gtest.h>

#include <set>

namespace keyferry::station {
namespace {

TEST(RecordStates, FinalStatesAreLeftByNoEvent) {
  for (const RecordState state : kAllRecordStates) {
    if (!is_final(state)) continue;
    for (const RecordEvent event : kAllRecordEvents)
      EXPECT_FALSE(next(state, event)) << record_state_name(state);
  }
}

TEST(RecordStates, EveryStateCanBeReachedAndEveryOpenStateCanEnd) {
  std::set<RecordState> reached{RecordState::Loaded};
  for (std::size_t round = 0; round < kAllRecordStates.size(); ++round) {
    for (const RecordRule& rule : kRecordRules) {
      if (reached.contains(rule.from)) reached.insert(rule.to);
    }
  }
  EXPECT_EQ(reached.size(), kAllRecordStates.size());
  for (const RecordState state : kAllRecordStates) {
    if (is_final(state)) continue;
    EXPECT_EQ(next(state, RecordEvent::Failed), RecordState::Quarantined);
  }
}

TEST(RecordStates, TheTableNamesEachStepOnce) {
  std::set<std::pair<RecordState, RecordEvent>> seen;
  for (const RecordRule& rule : kRecordRules)
    EXPECT_TRUE(seen.insert({rule.from, rule.event}).second);
}

TEST(RecordStates, OnlyARecordThatNoChipHasSeenIsReturned) {
  for (const RecordState state : kAllRecordStates) {
    EXPECT_EQ(next(state, RecordEvent::GivenBack).has_value(), state == RecordState::Loaded);
  }
}

TEST(RecordStates, InjectedNeedsASignedReceipt) {
  for (const RecordRule& rule : kRecordRules) {
    if (rule.to != RecordState::Injected) continue;
    EXPECT_EQ(rule.event, RecordEvent::ReceiptSigned);
  }
}

TEST(RecordStates, NamesGoBothWays) {
  for (const RecordState state : kAllRecordStates)
    EXPECT_EQ(record_state_from_name(record_state_name(state)), state);
  EXPECT_FALSE(record_state_from_name("lost"));
  for (const RecordEvent event : kAllRecordEvents) EXPECT_FALSE(record_event_name(event).empty());
}

}  // namespace
}  // namespace keyferry::station
