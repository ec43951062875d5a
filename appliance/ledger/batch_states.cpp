#include "appliance/ledger/batch_states.h"

namespace keyferry::appliance {
namespace {

struct RecordName {
  RecordState state;
  std::string_view name;
};

constexpr std::array kRecordNames{
    RecordName{RecordState::Issued, "issued"},
    RecordName{RecordState::Injected, "injected"},
    RecordName{RecordState::Quarantined, "quarantined"},
    RecordName{RecordState::Returned, "returned"},
    RecordName{RecordState::NeverLeft, "never_left"},
    RecordName{RecordState::Revoked, "revoked"},
};

struct BatchName {
  BatchState state;
  std::string_view name;
};

constexpr std::array kBatchNames{
    BatchName{BatchState::Planned, "planned"},
    BatchName{BatchState::Approved, "approved"},
    BatchName{BatchState::Generating, "generating"},
    BatchName{BatchState::Waiting, "waiting"},
    BatchName{BatchState::Certifying, "certifying"},
    BatchName{BatchState::Sealed, "sealed"},
    BatchName{BatchState::Out, "out"},
    BatchName{BatchState::Reconciling, "reconciling"},
    BatchName{BatchState::Closed, "closed"},
};

}  // namespace

std::string_view state_name(RecordState state) {
  for (const auto& row : kRecordNames) {
    if (row.state == state) return row.name;
  }
  return "";
}

std::optional<RecordState> record_state_from_name(std::string_view name) {
  for (const auto& row : kRecordNames) {
    if (row.name == name) return row.state;
  }
  return std::nullopt;
}

std::string_view state_name(BatchState state) {
  for (const auto& row : kBatchNames) {
    if (row.state == state) return row.name;
  }
  return "";
}

std::optional<BatchState> batch_state_from_name(std::string_view name) {
  for (const auto& row : kBatchNames) {
    if (row.name == name) return row.state;
  }
  return std::nullopt;
}

}  // namespace keyferry::appliance
