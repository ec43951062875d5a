// What the batch half of the front end gives to the plan half; written in batch_run.cpp and
// receipts_import.cpp.
#pragma once

#include <vector>

#include "appliance/ledger/ledger.h"
#include "appliance/plan/plan.h"
#include "wrap/base/bytes.h"

namespace keyferry::v1 {
class HsmState;
}

namespace keyferry::appliance {

class Context;
class GateSession;
struct BatchRow;

/// Ledger value: records in a second that the last batch made, as text.
inline constexpr const char* kBatchRate = "batch_rate";

/// Called by Context::gate() after the log was reconciled: prepared segments and manifests whose
/// trailer is in state.open_plans are finished; the others are dropped, rows and bodies. Must not
/// call context.gate().
void finish_prepared(Context& context, GateSession& gate, const v1::HsmState& state);

/// Suspended or not, in the ledger from the time the plan has run; the gate checks by its own state.
[[nodiscard]] Action suspended_action(const BatchId& batch, bool suspended);
[[nodiscard]] bool is_suspended(Ledger& ledger, const BatchId& batch);

/// Officers approved an outside CA's certificates: in the ledger from the time that plan has run.
[[nodiscard]] Action certified_action(const BatchId& batch, UtcMillis now);

/// Tells the gate that all requests of a batch that waits are safe, unless it knows: a run may have been cut before that.
void settle_waiting(Context& context, const BatchRow& batch);

/// Handlers of the pending actions that belong to batches, exports and receipts.
void register_batch_actions(Ledger& ledger);
void register_receipt_actions(Ledger& ledger);

/// Runs (or goes on with) an approved batch. The plan was checked, its batch row exists in state
/// `approved` or later. approvals: encoded token::SignedBytes. segment_roots: of check_plan when it
/// has just let the plan through in this process; empty: the list is read and checked again. Prints
/// the result. Returns the exit status.
int run_batch(Context& context,
              const Plan& plan,
              const std::vector<Bytes>& approvals,
              std::vector<Digest> segment_roots);

}  // namespace keyferry::appliance
