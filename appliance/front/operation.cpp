#include "appliance/front/operation.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "appliance/front/context.h"
#include "appliance/front/ends.h"
#include "appliance/front/officer.h"
#include "appliance/ledger/plan_store.h"
#include "keyferry/v1/gate.pb.h"
#include "keyferry/v1/governance.pb.h"
#include "wrap/base/cut.h"
#include "wrap/base/durable_file.h"
#include "wrap/base/error.h"
#include "wrap/base/words.h"

namespace keyferry::appliance {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kCopyBytes = 1 << 20;

fs::path kept_folder(Context& context, const Plan& plan) {
  return context.paths().plans() / (plan.digest.hex() + ".d");
}

/// A copy that is durable: nobody can change it through the name that it came from.
void copy_durably(const fs::path& from, const fs::path& to) {
  const Fd source = open_regular_file(from, Code::NotFound);
  const std::uint64_t size = file_size_bytes(source);
  fs::remove(to);
  DurableWriter target{to};
  Bytes piece;
  for (std::uint64_t at = 0; at < size; at += piece.size()) {
    piece.resize(static_cast<std::size_t>(std::min<std::uint64_t>(kCopyBytes, size - at)));
    if (!read_exactly_at(source, at, piece)) {
      throw Error{Code::Storage, from.string() + " became shorter while it was read"};
    }
    target.write(piece);
  }
  target.commit();
}

/// What a cut run wrote to --plan-out already: the same plan but for number and end. Error{Refused}
/// when another file has that name.
std::optional<Plan> written_before(const Plan& plan, const fs::path& file) {
  const auto octets = read_file_if_exists(file, kMaxPlanBytes);
  if (!octets) return std::nullopt;
  auto parsed = parse_plan(*octets);
  if (auto* there = std::get_if<Plan>(&parsed)) {
    Plan same = plan;
    same.number = there->number;
    same.expires = there->expires;
    if (plan_text(same) == to_string(*octets)) return std::move(*there);
  }
  throw Error{
      Code::Refused, file.string() + " is there already and is another plan", "name another file: --plan-out FILE"};
}

}  // namespace

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
  const OperationInput full = with_end_input(context, plan, input);
  run.set_crl_entries(to_string(full.crl_entries));
  run.set_outside_crl(to_string(full.outside_crl));
  v1::GateReply reply = context.gate().call(std::move(request), plan_run_action(plan.digest, full.action));
  finish_ends(context, context.gate());
  return reply;
}

Way way_of(Context& context, Operation operation) {
  const CommonOptions& options = context.options();
  if (options.plan_out) return Way::ByPlanFile;
  if (context.ledger().registry().officers_needed(operation).value_or(1) > 1) return Way::ByPlanFile;
  const bool key_at_hand = options.officer_key || !context.settings().officer_key.empty();
  return key_at_hand ? Way::AtOnce : Way::ByPlanFile;
}

fs::path kept_input(Context& context, const Plan& plan, const std::string& name) {
  fs::path path = kept_folder(context, plan) / name;
  if (fs::exists(path)) return path;
  throw Error{Code::NotFound,
              fmt::format("{} that plan {} was made for is not kept here any more", name, plan.number),
              "make the plan again, and have it approved"};
}

void write_plan_file(Context& context, const Plan& made, const std::vector<KeptInput>& keep) {
  const auto& chosen = context.options().plan_out;
  const auto before = chosen ? written_before(made, fs::absolute(*chosen)) : std::nullopt;
  const Plan& plan = before ? *before : made;
  const fs::path file = chosen ? fs::absolute(*chosen)
                               : context.paths().plans() / fmt::format("{:04}-{}.toml", plan.number,
                                                                       operation_name(plan.operation));
  make_private_directory(context.paths().plans());
  if (!keep.empty()) make_private_directory(kept_folder(context, plan));
  for (const KeptInput& input : keep) {
    const fs::path kept = kept_folder(context, plan) / input.name;
    if (input.from.empty()) {
      write_file_durably(kept, input.octets, Overwrite::Replace);
    } else {
      copy_durably(input.from, kept);
    }
    KF_CUT("front.plan-file.input-kept");
  }
  if (!before) write_file_durably(file, plan.octets, chosen ? Overwrite::Refuse : Overwrite::Replace);
  KF_CUT("front.plan-file.written");
  PlanStore{context.ledger()}.keep(plan, std::nullopt, context.clock().now());

  const std::string words = to_words(plan.digest.bytes());
  const auto needed = context.ledger().registry().officers_needed(plan.operation);
  Json json{{"file", file.string()},
            {"operation", operation_name(plan.operation)},
            {"number", plan.number},
            {"digest", plan.digest.hex()},
            {"words", words},
            {"officers_needed", needed.value_or(0)},
            {"sentences", Json::array()}};
  std::vector<std::string> lines;
  for (const std::string& sentence : plan_sentences(plan)) {
    json["sentences"].push_back(sentence);
    lines.push_back(sentence);
  }
  lines.push_back("digest  " + plan.digest.hex());
  lines.push_back("words   " + words);
  lines.push_back("plan    " + file.string());
  lines.push_back(fmt::format("nothing is done yet: it needs {} officer{}",
                              needed.value_or(1),
                              needed.value_or(1) == 1 ? "" : "s"));
  lines.push_back("each of them: keyferry-appliance plan approve " + file.string());
  lines.push_back("then: keyferry-appliance plan run " + file.string());
  context.out().result("plan-written", json, lines);
  throw PlanWritten{chosen ? 0 : exit_status(Code::Quorum)};
}

ApprovedPlan approve_operation(Context& context,
                               Operation operation,
                               decltype(Plan::detail) detail,
                               const std::vector<KeptInput>& keep) {
  const std::uint64_t last = std::max(context.gate().state().last_plan_number(),
                                      PlanStore{context.ledger()}.highest_run_number());
  const UtcMillis now = context.clock().now();
  if (way_of(context, operation) == Way::ByPlanFile) {
    // Behind those that wait already: the gate runs plans in the order of their numbers.
    const std::uint64_t number = std::max(last, PlanStore{context.ledger()}.highest_number()) + 1;
    Plan draft = draft_plan(context, operation, UtcMillis{now.value + kPlanFileExpiryMs}, number);
    draft.detail = std::move(detail);
    write_plan_file(context, sealed_plan(draft), keep);
  }
  Plan draft = draft_plan(context, operation, UtcMillis{now.value + kOperationExpiryMs}, last + 1);
  draft.detail = std::move(detail);
  Plan plan = sealed_plan(draft);
  for (const std::string& sentence : plan_sentences(plan)) context.out().note(sentence);

  const std::unique_ptr<crypto::Signer> officer = officer_key(context);
  Bytes approval = approve_plan(context, plan, *officer);
  PlanStore plans{context.ledger()};
  plans.keep(plan, std::nullopt, now);
  plans.approve(plan.digest, officer->public_key().key_id(), approval, now);
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
  const ApprovedPlan approved =
      approve_operation(context, operation, std::move(detail), input.keep);
  return run_at_gate(context, approved.plan, approved.approvals, input);
}

}  // namespace keyferry::appliance
