// One way for every operation that officers approve: a plan of its kind is made, parsed back and
// shown in sentences. Where the policy needs one officer and a key is at hand, it is approved and
// run in one go; otherwise (or with --plan-out) it is written to a file that officers approve, and
// `plan run FILE` carries it out. Here for all of them, once.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "appliance/ledger/ledger.h"
#include "appliance/plan/plan.h"
#include "token/signed_bytes.h"

namespace keyferry::v1 {
class GateReply;
class SignedBytes;
}

namespace keyferry::appliance {

class Context;

/// How long the approval of a plan that is run at once is good for, and that of one in a file.
inline constexpr std::int64_t kOperationExpiryMs = 3'600'000;
inline constexpr std::int64_t kPlanFileExpiryMs = 7 * 86'400'000LL;

/// What a run needs beside its plan and the plan names by a hash: kept in the home from the time
/// the plan is made until it is run. Either `from` (copied) or `octets`.
struct KeptInput {
  std::string name;  // a file name: a-z 0-9 - . only
  std::filesystem::path from = {};
  Bytes octets = {};
};

struct OperationInput {
  std::optional<token::SignedBytes> enrolment_request;  // station-enroll
  std::optional<Action> action;                         // applied when, and only when, it happened
  std::vector<KeptInput> keep = {};                     // where the plan is written to a file
  Bytes crl_entries = {};                                 // crl-issue
  Bytes outside_crl = {};                                 // crl-import: DER
};

/// Thrown where a command could only write the plan: it has told so, main() ends with `status`
/// (0 with --plan-out, else that of Code::Quorum). Nobody else catches it.
struct PlanWritten {
  int status = 0;
};

/// Would `operation` be run at once here, or go through a plan file? For who has something to clean
/// up in between; everyone else lets run_operation decide.
enum class Way { AtOnce, ByPlanFile };
[[nodiscard]] Way way_of(Context& context, Operation operation);

/// A plan of this appliance with the next free number; `detail` decides the operation.
[[nodiscard]] Plan draft_plan(Context& context,
                              Operation operation,
                              UtcMillis expires,
                              std::uint64_t number);

/// plan_text, then parse_plan: what is signed is what is parsed. Error{Refused} with the parser's
/// reason.
[[nodiscard]] Plan sealed_plan(const Plan& draft);

/// Writes `plan` (--plan-out, else HOME/plans/NNNN-OPERATION.toml) and what is kept beside it, tells
/// what comes next, and throws PlanWritten.
[[noreturn]] void write_plan_file(Context& context, const Plan& plan, const std::vector<KeptInput>& keep);

/// Where a kept input of this plan is: HOME/plans/DIGEST.d/NAME. Error{NotFound} when it is not there.
[[nodiscard]] std::filesystem::path kept_input(Context& context, const Plan& plan, const std::string& name);

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

/// Makes, shows, approves and keeps the plan; nothing is run. Sentences go to stderr. PlanWritten
/// where it cannot be approved at once.
[[nodiscard]] ApprovedPlan approve_operation(Context& context,
                                             Operation operation,
                                             decltype(Plan::detail) detail,
                                             const std::vector<KeptInput>& keep = {});

/// `encoded` into a message. Error{Storage} when it is no token::SignedBytes.
void set_signed(v1::SignedBytes& message, ByteView encoded);

/// The whole way, from a draft's detail to the gate's reply. Sentences go to stderr. PlanWritten
/// where it cannot be approved at once: callers need not do anything about that, but the kind of
/// plan needs its place in plan_runners.cpp.
v1::GateReply run_operation(Context& context,
                            Operation operation,
                            decltype(Plan::detail) detail,
                            const OperationInput& input = {});

}  // namespace keyferry::appliance
