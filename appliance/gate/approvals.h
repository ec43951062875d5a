// The quorum check: is this plan approved by enough officers, for this appliance, environment, number and epoch, and not
// too late? Only the gate asks this question (I6).
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "appliance/gate/internal/gate_state.h"
#include "appliance/plan/plan.h"
#include "token/signed_bytes.h"

namespace keyferry::appliance {

struct ApprovalContext {
  const GateState& state;
  crypto::PublicKey log_key;
  UtcMillis now;
};

/// Key ids of the officers that count, each person once. Reasons: plan-appliance, plan-environment, plan-number,
/// plan-expired, policy-state, policy-environment, policy-operation, approval-malformed, approval-signature,
/// approval-mismatch (names the field), approval-expired, approval-epoch, approval-checkpoint, approval-officer, quorum.
[[nodiscard]] std::variant<std::vector<KeyId>, Refusal> check_approvals(const Plan& plan,
                                                                        const std::vector<token::SignedBytes>& approvals,
                                                                        const ApprovalContext& context);

}  // namespace keyferry::appliance
