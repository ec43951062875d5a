#include "appliance/front/officer_commands.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>

#include "appliance/front/batch_hooks.h"
#include "appliance/front/officer.h"
#include "appliance/front/operation.h"
#include "appliance/ledger/batch_store.h"
#include "appliance/ledger/person_store.h"
#include "keyferry/v1/gate.pb.h"
#include "wrap/base/error.h"
#include "wrap/base/process.h"
#include "wrap/base/text.h"
#include "wrap/base/words.h"
#include "wrap/crypto/hash.h"

namespace keyferry::appliance {
namespace {

constexpr const char* kKeptCard = "card.kf";

std::string words_of(const OfficerCard& card) {
  return key_words(card.sha256.bytes());
}

std::string asked_words(Output& out) {
  std::ifstream terminal{"/dev/tty"};
  if (!terminal) {
    throw Error{Code::Usage, "there is no terminal to confirm the card's words on", "give them with --fingerprint"};
  }
  out.note("type the words that the person's own screen showed:");
  std::string line;
  std::getline(terminal, line);
  return line;
}

/// The words come from the person, not from the card: that is what binds the key to somebody.
void compare_words(Context& context, const OfficerCardFile& file, const std::optional<std::string>& fingerprint) {
  context.out().note(fmt::format("card of \"{}\", role {}", file.name, role_name(file.card.role)));
  const auto typed = from_words(fingerprint ? *fingerprint : asked_words(context.out()));
  const auto meant = from_words(words_of(file.card));
  if (typed && meant && equal(*typed, *meant)) return;
  const Refusal refusal{"fingerprint",
                        "the words are not those of this card",
                        "read them from the person's own screen; do not take the card when they differ"};
  context.gate().report_refused("officer-card", refusal, file.card.sha256.hex());
  throw to_error(refusal);
}

void check_environment(Context& context, const OfficerCard& card) {
  if (card.environment == context.settings().environment) return;
  throw Error{Code::Refused,
              fmt::format("the card was made for environment {}, this appliance is in {}",
                          environment_name(card.environment),
                          environment_name(context.settings().environment)),
              "make it anew: keyferry-appliance officer request --environment NAME"};
}

int tell_person(Context& context, std::uint32_t number, std::string_view what) {
  const Registry registry = context.ledger().registry();
  const KnownOfficer* person = registry.person(number);
  if (person == nullptr) throw Error{Code::Internal, "the registry lacks the person of the plan that was just run"};
  context.out().result("officer",
                       Json{{"number", number},
                            {"role", role_name(person->role)},
                            {"disabled", person->disabled},
                            {"key_words", key_words(crypto::sha256(person->public_key).bytes())}},
                       {fmt::format("person {} ({}) {}", number, role_name(person->role), what)});
  return 0;
}

/// "OPERATION=N"
PolicyChangePlan::Rule read_rule(const std::string& text) {
  const std::size_t sign = text.find('=');
  const auto operation = sign == std::string::npos ? std::nullopt : operation_from_name(text.substr(0, sign));
  const std::string digits = sign == std::string::npos ? "" : text.substr(sign + 1);
  if (!operation || digits.empty() || digits.size() > 2 ||
      digits.find_first_not_of("0123456789") != std::string::npos) {
    throw Error{Code::Usage, "--rule: OPERATION=N", "keyferry-appliance policy show names the operations"};
  }
  return {*operation, static_cast<std::uint32_t>(std::stoul(digits))};
}

BatchId batch_named(Context& context, const std::string& text) {
  auto found = BatchStore{context.ledger()}.resolve(text);
  if (const auto* refusal = std::get_if<Refusal>(&found)) throw to_error(*refusal);
  return std::get<BatchRow>(std::move(found)).id;
}

}  // namespace

int officer_request(const CommonOptions& common,
                    const OfficerRequestOptions& options,
                    const Clock& clock,
                    RandomSource& random,
                    Output& out) {
  const auto role = role_from_name(options.role);
  const auto environment = environment_from_name(options.environment);
  if (!role) throw Error{Code::Usage, "--role: officer, custodian, technician, line-lead, auditor or witness"};
  if (!environment) throw Error{Code::Usage, "--environment: development, rehearsal or production"};
  if (!is_person_name(options.name)) throw Error{Code::Usage, "--name: 1 to 100 printable ASCII characters"};
  const std::unique_ptr<crypto::Signer> key = make_or_read_officer_key(common);
  const bool done_before = std::filesystem::exists(options.out);
  const OfficerCardFile file = done_before
                                   ? read_officer_card(options.out)
                                   : make_officer_card(*key, *role, options.name, *environment, clock.now(), random);
  if (!done_before) write_file_durably(options.out, encode(file), Overwrite::Refuse);
  if (file.card.public_key != key->public_key() || file.name != options.name || file.card.role != *role ||
      file.card.environment != *environment) {
    throw Error{
        Code::Refused, options.out.string() + " is there already and is another card", "name another file: --out FILE"};
  }
  const std::string words = words_of(file.card);
  out.result("officer-card",
             Json{{"file", options.out.string()},
                  {"name", options.name},
                  {"role", options.role},
                  {"environment", options.environment},
                  {"sha256", file.card.sha256.hex()},
                  {"fingerprint", words},
                  {"done_before", done_before}},
             {"card         " + options.out.string(),
              fmt::format("for          {} ({}), environment {}", options.name, options.role, options.environment),
              "its words    " + words,
              "bring the card and these words, each by its own way"});
  return 0;
}

OfficerCardFile read_officer_card(const std::filesystem::path& file) {
  const auto octets = read_file_if_exists(file, kMaxCardFileBytes);
  if (!octets) {
    throw Error{Code::NotFound, "no officer card at " + file.string(), "make it: keyferry-appliance officer request"};
  }
  auto parsed = parse_officer_card_file(*octets);
  if (const auto* refusal = std::get_if<Refusal>(&parsed)) {
    throw Error{Code::Refused, file.string() + ": " + refusal->text, refusal->hint};
  }
  return std::get<OfficerCardFile>(std::move(parsed));
}

int officer_add(Context& context, const OfficerCardOptions& options) {
  const OfficerCardFile file = read_officer_card(options.card);
  check_environment(context, file.card);
  static_cast<void>(context.gate());  // what a cut run left is settled: the registry is the newest
  compare_words(context, file, options.fingerprint);
  std::uint32_t number = PersonStore{context.ledger()}.highest_number();
  for (const KnownOfficer& known : context.ledger().registry().officers) number = std::max(number, known.number);
  ++number;
  OperationInput input;
  input.action = person_name_action({number, file.salt, file.name});
  input.keep.push_back({kKeptCard, {}, encode(file)});
  run_operation(
      context,
      Operation::OfficerAdd,
      OfficerAddPlan{
          number, std::string{role_name(file.card.role)}, file.card.name_hash, to_bytes(file.card.public_key.point())},
      input);
  return tell_person(context, number, "is enrolled");
}

int run_officer_add(Context& context, const Plan& plan, const std::vector<Bytes>& approvals) {
  const auto& detail = std::get<OfficerAddPlan>(plan.detail);
  const OfficerCardFile file = read_officer_card(kept_input(context, plan, kKeptCard));
  if (file.card.name_hash != detail.name_hash || !equal(file.card.public_key.point(), detail.public_key)) {
    throw Error{
        Code::Refused, "the card kept here is not the one that the plan names", "make the plan again from the card"};
  }
  OperationInput input;
  input.action = person_name_action({detail.number, file.salt, file.name});
  static_cast<void>(run_at_gate(context, plan, approvals, input));
  return tell_person(context, detail.number, "is enrolled");
}

int officer_replace(Context& context, const OfficerCardOptions& options) {
  const OfficerCardFile file = read_officer_card(options.card);
  check_environment(context, file.card);
  static_cast<void>(context.gate());
  compare_words(context, file, options.fingerprint);
  run_operation(context,
                Operation::OfficerReplace,
                OfficerReplacePlan{options.number, to_bytes(file.card.public_key.point()), options.reason});
  return tell_person(context, options.number, "has a new key; the old one approves nothing any more");
}

int officer_disable(Context& context, std::uint32_t number, const std::string& reason) {
  static_cast<void>(context.gate());
  run_operation(context, Operation::OfficerDisable, OfficerDisablePlan{number, reason});
  return tell_person(context, number, "is disabled: let the custodians refresh the PIN shares where it held one");
}

int officer_list(Context& context) {
  const Registry registry = context.ledger().registry();
  Json json{{"persons", Json::array()}, {"officers", registry.enabled_officers()}};
  std::vector<std::string> lines;
  for (const KnownOfficer& known : registry.officers) {
    const auto name = PersonStore{context.ledger()}.find(known.number);
    // The table can be edited: a name that is not the one of the registry's hash is no name.
    const bool is_it = name && equal(name_hash_of(name->salt, name->name).bytes(), known.name_hash);
    const std::string shown = !name ? "(erased)" : is_it ? printable(name->name) : "(not the name that was enrolled)";
    const std::string words = key_words(crypto::sha256(known.public_key).bytes());
    json["persons"].push_back({{"number", known.number},
                               {"role", role_name(known.role)},
                               {"name", is_it ? shown : ""},
                               {"disabled", known.disabled},
                               {"keys_before", known.former_keys.size()},
                               {"key_words", words}});
    lines.push_back(fmt::format(
        "{:>4}  {:<10}  {:<8}  {}", known.number, role_name(known.role), known.disabled ? "disabled" : "", shown));
    lines.push_back("      key " + words);
  }
  context.out().result("officers", json, lines);
  return 0;
}

int officer_forget(Context& context, std::uint32_t number) {
  if (context.ledger().registry().person(number) == nullptr) {
    throw Error{Code::NotFound, fmt::format("there is no person {}", number), "see keyferry-appliance officer list"};
  }
  const bool was_there = PersonStore{context.ledger()}.forget(number);
  context.out().result("officer-forget",
                       Json{{"number", number}, {"done_before", !was_there}},
                       {fmt::format("the name of person {} {}; number and salted hash stay in the log",
                                    number,
                                    was_there ? "is erased" : "was erased before")});
  return 0;
}

int policy_show(Context& context) {
  const Registry registry = context.ledger().registry();
  const Environment environment = context.settings().environment;
  Json json{{"policy_epoch", registry.policy_epoch},
            {"environment", environment_name(environment)},
            {"officers", registry.enabled_officers()},
            {"rehearsal_required", registry.rehearsal_required},
            {"enabled_families", registry.enabled_families},
            {"rules", Json::array()},
            {"roles", Json::array()}};
  std::vector<std::string> lines{
      fmt::format("policy {}, environment {}, {} officers enabled, rehearsal {}",
                  registry.policy_epoch,
                  environment_name(environment),
                  registry.enabled_officers(),
                  registry.rehearsal_required ? "required" : "not required"),
      fmt::format("families that need plaintext in a worker: {}",
                  registry.enabled_families.empty() ? "none is enabled"
                                                    : fmt::format("{} enabled", fmt::join(registry.enabled_families, ", "))),
      fmt::format(
          "{:<24} {:<10} {:<12} {:<9} {:<12} {}", "operation", "state", "environment", "who", "class", "needed")};
  for (const OperationRow& row : kOperationTable) {
    const auto needed = registry.officers_needed(row.operation);
    const bool here = row.allowed_in(environment);
    json["rules"].push_back({{"operation", operation_name(row.operation)},
                             {"state", state_name(row.state)},
                             {"allowed_here", here},
                             {"who", role_name(row.who)},
                             {"class", quorum_name(row.quorum)},
                             {"officers_needed", needed.value_or(0)}});
    lines.push_back(fmt::format("{:<24} {:<10} {:<12} {:<9} {:<12} {}",
                                operation_name(row.operation),
                                state_name(row.state),
                                here ? "any" : "not this one",
                                role_name(row.who),
                                quorum_name(row.quorum),
                                needed ? std::to_string(*needed) : "nobody"));
  }
  lines.emplace_back("role        approves  holds shares  signs transcripts  receives tokens  reads reports");
  for (const RoleRow& row : kRoleTable) {
    const auto mark = [](bool may) { return may ? "yes" : "-"; };
    json["roles"].push_back({{"role", role_name(row.role)},
                             {"approves", row.approves},
                             {"holds_share", row.holds_share},
                             {"witnesses", row.witnesses},
                             {"receives_tokens", row.receives_tokens},
                             {"reads", row.reads}});
    lines.push_back(fmt::format("{:<11} {:<9} {:<13} {:<18} {:<16} {}",
                                role_name(row.role),
                                mark(row.approves),
                                mark(row.holds_share),
                                mark(row.witnesses),
                                mark(row.receives_tokens),
                                mark(row.reads)));
  }
  context.out().result("policy", json, lines);
  return 0;
}

int policy_change(Context& context, const PolicyChangeOptions& options) {
  static_cast<void>(context.gate());
  const Registry registry = context.ledger().registry();
  PolicyChangePlan plan{
      registry.rules, options.rehearsal_required.value_or(registry.rehearsal_required), options.reason};
  if (options.needed) {
    if (*options.needed == 0 || *options.needed > registry.enabled_officers()) {
      throw Error{
          Code::Usage,
          fmt::format("--officers-needed: 1 to {}, the officers that are enabled", registry.enabled_officers())};
    }
    plan.rules = default_policy(registry.enabled_officers(), *options.needed);
  }
  for (const std::string& text : options.rules) {
    const PolicyChangePlan::Rule rule = read_rule(text);
    std::erase_if(plan.rules, [&](const PolicyChangePlan::Rule& one) { return one.operation == rule.operation; });
    if (rule.officers_needed > 0) plan.rules.push_back(rule);
  }
  std::ranges::sort(plan.rules, {}, &PolicyChangePlan::Rule::operation);
  if (const auto refusal = check_policy(plan.rules, registry.enabled_officers(), context.settings().environment)) {
    context.gate().report_refused("policy-change", *refusal, "policy");
    throw to_error(*refusal);
  }
  run_operation(context, Operation::PolicyChange, std::move(plan));
  return policy_show(context);
}

int batch_suspend(Context& context, const std::string& batch, const std::string& reason) {
  const BatchId id = batch_named(context, batch);
  OperationInput input;
  input.action = suspended_action(id, true);
  run_operation(context, Operation::BatchSuspend, BatchSuspendPlan{id, reason}, input);
  context.out().result("batch-suspend",
                       Json{{"batch", id.hex()}, {"suspended", true}},
                       {fmt::format("batch {} is suspended: nothing is made, exported or exported again", id.hex())});
  return 0;
}

int batch_resume(Context& context, const std::string& batch, const std::string& reason) {
  const BatchId id = batch_named(context, batch);
  OperationInput input;
  input.action = suspended_action(id, false);
  run_operation(context, Operation::BatchResume, BatchResumePlan{id, reason}, input);
  context.out().result(
      "batch-resume", Json{{"batch", id.hex()}, {"suspended", false}}, {fmt::format("batch {} goes on", id.hex())});
  return 0;
}

}  // namespace keyferry::appliance
