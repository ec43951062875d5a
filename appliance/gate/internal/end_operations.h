// What plans that hold, end or revoke something do to kf-state, registry and log. Pure, as operations.h.
#pragma once

#include <optional>
#include <vector>

#include "appliance/gate/internal/gate_state.h"
#include "appliance/plan/plan.h"
#include "wrap/base/error.h"

namespace keyferry::appliance {

/// One entry of a CRL in a request: serial (16), u64be revocation time in ms, reason code.
inline constexpr std::size_t kCrlEntryBytes = 25;
/// A CRL of so many entries just fits into one message of 16 MiB.
inline constexpr std::uint64_t kMaxCrlEntries = 300'000;

/// batch-close, token-lost, quarantine-release, crl-issue, station-retire, ca-retire, hsm-destroy-key; nothing for
/// the others. Reasons: batch-unknown, batch-closed, token-unknown, crl-number, crl-entries, station-unknown,
/// station-retired, authority-unknown, authority-retired, authority-in-use, key-unknown, key-in-use.
[[nodiscard]] std::optional<Refusal> check_end_operation(const Plan& plan, const GateState& state);

/// device-revoke, device-scrap, device-rework, device-rma. The records are the ledger's; the gate knows batches and
/// persons. Reasons: batch-unknown, person-unknown, person-disabled.
[[nodiscard]] std::optional<Refusal> check_device_operation(const Plan& plan, const GateState& state);
void add_device_leaves(const Plan& plan, std::vector<v1::LogLeaf>& leaves);

/// "batch-unknown"; an HSM that took over does not know every batch of the ledger.
[[nodiscard]] std::optional<Refusal> check_batch_known(const BatchId& batch, const GateState& state);

/// Does the plan change the registry? Then `after` is changed.
bool end_in_registry(const Plan& plan, v1::Registry& after);

/// A CRL is the last one's with more entries behind it: the frontier of all, held against the plan's root and against
/// the part that kf-state remembers. Refusal "crl-entries", "crl-too-many".
[[nodiscard]] std::variant<audit::Frontier, Refusal> check_crl_entries(const CrlIssuePlan& plan,
                                                                       const GateState& state, ByteView entries);

/// kf-state afterwards. `crl`: crl-issue's, checked.
void apply_end_operation(GateState& next, const Plan& plan, const std::optional<audit::Frontier>& crl);

/// The operation's typed leaves. `state`: before it. crl-issue and hsm-destroy-key have theirs where they are done.
void add_end_leaves(const Plan& plan, const GateState& state, std::vector<v1::LogLeaf>& leaves);

}  // namespace keyferry::appliance
