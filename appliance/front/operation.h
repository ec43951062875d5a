// One way for every operation that officers approve: a plan of its kind is made, parsed back, shown
// in sentences, approved with the officer's key and run by the gate, in one go. Here for all of
// them, once.
#pragma once

#include <optional>

#include "appliance/ledger/ledger.h"
#include "appliance/plan/plan.h"
#include "token/signed_bytes.h"

namespace keyferry::v1 {
class GateReply;
class SignedBytes;
}

namespace keyferry::appliance {

class Context;

/// How long the approval of a plan that is run at once is good for.
inline constexpr std::int64_t kOperationExpiryMs = 3'600'000;

struct OperationInput {
  std::optional<token::SignedBytes> enrolment_request;  // station-enroll
  std::optional<Action> action;                         // applied when, and only when, it happened
};

/// A plan of this appliance with the next free number; `detail` decides the operation.
[[nodiscard]] Plan draft_plan(Context& context,
                              Operation operation,
                              UtcMillis expires,
                              std::uint64_t number);

/// plan_text, then parse_plan: what is signed is what is parsed. Error{Refused} with the parser's
/// reason.
[[nodiscard]] Plan sealed_plan(const Plan& draft);

/// Runs an approved plan at the gate. approvals: encoded token::SignedBytes.
v1::GateReply run_at_gate(Context& context,
                          const Plan& plan,
                          const std::vector<Bytes>& approvals,
                          const OperationInput& input = {});

/// A plan with what officers said to it.
struct ApprovedPlan {
  Plan plan;
  std::vector<Bytes> approvals;
};

/// Makes, shows, approves and keeps the plan; nothing is run. Sentences go to stderr.
[[nodiscard]] ApprovedPlan approve_operation(Context& context,
                                             Operation operation,
                                             decltype(Plan::detail) detail);

/// `encoded` into a message. Error{Storage} when it is no token::SignedBytes.
void set_signed(v1::SignedBytes& message, ByteView encoded);

/// The whole way, from a draft's detail to the gate's reply. Sentences go to stderr.
v1::GateReply run_operation(Context& context,
                            Operation operation,
                            decltype(Plan::detail) detail,
                            const OperationInput& input = {});

}  // namespace keyferry::appliance
