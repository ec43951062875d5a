#include "appliance/plan/plan_people.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>

#include "wrap/base/words.h"
#include "wrap/crypto/hash.h"
#include "wrap/crypto/signing.h"

namespace keyferry::appliance {
namespace {

constexpr std::uint64_t kMaxPersonNumber = 999'999;
constexpr std::uint64_t kMaxOfficersNeeded = 99;
constexpr std::size_t kMaxRules = 128;
constexpr std::size_t kMaxCustodians = kMaxBackupShares;
constexpr std::array<std::string_view, 6> kRoles{
    "officer", "custodian", "technician", "line-lead", "auditor", "witness"};
constexpr std::array<std::string_view, 4> kOverrides{"network", "swap", "memlock", "usb"};

template <std::size_t N>
bool is_one_of(const std::array<std::string_view, N>& known, std::string_view value) {
  return std::ranges::find(known, value) != known.end();
}

std::uint32_t read_number(PlanFields& fields) {
  return static_cast<std::uint32_t>(fields.integer("number", 1, kMaxPersonNumber));
}

Bytes read_key(PlanFields& fields) {
  Bytes key = fields.hex("public_key", crypto::PublicKey::kPointBytes);
  if (!crypto::PublicKey::from_point(key)) fields.refuse("public_key", "is no P-256 point");
  return key;
}

std::string key_of_words(ByteView public_key) {
  return key_words(crypto::sha256(public_key).bytes());
}

/// "OPERATION N"
std::optional<PolicyChangePlan::Rule> parse_rule(std::string_view text) {
  const std::size_t space = text.find(' ');
  if (space == std::string_view::npos) return std::nullopt;
  const auto operation = operation_from_name(text.substr(0, space));
  const std::string_view digits = text.substr(space + 1);
  if (!operation || digits.empty() || digits.size() > 2 ||
      digits.find_first_not_of("0123456789") != std::string_view::npos) {
    return std::nullopt;
  }
  const auto needed = static_cast<std::uint32_t>(std::stoul(std::string{digits}));
  if (needed < 1 || needed > kMaxOfficersNeeded) return std::nullopt;
  return PolicyChangePlan::Rule{*operation, needed};
}

std::string rule_text(const PolicyChangePlan::Rule& rule) {
  return fmt::format("{} {}", operation_name(rule.operation), rule.officers_needed);
}

std::string quoted_list(const std::vector<std::string>& items) {
  std::string text = "[";
  for (const std::string& item : items) text += (text.size() == 1 ? "" : ", ") + toml_quoted(item);
  return text + "]";
}

std::string reason_text(const std::string& reason) {
  return fmt::format("reason = {}\n", toml_quoted(reason));
}

std::string reason_sentence(const std::string& reason) {
  return fmt::format("Reason: {}.", reason);
}

}  // namespace

OfficerAddPlan read_officer_add(PlanFields& fields) {
  OfficerAddPlan plan{read_number(fields),
                      fields.text("role", 32),
                      fields.id<Digest>("name_hash"),
                      read_key(fields)};
  if (!is_one_of(kRoles, plan.role))
    fields.refuse("role", "is none of officer, custodian, technician, line-lead, auditor, witness");
  return plan;
}

OfficerReplacePlan read_officer_replace(PlanFields& fields) {
  return {read_number(fields), read_key(fields), fields.reason()};
}

OfficerDisablePlan read_officer_disable(PlanFields& fields) {
  return {read_number(fields), fields.reason()};
}

PolicyChangePlan read_policy_change(PlanFields& fields) {
  PolicyChangePlan plan;
  std::set<Operation> named;
  for (const std::string& text : fields.texts("rules", kMaxRules, 64)) {
    const auto rule = parse_rule(text);
    if (!rule) {
      fields.refuse("rules",
                    "has a line that is not OPERATION and a number of officers from 1 to 99");
    } else if (!named.insert(rule->operation).second) {
      fields.refuse("rules", "names an operation twice");
    } else {
      plan.rules.push_back(*rule);
    }
  }
  if (!named.contains(Operation::PolicyChange))
    fields.refuse("rules", "says nothing of policy-change: it could never be changed again");
  plan.rehearsal_required = fields.flag("rehearsal_required");
  plan.reason = fields.reason();
  return plan;
}

HsmPinChangePlan read_pin_change(PlanFields& fields) {
  HsmPinChangePlan plan;
  std::set<std::uint64_t> seen;
  for (const std::uint64_t number :
       fields.integers("custodians", 1, kMaxPersonNumber, kMaxCustodians)) {
    if (!seen.insert(number).second) fields.refuse("custodians", "names a person twice");
    plan.custodians.push_back(static_cast<std::uint32_t>(number));
  }
  if (plan.custodians.size() < 2) fields.refuse("custodians", "are fewer than two");
  plan.shares_needed =
      static_cast<std::uint32_t>(fields.integer("shares_needed", 2, kMaxCustodians));
  if (plan.shares_needed > plan.custodians.size())
    fields.refuse("shares_needed", "is more than there are custodians");
  plan.reason = fields.reason();
  return plan;
}

ClockSetPlan read_clock_set(PlanFields& fields) {
  return {fields.time("floor"), fields.reason()};
}

InsecureAllowPlan read_insecure_allow(PlanFields& fields) {
  InsecureAllowPlan plan{
      fields.texts("what", kOverrides.size(), 16), fields.time("until"), fields.reason()};
  if (plan.what.empty()) fields.refuse("what", "is empty");
  for (const std::string& what : plan.what) {
    if (!is_one_of(kOverrides, what))
      fields.refuse("what", "is none of network, swap, memlock, usb");
  }
  return plan;
}

std::string detail_text(const OfficerAddPlan& plan) {
  return fmt::format("number = {}\nrole = \"{}\"\nname_hash = \"{}\"\npublic_key = \"{}\"\n",
                     plan.number,
                     plan.role,
                     plan.name_hash.hex(),
                     to_hex(plan.public_key));
}

std::string detail_text(const OfficerReplacePlan& plan) {
  return fmt::format("number = {}\npublic_key = \"{}\"\n", plan.number, to_hex(plan.public_key)) +
         reason_text(plan.reason);
}

std::string detail_text(const OfficerDisablePlan& plan) {
  return fmt::format("number = {}\n", plan.number) + reason_text(plan.reason);
}

std::string detail_text(const PolicyChangePlan& plan) {
  std::string text = "rules = [\n";
  for (const PolicyChangePlan::Rule& rule : plan.rules)
    text += fmt::format("  \"{}\",\n", rule_text(rule));
  return text + fmt::format("]\nrehearsal_required = {}\n", plan.rehearsal_required) +
         reason_text(plan.reason);
}

std::string detail_text(const HsmPinChangePlan& plan) {
  return fmt::format("custodians = [{}]\nshares_needed = {}\n",
                     fmt::join(plan.custodians, ", "),
                     plan.shares_needed) +
         reason_text(plan.reason);
}

std::string detail_text(const ClockSetPlan& plan) {
  return fmt::format("floor = \"{}\"\n", to_rfc3339(plan.floor)) + reason_text(plan.reason);
}

std::string detail_text(const InsecureAllowPlan& plan) {
  return fmt::format(
             "what = {}\nuntil = \"{}\"\n", quoted_list(plan.what), to_rfc3339(plan.until)) +
         reason_text(plan.reason);
}

std::vector<std::string> detail_sentences(const OfficerAddPlan& plan) {
  return {fmt::format("Person {} is enrolled with role {}.", plan.number, plan.role),
          fmt::format("The person's key reads in words: {}.", key_of_words(plan.public_key))};
}

std::vector<std::string> detail_sentences(const OfficerReplacePlan& plan) {
  return {fmt::format("Person {} gets another key; the old one approves nothing from then on.",
                      plan.number),
          fmt::format("The new key reads in words: {}.", key_of_words(plan.public_key)),
          reason_sentence(plan.reason)};
}

std::vector<std::string> detail_sentences(const OfficerDisablePlan& plan) {
  return {fmt::format("Person {} is disabled and approves nothing from then on.", plan.number),
          reason_sentence(plan.reason)};
}

std::vector<std::string> detail_sentences(const PolicyChangePlan& plan) {
  std::vector<std::string> lines{
      "The policy is replaced as a whole; approvals given before are void."};
  for (const PolicyChangePlan::Rule& rule : plan.rules) {
    lines.push_back(fmt::format("{} needs {} officer{}.",
                                operation_name(rule.operation),
                                rule.officers_needed,
                                rule.officers_needed == 1 ? "" : "s"));
  }
  lines.push_back("Every operation that is not named here cannot be done any more.");
  lines.push_back(plan.rehearsal_required ? "A ceremony has to be rehearsed first."
                                          : "A ceremony may be run without a rehearsal.");
  lines.push_back(reason_sentence(plan.reason));
  return lines;
}

std::vector<std::string> detail_sentences(const HsmPinChangePlan& plan) {
  return {fmt::format("The HSM gets a new random PIN and a new random SO PIN that nobody sees; {} "
                      "of {} shares open each.",
                      plan.shares_needed,
                      plan.custodians.size()),
          fmt::format("The shares go to persons {}; the shares of before open nothing any more.",
                      fmt::join(plan.custodians, ", ")),
          reason_sentence(plan.reason)};
}

std::vector<std::string> detail_sentences(const ClockSetPlan& plan) {
  return {fmt::format("The clock may show any time from {} on; times in the log before this act "
                      "stay as they are.",
                      to_rfc3339(plan.floor)),
          reason_sentence(plan.reason)};
}

std::vector<std::string> detail_sentences(const InsecureAllowPlan& plan) {
  return {fmt::format("Until {} the HSM is logged in although this is open: {}.",
                      to_rfc3339(plan.until),
                      fmt::join(plan.what, ", ")),
          "Every screen and report says so.",
          reason_sentence(plan.reason)};
}

std::string detail_subject(const OfficerAddPlan& plan) {
  return fmt::format("person {}", plan.number);
}

std::string detail_subject(const OfficerReplacePlan& plan) {
  return fmt::format("person {}", plan.number);
}

std::string detail_subject(const OfficerDisablePlan& plan) {
  return fmt::format("person {}", plan.number);
}

std::string detail_subject(const PolicyChangePlan& plan) {
  return fmt::format("{} rules", plan.rules.size());
}

std::string detail_subject(const HsmPinChangePlan& plan) {
  return fmt::format("{}-of-{}", plan.shares_needed, plan.custodians.size());
}

std::string detail_subject(const ClockSetPlan& plan) {
  return to_rfc3339(plan.floor);
}

std::string detail_subject(const InsecureAllowPlan& plan) {
  return fmt::format("{}", fmt::join(plan.what, ","));
}

}  // namespace keyferry::appliance
