#include "appliance/ledger/batch_states.h"

#include <gtest/gtest.h>

namespace keyferry::appliance {
namespace {

constexpr std::array kRecordStates{RecordState::Issued,
                                   RecordState::Injected,
                                   RecordState::Quarantined,
                                   RecordState::Returned,
                                   RecordState::NeverLeft,
                                   RecordState::Revoked};
constexpr std::array kRecordEvents{RecordEvent::ReceiptInjected,
                                   RecordEvent::ReceiptQuarantined,
                                   RecordEvent::ReceiptReturned,
                                   RecordEvent::RevokedByQuorum};
constexpr std::array kBatchStates{BatchState::Planned,
                                  BatchState::Approved,
                                  BatchState::Generating,
                                  BatchState::Waiting,
                                  BatchState::Certifying,
                                  BatchState::Sealed,
                                  BatchState::Out,
                                  BatchState::Reconciling,
                                  BatchState::Closed};
constexpr std::array kBatchEvents{BatchEvent::Approval,
                                  BatchEvent::Started,
                                  BatchEvent::AllRequested,
                                  BatchEvent::Certified,
                                  BatchEvent::AllSealed,
                                  BatchEvent::Exported,
                                  BatchEvent::ReceiptsCame,
                                  BatchEvent::NothingOutstanding,
                                  BatchEvent::HsmLost,
                                  BatchEvent::ClosedByQuorum};

TEST(RecordStates, OnlyAnOutstandingRecordCanEnd) {
  for (const RecordState from : kRecordStates) {
    for (const RecordEvent event : kRecordEvents) {
      EXPECT_EQ(next(from, event).has_value(), from == RecordState::Issued) << state_name(from);
    }
  }
}

TEST(RecordStates, AReceiptEndsARecordAsItSays) {
  EXPECT_EQ(next(RecordState::Issued, RecordEvent::ReceiptInjected), RecordState::Injected);
  EXPECT_EQ(next(RecordState::Issued, RecordEvent::ReceiptQuarantined), RecordState::Quarantined);
  EXPECT_EQ(next(RecordState::Issued, RecordEvent::ReceiptReturned), RecordState::Returned);
}

TEST(RecordStates, HaveTheNamesOfTheLedger) {
  for (const RecordState state : kRecordStates)
    EXPECT_EQ(record_state_from_name(state_name(state)), state);
  EXPECT_FALSE(record_state_from_name("lost"));
}

TEST(BatchStates, GoForwardOnly) {
  for (const BatchState from : kBatchStates) {
    for (const BatchEvent event : kBatchEvents) {
      const auto to = next(from, event);
      EXPECT_GE(to.value_or(from), from) << state_name(from);
    }
  }
}

TEST(BatchStates, AreLeftByTheirOneEventEach) {
  EXPECT_EQ(next(BatchState::Planned, BatchEvent::Approval), BatchState::Approved);
  EXPECT_EQ(next(BatchState::Approved, BatchEvent::Started), BatchState::Generating);
  EXPECT_EQ(next(BatchState::Generating, BatchEvent::AllSealed), BatchState::Sealed);
  EXPECT_EQ(next(BatchState::Sealed, BatchEvent::Exported), BatchState::Out);
  EXPECT_EQ(next(BatchState::Out, BatchEvent::ReceiptsCame), BatchState::Reconciling);
  EXPECT_EQ(next(BatchState::Reconciling, BatchEvent::NothingOutstanding), BatchState::Closed);
}

TEST(BatchStates, OfficersCloseWhateverHasStartedAndIsNotClosed) {
  for (const BatchState from : kBatchStates) {
    const bool open = has_started(from) && from != BatchState::Closed;
    EXPECT_EQ(next(from, BatchEvent::ClosedByQuorum), open ? std::optional{BatchState::Closed} : std::nullopt)
        << state_name(from);
  }
}

TEST(BatchStates, NothingReachesAClosedBatch) {
  for (const BatchEvent event : kBatchEvents) EXPECT_FALSE(next(BatchState::Closed, event));
}

TEST(BatchStates, HaveTheNamesOfTheLedger) {
  for (const BatchState state : kBatchStates)
    EXPECT_EQ(batch_state_from_name(state_name(state)), state);
  EXPECT_FALSE(batch_state_from_name("gone"));
}

TEST(BatchStates, CountAsIssuedFromGeneratingOn) {
  EXPECT_FALSE(has_started(BatchState::Approved));
  EXPECT_TRUE(has_started(BatchState::Generating));
  EXPECT_TRUE(has_started(BatchState::Closed));
}

}  // namespace
}  // namespace keyferry::appliance
