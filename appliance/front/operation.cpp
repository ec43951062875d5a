#include "appliance/front/operation.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "appliance/front/context.h"
#include "appliance/front/officer.h"
#include "appliance/ledger/plan_store.h"
#include "keyferry/v1/gate.pb.h"
#include "keyferry/v1/governance.pb.h"
#include "wrap/base/cut.h"
#include "wrap/base/error.h"

namespace keyferry::appliance {

void set_signed(v1::SignedBytes& message, ByteView encoded) {
  if (!message.ParseFromArray(encoded.data(), static_cast<int>(encoded.size()))) {
    throw Error{Code::Storage, "an approval is damaged", "approve the plan again"};
  }
}

Plan draft_plan(Context& context, Operation operation, UtcMillis expires, std::uint64_t number) {
  Plan plan;
  plan.operation = operation;
  plan.number = number;
  plan.environment = context.settings().environment;
  plan.appliance = context.appliance_id();
  plan.expires = expires;
  return plan;
}

Plan sealed_plan(const Plan& draft) {
  auto parsed = parse_plan(as_bytes(plan_text(draft)));
  if (const auto* refusal = std::get_if<Refusal>(&parsed)) throw to_error(*refusal);
  return std::get<Plan>(std::move(parsed));
}

v1::GateReply run_at_gate(Context& context,
                          const Plan& plan,
                          const std::vector<Bytes>& approvals,
                          const OperationInput& input) {
  v1::GateRequest request;
  v1::RunPlanRequest& run = *request.mutable_run_plan();
  run.set_plan(to_string(plan.octets));
  for (const Bytes& approval : approvals) set_signed(*run.add_approvals(), approval);
  if (input.enrolment_request) {
    set_signed(*run.mutable_enrolment_request(), token::encode(*input.enrolment_request));
  }
  return context.gate().call(std::move(request), plan_run_action(plan.digest, input.action));
}

ApprovedPlan approve_operation(Context& context,
                               Operation operation,
                               decltype(Plan::detail) detail) {
  const std::uint64_t last = std::max(context.gate().state().last_plan_number(),
                                      PlanStore{context.ledger()}.highest_run_number());
  const UtcMillis now = context.clock().now();
  Plan draft = draft_plan(context, operation, UtcMillis{now.value + kOperationExpiryMs}, last + 1);
  draft.detail = std::move(detail);
  Plan plan = sealed_plan(draft);
  for (const std::string& sentence : plan_sentences(plan)) context.out().note(sentence);

  crypto::SoftKey officer = officer_key(context);
  Bytes approval = approve_plan(context, plan, officer);
  PlanStore plans{context.ledger()};
  plans.keep(plan, std::nullopt, now);
  plans.approve(plan.digest, officer.public_key().key_id(), approval, now);
  make_private_directory(context.paths().plans());
  write_file_durably(
      context.paths().plans() / (plan.digest.hex() + ".toml"), plan.octets, Overwrite::Replace);
  KF_CUT("front.operation.approved");
  ApprovedPlan approved{std::move(plan), {}};
  approved.approvals.push_back(std::move(approval));
  return approved;
}

v1::GateReply run_operation(Context& context,
                            Operation operation,
                            decltype(Plan::detail) detail,
                            const OperationInput& input) {
  const ApprovedPlan approved = approve_operation(context, operation, std::move(detail));
  return run_at_gate(context, approved.plan, approved.approvals, input);
}

}  // namespace keyferry::appliance
