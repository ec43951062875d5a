#include "appliance/front/plan_commands.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <set>

#include "appliance/front/approval_standing.h"
#include "appliance/front/batch_hooks.h"
#include "appliance/front/context.h"
#include "appliance/front/officer.h"
#include "appliance/front/hsm_backup.h"
#include "appliance/front/outside.h"
#include "appliance/front/plan_runners.h"
#include "appliance/front/preparations.h"
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
constexpr std::size_t kMaxApprovals = 64;

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

/// Those that lie beside the plan file, in the order of their names.
std::vector<Bytes> approvals_beside(const fs::path& file) {
  const std::string begin = file.filename().string() + ".approval";
  std::vector<fs::path> found;
  const fs::path folder = fs::absolute(file).parent_path();
  for (const auto& entry : fs::directory_iterator{folder}) {
    const std::string name = entry.path().filename().string();
    const bool is_one = name == begin || (name.starts_with(begin + "-") && name.size() < begin.size() + 8);
    if (is_one && found.size() < kMaxApprovals) found.push_back(entry.path());
  }
  std::ranges::sort(found);
  std::vector<Bytes> approvals;
  for (const fs::path& path : found) approvals.push_back(read_file(path, token::kMaxSignedBytes));
  return approvals;
}

/// Approvals in the ledger, and those beside the plan file, each officer's once. Nothing is written.
std::vector<Bytes> known_approvals(Context& context, const Plan& plan, const fs::path& file) {
  std::vector<Bytes> approvals = PlanStore{context.ledger()}.approvals(plan.digest);
  std::set<KeyId> seen;
  const auto signer_of = [](const Bytes& octets) -> std::optional<KeyId> {
    const auto parsed = token::parse_signed_bytes(octets);
    const auto* approval = std::get_if<token::SignedBytes>(&parsed);
    return approval == nullptr ? std::nullopt : std::optional{approval->signatures.front().key_id};
  };
  for (const Bytes& octets : approvals) {
    if (const auto signer = signer_of(octets)) seen.insert(*signer);
  }
  for (Bytes& octets : approvals_beside(file)) {
    const auto signer = signer_of(octets);
    if (!signer || seen.insert(*signer).second) approvals.push_back(std::move(octets));
  }
  return approvals;
}

/// What the gate gets: those that count, when they are enough; else all of them, so that it says
/// what is wrong with which. Those that came beside the file are taken into the ledger.
std::vector<Bytes> find_approvals(Context& context, const Plan& plan, const fs::path& file) {
  const std::vector<Bytes> approvals = known_approvals(context, plan, file);
  if (approvals.empty()) {
    throw Error{Code::Quorum,
                "no officer has approved this plan",
                "keyferry-appliance plan approve " + file.string()};
  }
  PlanStore plans{context.ledger()};
  const std::vector<Bytes> kept = plans.approvals(plan.digest);
  for (const Bytes& octets : approvals) {
    if (std::ranges::find(kept, octets) != kept.end()) continue;
    const auto parsed = token::parse_signed_bytes(octets);
    if (const auto* refusal = std::get_if<Refusal>(&parsed)) throw to_error(*refusal);
    plans.approve(plan.digest,
                  std::get<token::SignedBytes>(parsed).signatures.front().key_id,
                  octets,
                  context.clock().now());
  }
  const ApprovalStanding standing = approval_standing(context, plan, approvals);
  for (const std::string& problem : standing.void_ones)
    context.out().note("does not count: " + problem);
  return standing.enough() ? standing.counting : approvals;
}

/// Records that the last batches made in a second, and how long this one would take.
std::string time_estimate(Context& context, const Plan& plan) {
  const auto rate = context.ledger().text_value(kBatchRate);
  const double per_second = rate ? std::atof(rate->c_str()) : 0;
  if (per_second <= 0) return "time    not known: no batch was made here yet";
  const auto seconds = static_cast<std::uint64_t>(plan.batch().se_count / per_second) + 1;
  return fmt::format("time    about {}, at {:.0f} records a second as last measured",
                     seconds < 120 ? fmt::format("{} s", seconds) : fmt::format("{} min", (seconds + 59) / 60),
                     per_second);
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

fs::path approval_file(const fs::path& plan_file, std::uint32_t needed, std::uint32_t officer) {
  return plan_file.string() + (needed > 1 ? fmt::format(".approval-{}", officer) : ".approval");
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
  const ApprovalStanding standing =
      approval_standing(context, plan, known_approvals(context, plan, file));
  json["approvals"] = standing_json(standing);
  for (const std::string& line : standing_lines(standing)) lines.push_back(line);
  if (batch) lines.push_back(time_estimate(context, plan));
  if (check && check->max_certificate_bytes != 0) {
    json["max_certificate_bytes"] = check->max_certificate_bytes;
    lines.push_back(fmt::format("certs   at most {} octets each", check->max_certificate_bytes));
  }
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
    if (check->refusals.empty()) {
      lines.emplace_back("every check passed");
      if (!standing.enough() && state != "run") {
        lines.push_back("missing: approvals (keyferry-appliance plan approve " + file.string() + ")");
      }
    }
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
  const std::unique_ptr<crypto::Signer> officer = officer_key(context);
  const Bytes approval = approve_plan(context, plan, *officer);
  const KeyId key_id = officer->public_key().key_id();
  const Registry registry = deciding_facts(context, plan.operation).registry;
  const std::uint32_t number = registry.person_of_key(key_id)->number;
  const std::uint32_t needed = registry.officers_needed(plan.operation).value_or(1);
  const UtcMillis now = context.clock().now();
  PlanStore plans{context.ledger()};
  plans.keep(plan, check.list, now);
  write_file_durably(approval_file(file, needed, number), approval, Overwrite::Replace);
  KF_CUT("front.plan-approve.file");
  plans.approve(plan.digest, key_id, approval, now);
  print_plan(context, plan, check, file);
  return kDone;
}

namespace {

bool is_run(Context& context, const Plan& plan) {
  const auto stored = PlanStore{context.ledger()}.find(plan.digest);
  return stored && stored->state == PlanState::Run;
}

/// Was it run, as far as can be told before its gate starts? That one may hand out new shares or ask for a key: not for
/// a plan whose run was cut off when it was done in the HSM. Such a run is still pending in the ledger; any gate settles it.
bool run_before(Context& context, const Plan& plan) {
  if (plan.operation == Operation::Batch) return false;
  if (!is_run(context, plan) && context.ledger().log_size() != context.ledger().final_log_size()) {
    static_cast<void>(context.gate());
    context.leave_gate();
  }
  return is_run(context, plan);
}

int say_run_before(Context& context, const Plan& plan) {
  context.out().result("plan-run",
                       Json{{"digest", plan.digest.hex()},
                            {"operation", operation_name(plan.operation)},
                            {"done_before", true}},
                       {"this plan has been run already"});
  return kDone;
}

}  // namespace

int plan_run(Context& context, const fs::path& file) {
  const Plan plan = read_plan(file);
  PlanStore plans{context.ledger()};
  if (plan.operation == Operation::HsmAdoptState) {  // its gate opens no ledger before it has run
    return run_adopt_state(context, plan, find_approvals(context, plan, file));
  }
  if (run_before(context, plan)) {
    if (plan.operation == Operation::BatchCertify) return run_batch_certify(context, plan, {});  // it may not be sealed yet
    const bool lost = plan.operation == Operation::SePrepare && !is_order_written(context, plan);
    return lost ? run_se_prepare(context, plan, {}) : say_run_before(context, plan);
  }
  context.expect_plan(plan);
  std::optional<PlanCheck> early;
  if (plan.operation == Operation::Batch) {
    context.expect_batch();
    early = check_while_gate_opens(context, plan, file);
  }
  GateSession& gate = context.gate();
  const bool begun = is_run(context, plan);
  if (begun && plan.operation == Operation::BatchCertify) return run_batch_certify(context, plan, {});
  if (begun && plan.operation != Operation::Batch) return say_run_before(context, plan);
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
  return run_kept_plan(context, plan, approvals);
}

}  // namespace keyferry::appliance
