#include "appliance/plan/policy.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace keyferry::appliance {
namespace {

constexpr std::array kRoleNames{
    std::pair{PersonRole::Officer, std::string_view{"officer"}},
    std::pair{PersonRole::Custodian, std::string_view{"custodian"}},
    std::pair{PersonRole::Technician, std::string_view{"technician"}},
    std::pair{PersonRole::LineLead, std::string_view{"line-lead"}},
    std::pair{PersonRole::Auditor, std::string_view{"auditor"}},
    std::pair{PersonRole::Witness, std::string_view{"witness"}},
};

static_assert(kRoleNames.size() == kRoleTable.size());

const PolicyChangePlan::Rule* find_rule(const PolicyRules& rules, Operation operation) {
  const auto found = std::ranges::find(rules, operation, &PolicyChangePlan::Rule::operation);
  return found == rules.end() ? nullptr : &*found;
}

std::string officers_text(std::uint32_t count) {
  return fmt::format("{} officer{}", count, count == 1 ? "" : "s");
}

}  // namespace

std::string_view role_name(PersonRole role) {
  return kRoleNames[static_cast<std::size_t>(role)].second;
}

std::optional<PersonRole> role_from_name(std::string_view name) {
  for (const auto& [role, known] : kRoleNames) {
    if (known == name) return role;
  }
  return std::nullopt;
}

PolicyRules default_policy(std::uint32_t officers, std::uint32_t needed) {
  PolicyRules rules;
  for (const OperationRow& row : kOperationTable) {
    std::uint32_t count = std::clamp<std::uint32_t>(needed, 1, std::max<std::uint32_t>(officers, 1));
    if (row.quorum == QuorumClass::Higher) count = std::min(std::max<std::uint32_t>(officers, 1), count + 1);
    if (row.quorum == QuorumClass::Single) count = 1;
    rules.push_back({row.operation, count});
  }
  return rules;
}

std::uint32_t highest_rule(const PolicyRules& rules) {
  std::uint32_t highest = 0;
  for (const PolicyChangePlan::Rule& rule : rules) highest = std::max(highest, rule.officers_needed);
  return highest;
}

std::optional<std::uint32_t> officers_needed(const PolicyRules& rules, Operation operation, std::uint32_t officers) {
  if (const PolicyChangePlan::Rule* rule = find_rule(rules, operation)) {
    return std::max<std::uint32_t>(rule->officers_needed, 1);
  }
  if (operation != Operation::PolicyChange) return std::nullopt;
  return std::max<std::uint32_t>(std::min(highest_rule(rules) + 1, officers), 1);
}

std::optional<Refusal> check_policy(const PolicyRules& rules, std::uint32_t officers, Environment environment) {
  const PolicyChangePlan::Rule* batch = find_rule(rules, Operation::Batch);
  const std::uint32_t quorum = batch != nullptr ? batch->officers_needed : 1;
  for (const PolicyChangePlan::Rule& rule : rules) {
    const OperationRow& row = operation_row(rule.operation);
    const std::string_view name = operation_name(rule.operation);
    if (rule.officers_needed > officers) {
      return Refusal{"policy-officers",
                     fmt::format("{} would need {}, {} enabled",
                                 name,
                                 officers_text(rule.officers_needed),
                                 officers == 1 ? "1 is" : fmt::format("{} are", officers)),
                     "enroll officers first: keyferry-appliance officer add CARD"};
    }
    if (row.quorum == QuorumClass::Single) {
      if (rule.officers_needed == 1) continue;
      return Refusal{"policy-single", fmt::format("{} needs 1 officer always: stopping must not wait", name)};
    }
    if (row.quorum == QuorumClass::Higher && rule.officers_needed < quorum) {
      return Refusal{"policy-higher",
                     fmt::format("{} would need {}, a batch needs {}: it never needs fewer than a batch",
                                 name,
                                 officers_text(rule.officers_needed),
                                 quorum)};
    }
    if (environment == Environment::Production && rule.officers_needed < 2) {
      return Refusal{
          "policy-production",
          fmt::format(
              "{} would need {}: in production nobody decides it alone", name, officers_text(rule.officers_needed))};
    }
  }
  return std::nullopt;
}

std::string_view quorum_name(QuorumClass quorum) {
  switch (quorum) {
    case QuorumClass::Single:
      return "one officer";
    case QuorumClass::Quorum:
      return "M";
    case QuorumClass::Higher:
      return "M + 1";
  }
  return "";
}

std::string_view state_name(ApplianceState state) {
  return state == ApplianceState::Restored ? "restored" : "operating";
}

}  // namespace keyferry::appliance
