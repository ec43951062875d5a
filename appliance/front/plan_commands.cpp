#include "appliance/front/plan_commands.h"

#include <fmt/format.h>

#include "appliance/front/batch_hooks.h"
#include "appliance/front/context.h"
#include "appliance/front/officer.h"
#include "appliance/front/operation.h"
#include "appliance/gate/settings.h"
#include "appliance/ledger/batch_store.h"
#include "appliance/ledger/plan_store.h"
#include "keyferry/v1/gate.pb.h"
#include "token/signed_bytes.h"
#include "wrap/base/cut.h"
#include "wrap/base/error.h"
#include "wrap/base/words.h"

namespace keyferry::appliance {
namespace {

namespace fs = std::filesystem;

constexpr int kDone = 0;
constexpr int kNo = 1;

std::string state_text(const std::optional<StoredPlan>& stored) {
  if (!stored) return "unknown here";
  switch (stored->state) {
    case PlanState::Made:
      return "made";
    case PlanState::Approved:
      return "approved";
    case PlanState::Run:
      return "run";
  }
  return "";
}

/// All refusals as one: the first one's reason, every one's text.
Refusal joined(const PlanCheck& check) {
  Refusal all = check.refusals.front();
  all.text = "the plan cannot be run: " + all.text;
  const std::uint64_t others = check.refusals.size() - 1 + check.more_refusals;
  if (others > 0)
    all.text += fmt::format(" (and {} more: keyferry-appliance plan check FILE)", others);
  return all;
}

/// Approvals in the ledger, or the one beside the plan file, which is taken into the ledger.
std::vector<Bytes> find_approvals(Context& context, const Plan& plan, const fs::path& file) {
  PlanStore plans{context.ledger()};
  auto approvals = plans.approvals(plan.digest);
  if (!approvals.empty()) return approvals;
  const auto beside = read_file_if_exists(approval_file(file), token::kMaxSignedBytes);
  if (!beside) {
    throw Error{Code::Quorum,
                "no officer has approved this plan",
                "keyferry-appliance plan approve " + file.string()};
  }
  const auto parsed = token::parse_signed_bytes(*beside);
  if (const auto* refusal = std::get_if<Refusal>(&parsed)) throw to_error(*refusal);
  const auto& signed_bytes = std::get<token::SignedBytes>(parsed);
  plans.approve(
      plan.digest, signed_bytes.signatures.front().key_id, *beside, context.clock().now());
  return {*beside};
}

/// Whether opening the gate changes nothing in the ledger (no pending block, no part that is not sealed) and asks for
/// nothing: the newest checkpoint is the whole log's, and nobody types a PIN where progress is shown meanwhile.
bool gate_opens_by_itself(Context& context) {
  Ledger& ledger = context.ledger();
  const auto newest = ledger.newest_checkpoint();
  const std::uint64_t size = ledger.log_size();
  if (!newest || newest->size != size || ledger.final_log_size() != size || !BatchStore{ledger}.prepared().empty()) {
    return false;
  }
  return context.options().pin_fd || pin_file(read_settings(context.settings().gate_settings));
}

/// The gate logs in and starts its workers while the list is hashed.
std::optional<PlanCheck> check_while_gate_opens(Context& context, const Plan& plan, const fs::path& file) {
  const auto stored = PlanStore{context.ledger()}.find(plan.digest);
  if ((stored && stored->state == PlanState::Run) || !gate_opens_by_itself(context)) return std::nullopt;
  context.gate_unopened().begin_open();
  return check_plan(context, plan, fs::absolute(file).parent_path());
}

}  // namespace

Plan read_plan(const fs::path& file) {
  if (!fs::exists(file)) throw Error{Code::NotFound, "no plan file " + file.string()};
  if (fs::is_regular_file(file) && fs::file_size(file) > kMaxPlanBytes) {
    throw to_error(Refusal{"plan-size", file.string() + ": the plan is larger than 64 KiB"});
  }
  auto parsed = parse_plan(read_file(file, kMaxPlanBytes));
  if (auto* refusal = std::get_if<Refusal>(&parsed)) {
    refusal->text = file.string() + ": " + refusal->text;
    throw to_error(*refusal);
  }
  return std::get<Plan>(std::move(parsed));
}

fs::path approval_file(const fs::path& plan_file) {
  return plan_file.string() + ".approval";
}

void print_plan(Context& context,
                const Plan& plan,
                const std::optional<PlanCheck>& check,
                const fs::path& file) {
  const bool batch = plan.operation == Operation::Batch;
  const std::string words = to_words(plan.digest.bytes());
  const std::string state = state_text(PlanStore{context.ledger()}.find(plan.digest));
  Json json{{"file", file.string()},
            {"operation", operation_name(plan.operation)},
            {"number", plan.number},
            {"digest", plan.digest.hex()},
            {"words", words},
            {"state", state},
            {"expires", to_rfc3339(plan.expires)}};
  if (batch) json["batch"] = plan.batch_id().hex();
  json["sentences"] = Json::array();
  std::vector<std::string> lines;
  for (const std::string& sentence : plan_sentences(plan)) {
    json["sentences"].push_back(sentence);
    lines.push_back(sentence);
  }
  lines.push_back("digest  " + plan.digest.hex());
  lines.push_back("words   " + words);
  if (batch) lines.push_back("batch   " + plan.batch_id().hex());
  lines.push_back("state   " + state);
  if (check) {
    json["ok"] = check->refusals.empty();
    json["refusals"] = Json::array();
    for (const Refusal& refusal : check->refusals) {
      json["refusals"].push_back(
          {{"reason", refusal.reason}, {"text", refusal.text}, {"hint", refusal.hint}});
      lines.push_back(fmt::format("refused ({}): {}", refusal.reason, refusal.text));
      if (!refusal.hint.empty()) lines.push_back("hint: " + refusal.hint);
    }
    json["more_refusals"] = check->more_refusals;
    if (check->more_refusals > 0)
      lines.push_back(fmt::format("and {} more SEs are refused", check->more_refusals));
    if (check->refusals.empty()) lines.emplace_back("every check passed");
  }
  context.out().result("plan", json, lines);
}

int plan_show(Context& context, const fs::path& file) {
  print_plan(context, read_plan(file), std::nullopt, file);
  return kDone;
}

int plan_check(Context& context, const fs::path& file) {
  const Plan plan = read_plan(file);
  const PlanCheck check = check_plan(context, plan, fs::absolute(file).parent_path());
  print_plan(context, plan, check, file);
  return check.refusals.empty() ? kDone : kNo;
}

int plan_approve(Context& context, const fs::path& file) {
  const Plan plan = read_plan(file);
  const PlanCheck check = check_plan(context, plan, fs::absolute(file).parent_path());
  if (!check.refusals.empty()) {
    print_plan(context, plan, check, file);
    return kNo;
  }
  for (const std::string& sentence : plan_sentences(plan)) context.out().note(sentence);
  context.out().note("words of its digest: " + to_words(plan.digest.bytes()));
  crypto::SoftKey officer = officer_key(context);
  const Bytes approval = approve_plan(context, plan, officer);
  const UtcMillis now = context.clock().now();
  PlanStore plans{context.ledger()};
  plans.keep(plan, check.list, now);
  write_file_durably(approval_file(file), approval, Overwrite::Replace);
  KF_CUT("front.plan-approve.file");
  plans.approve(plan.digest, officer.public_key().key_id(), approval, now);
  print_plan(context, plan, check, file);
  return kDone;
}

int plan_run(Context& context, const fs::path& file) {
  const Plan plan = read_plan(file);
  PlanStore plans{context.ledger()};
  context.expect_plan(plan);
  std::optional<PlanCheck> early;
  if (plan.operation == Operation::Batch) {
    context.expect_batch();
    early = check_while_gate_opens(context, plan, file);
  }
  GateSession& gate = context.gate();
  const auto stored = plans.find(plan.digest);
  const bool begun = stored && stored->state == PlanState::Run;
  if (begun && plan.operation != Operation::Batch) {
    context.out().result("plan-run",
                         Json{{"digest", plan.digest.hex()},
                              {"operation", operation_name(plan.operation)},
                              {"done_before", true}},
                         {"this plan has been run already"});
    return kDone;
  }
  std::vector<Digest> segment_roots;
  if (!begun) {
    PlanCheck check = early ? std::move(*early) : check_plan(context, plan, fs::absolute(file).parent_path());
    if (!check.refusals.empty()) {
      gate.report_refused("plan-run", check.refusals.front(), plan.digest.hex());
      throw to_error(joined(check));
    }
    plans.keep(plan, check.list, context.clock().now());
    segment_roots = std::move(check.segment_roots);
  }
  const std::vector<Bytes> approvals = find_approvals(context, plan, file);
  KF_CUT("front.plan-run.begun");
  if (plan.operation == Operation::Batch) {
    return run_batch(context, plan, approvals, std::move(segment_roots));
  }
  if (plan.operation == Operation::SeImport || plan.operation == Operation::StationEnroll) {
    throw Error{
        Code::Usage,
        fmt::format("a plan for {} is run by its own command", operation_name(plan.operation))};
  }
  static_cast<void>(run_at_gate(context, plan, approvals));
  context.out().result(
      "plan-run",
      Json{{"digest", plan.digest.hex()},
           {"operation", operation_name(plan.operation)},
           {"done_before", false}},
      {fmt::format("plan {} ({}) has been run", plan.number, operation_name(plan.operation))});
  return kDone;
}

}  // namespace keyferry::appliance
