// What an approved plan does to the registry. Pure: the gate makes keys and signs, this decides.
#pragma once

#include <optional>

#include "appliance/gate/internal/gate_state.h"
#include "appliance/plan/plan.h"
#include "token/enrolment.h"
#include "wrap/base/error.h"

namespace keyferry::v1 {
class KeyMade;
}

namespace keyferry::appliance {

/// May this plan be run on this state? `request`: station-enroll's. Reasons: name-taken, station-request, station-other,
/// kdf-unsupported, batch-station, batch-site, batch-authority, batch-segments, batch-mode, batch-environment,
/// family-unsupported, family-off, family-enabled, master-family, source-unknown, preparer-unknown, vendor-key-other, batch-unknown, source-unsupported, check-value-seen, operation-elsewhere,
/// batch-suspended, batch-not-suspended, and those of internal/people.h.
[[nodiscard]] std::optional<Refusal> check_operation(const Plan& plan,
                                                     const GateState& state,
                                                     const std::optional<token::EnrolmentRequest>& request,
                                                     const std::optional<Digest>& request_sha256);

/// Reason batch-suspended: nothing is made for the batch, and nothing of it goes out.
[[nodiscard]] std::optional<Refusal> check_not_suspended(const v1::OpenPlan& open, const BatchId& batch);

/// The registry afterwards, epoch counted up; nothing when the operation leaves it as it is. `made`: the key worker's
/// answer, of operations that make or import a key.
[[nodiscard]] std::optional<v1::Registry> registry_after(const Plan& plan,
                                                         const GateState& state,
                                                         const std::optional<token::EnrolmentRequest>& request,
                                                         const v1::KeyMade& made);

}  // namespace keyferry::appliance
