// What can become of a batch and of a record: two tables (style.md section 7). What is not in them
// is refused. Names are those of the ledger's columns.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace keyferry::appliance {

/// Where a record ended (I3). Issued = outstanding. A mark "on the CRL" may stand beside any state.
enum class RecordState : std::uint8_t {
  Issued,
  Injected,
  Quarantined,
  Returned,
  NeverLeft,
  Revoked
};
enum class RecordEvent : std::uint8_t {
  ReceiptInjected,
  ReceiptQuarantined,
  ReceiptReturned,
  RevokedByQuorum
};

struct RecordRule {
  RecordState from;
  RecordEvent event;
  RecordState to;
};

inline constexpr std::array kRecordRules{
    RecordRule{RecordState::Issued, RecordEvent::ReceiptInjected, RecordState::Injected},
    RecordRule{RecordState::Issued, RecordEvent::ReceiptQuarantined, RecordState::Quarantined},
    RecordRule{RecordState::Issued, RecordEvent::ReceiptReturned, RecordState::Returned},
    RecordRule{RecordState::Issued, RecordEvent::RevokedByQuorum, RecordState::Revoked},
};

enum class BatchState : std::uint8_t {
  Planned,
  Approved,
  Generating,
  Waiting,     // every key is made; its outside CA's certificates are not all in, or not approved
  Certifying,  // they are approved: segments are being sealed with them
  Sealed,
  Out,
  Reconciling,
  Closed
};
enum class BatchEvent : std::uint8_t {
  Approval,
  Started,
  AllRequested,  // under an outside CA
  Certified,     // by quorum
  AllSealed,
  Exported,
  ReceiptsCame,
  NothingOutstanding,
  HsmLost,        // by quorum: only the lost HSM could have finished or exported it
  ClosedByQuorum  // what is outstanding is revoked
};

struct BatchRule {
  BatchState from;
  BatchEvent event;
  BatchState to;
};

inline constexpr std::array kBatchRules{
    BatchRule{BatchState::Planned, BatchEvent::Approval, BatchState::Approved},
    BatchRule{BatchState::Approved, BatchEvent::Started, BatchState::Generating},
    BatchRule{BatchState::Generating, BatchEvent::AllSealed, BatchState::Sealed},
    BatchRule{BatchState::Generating, BatchEvent::AllRequested, BatchState::Waiting},
    BatchRule{BatchState::Waiting, BatchEvent::Certified, BatchState::Certifying},
    BatchRule{BatchState::Certifying, BatchEvent::Certified, BatchState::Certifying},  // others, before any was used
    BatchRule{BatchState::Certifying, BatchEvent::AllSealed, BatchState::Sealed},
    BatchRule{BatchState::Sealed, BatchEvent::Exported, BatchState::Out},
    BatchRule{BatchState::Out, BatchEvent::Exported, BatchState::Out},
    BatchRule{BatchState::Reconciling, BatchEvent::Exported, BatchState::Reconciling},
    BatchRule{BatchState::Out, BatchEvent::ReceiptsCame, BatchState::Reconciling},
    BatchRule{BatchState::Reconciling, BatchEvent::ReceiptsCame, BatchState::Reconciling},
    BatchRule{BatchState::Reconciling, BatchEvent::NothingOutstanding, BatchState::Closed},
    BatchRule{BatchState::Generating, BatchEvent::HsmLost, BatchState::Closed},
    BatchRule{BatchState::Waiting, BatchEvent::HsmLost, BatchState::Closed},
    BatchRule{BatchState::Certifying, BatchEvent::HsmLost, BatchState::Closed},
    BatchRule{BatchState::Sealed, BatchEvent::HsmLost, BatchState::Closed},
    BatchRule{BatchState::Generating, BatchEvent::ClosedByQuorum, BatchState::Closed},
    BatchRule{BatchState::Waiting, BatchEvent::ClosedByQuorum, BatchState::Closed},
    BatchRule{BatchState::Certifying, BatchEvent::ClosedByQuorum, BatchState::Closed},
    BatchRule{BatchState::Sealed, BatchEvent::ClosedByQuorum, BatchState::Closed},
    BatchRule{BatchState::Out, BatchEvent::ClosedByQuorum, BatchState::Closed},
    BatchRule{BatchState::Reconciling, BatchEvent::ClosedByQuorum, BatchState::Closed},
};

[[nodiscard]] constexpr std::optional<RecordState> next(RecordState from, RecordEvent event) {
  for (const RecordRule& rule : kRecordRules) {
    if (rule.from == from && rule.event == event) return rule.to;
  }
  return std::nullopt;
}

[[nodiscard]] constexpr std::optional<BatchState> next(BatchState from, BatchEvent event) {
  for (const BatchRule& rule : kBatchRules) {
    if (rule.from == from && rule.event == event) return rule.to;
  }
  return std::nullopt;
}

static_assert(!next(RecordState::Injected, RecordEvent::ReceiptQuarantined),
              "the first accepted receipt is final");
static_assert(!next(RecordState::Quarantined, RecordEvent::ReceiptInjected),
              "no second try on the line");
static_assert(!next(BatchState::Closed, BatchEvent::Exported),
              "a closed batch does not leave again");
static_assert(!next(BatchState::Generating, BatchEvent::Exported), "nothing half made leaves");
static_assert(!next(BatchState::Waiting, BatchEvent::AllSealed),
              "what waits for an outside CA is sealed after officers approved its certificates");

/// "issued", "injected", "quarantined", "returned", "never_left", "revoked".
[[nodiscard]] std::string_view state_name(RecordState state);
[[nodiscard]] std::optional<RecordState> record_state_from_name(std::string_view name);

/// "planned", "approved", "generating", "waiting", "certifying", "sealed", "out", "reconciling",
/// "closed".
[[nodiscard]] std::string_view state_name(BatchState state);
[[nodiscard]] std::optional<BatchState> batch_state_from_name(std::string_view name);

/// True from `generating` on: the batch's list counts as issued (I3).
[[nodiscard]] constexpr bool has_started(BatchState state) {
  return state != BatchState::Planned && state != BatchState::Approved;
}

}  // namespace keyferry::appliance
