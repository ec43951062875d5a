#include "appliance/gate/approvals.h"

#include <fmt/format.h>

#include <map>
#include <set>

#include "appliance/gate/internal/people.h"

namespace keyferry::appliance {
namespace {

/// One officer may suspend a batch: no plan of one may use up all numbers that are left.
constexpr std::uint64_t kMaxNumbersAhead = 10'000;

Refusal mismatch(std::string_view field) {
  return Refusal{"approval-mismatch",
                 fmt::format("an approval was given for another {}", field),
                 "have this very plan approved: keyferry-appliance plan approve FILE"};
}

v1::Environment message_environment(Environment environment) {
  switch (environment) {
    case Environment::Development:
      return v1::ENVIRONMENT_DEVELOPMENT;
    case Environment::Rehearsal:
      return v1::ENVIRONMENT_REHEARSAL;
    case Environment::Production:
      return v1::ENVIRONMENT_PRODUCTION;
  }
  return v1::ENVIRONMENT_UNSPECIFIED;
}

std::optional<Refusal> check_plan(const Plan& plan, const ApprovalContext& context) {
  const v1::HsmState& hsm = context.state.hsm;
  if (plan.appliance.str() != hsm.appliance_id()) {
    return Refusal{"plan-appliance", "the plan was made for another appliance"};
  }
  if (message_environment(plan.environment) != hsm.environment()) {
    return Refusal{"plan-environment",
                   fmt::format("the plan is for environment {}, this appliance is in another one",
                               environment_name(plan.environment))};
  }
  const OperationRow& row = operation_row(plan.operation);
  const ApplianceState state = hsm.has_restored() ? ApplianceState::Restored : ApplianceState::Operating;
  if (row.state != state) {
    return Refusal{"policy-state",
                   fmt::format("{} is done in state {} only, this appliance is in state {}",
                               operation_name(plan.operation),
                               state_name(row.state),
                               state_name(state)),
                   "see keyferry-appliance policy show"};
  }
  if (!row.allowed_in(plan.environment)) {
    return Refusal{
        "policy-environment",
        fmt::format("{} is not for environment {}", operation_name(plan.operation), environment_name(plan.environment)),
        "see keyferry-appliance policy show"};
  }
  if (plan.number <= hsm.last_plan_number()) {
    return Refusal{"plan-number",
                   fmt::format("plan number {} is used: the last one was {}", plan.number, hsm.last_plan_number()),
                   fmt::format("give the plan number {} and have it approved again", hsm.last_plan_number() + 1)};
  }
  if (plan.number > hsm.last_plan_number() + kMaxNumbersAhead) {
    return Refusal{"plan-number",
                   fmt::format("plan number {} is more than {} ahead of the last one, {}",
                               plan.number,
                               kMaxNumbersAhead,
                               hsm.last_plan_number()),
                   fmt::format("give the plan number {} and have it approved again", hsm.last_plan_number() + 1)};
  }
  if (plan.expires <= context.now) {
    return Refusal{"plan-expired",
                   fmt::format("the plan expired at {}", to_rfc3339(plan.expires)),
                   "make a new plan with a later date and have it approved"};
  }
  return std::nullopt;
}

std::optional<Refusal> check_content(const v1::Approval& approval,
                                     std::uint32_t officer,
                                     const Plan& plan,
                                     const ApprovalContext& context) {
  if (approval.version() != 1 || approval.kind() != "keyferry/v1/approval") return mismatch("kind of thing");
  if (approval.digest() != plan.digest.str()) return mismatch("plan (its digest differs)");
  if (approval.appliance_id() != plan.appliance.str()) return mismatch("appliance");
  if (approval.environment() != message_environment(plan.environment)) return mismatch("environment");
  if (approval.plan_number() != plan.number) return mismatch("plan number");
  if (approval.operation() != operation_name(plan.operation)) return mismatch("operation");
  if (approval.expires_ms() <= context.now.value) {
    return Refusal{
        "approval-expired", fmt::format("officer {}'s approval has expired", officer), "approve the plan again"};
  }
  if (approval.policy_epoch() != context.state.registry.policy().epoch() ||
      approval.registry_epoch() != context.state.registry.epoch()) {
    return Refusal{"approval-epoch",
                   fmt::format("policy or registry changed after officer {} gave the approval", officer),
                   "have each officer approve it again: keyferry-appliance plan approve FILE"};
  }
  const auto checkpoint = own_checkpoint(approval.last_checkpoint(), context.log_key, plan.appliance);
  if (!checkpoint) {
    return Refusal{"approval-checkpoint",
                   fmt::format("officer {}'s approval names a checkpoint that this appliance never signed", officer),
                   "approve the plan again; find out what that officer was shown"};
  }
  if (checkpoint->size > context.state.hsm.log_size()) {
    return Refusal{"approval-checkpoint",
                   "an approval names a later checkpoint than the HSM knows: HSM or ledger were rolled back",
                   "restore the newest HSM store and ledger before anything else is done"};
  }
  return std::nullopt;
}

struct Signer {
  const v1::Officer* person = nullptr;
  crypto::PublicKey key;
};

/// Whose signature it claims to be, when that person's approvals count. Refusal approval-officer otherwise.
std::variant<Signer, Refusal> signer_of(const v1::Registry& registry, const KeyId& key_id, Operation operation) {
  const auto has_id = [&key_id](const std::string& point) {
    const auto key = crypto::PublicKey::from_point(as_bytes(point));
    return key && key->key_id() == key_id;
  };
  for (const v1::Officer& one : registry.officers()) {
    for (const std::string& former : one.former_keys()) {
      if (!has_id(former)) continue;
      return Refusal{"approval-officer",
                     fmt::format("an approval is by the key that officer {} had before it was replaced", one.number()),
                     "approve the plan with the new key"};
    }
    if (!has_id(one.public_key())) continue;
    const PersonRole who = operation_row(operation).who;
    const auto role = person_role(one.role());
    if (role != who) {
      return Refusal{"approval-officer",
                     fmt::format("person {} may not approve: role {}, and {} is for role {}",
                                 one.number(),
                                 role ? role_name(*role) : "unknown",
                                 operation_name(operation),
                                 role_name(who)),
                     "have officers approve it: keyferry-appliance officer list"};
    }
    if (one.disabled()) {
      return Refusal{"approval-officer",
                     fmt::format("officer {} is disabled and approves nothing any more", one.number()),
                     "have other officers approve it: keyferry-appliance officer list"};
    }
    return Signer{&one, *crypto::PublicKey::from_point(as_bytes(one.public_key()))};
  }
  return Refusal{"approval-officer", "an approval is by a key of no officer", "see keyferry-appliance officer list"};
}

Refusal too_few(const std::map<std::uint32_t, std::uint32_t>& given, std::uint32_t needed) {
  std::string twice;
  for (const auto& [number, times] : given) {
    if (times > 1) twice += fmt::format("; officer {} approved it {} times and counts once", number, times);
  }
  return Refusal{"quorum",
                 fmt::format("{} of {} officers have approved this plan{}", given.size(), needed, twice),
                 "have more officers approve it: keyferry-appliance plan approve FILE"};
}

}  // namespace

std::variant<std::vector<KeyId>, Refusal> check_approvals(const Plan& plan,
                                                          const std::vector<token::SignedBytes>& approvals,
                                                          const ApprovalContext& context) {
  if (auto refusal = check_plan(plan, context)) return *refusal;
  std::set<KeyId> counted;
  std::map<std::uint32_t, std::uint32_t> given;  // person and number of approvals
  for (const token::SignedBytes& approval : approvals) {
    for (const token::PayloadSignature& signature : approval.signatures) {
      const auto found = signer_of(context.state.registry, signature.key_id, plan.operation);
      if (const auto* refusal = std::get_if<Refusal>(&found)) return *refusal;
      const auto& [officer, key] = std::get<Signer>(found);
      if (!crypto::verify(key, crypto::SignatureKind::Approval, approval.payload, signature.signature)) {
        return Refusal{"approval-signature",
                       fmt::format("the signature of officer {} does not verify", officer->number()),
                       "approve the plan again"};
      }
      v1::Approval content;
      if (!content.ParseFromArray(approval.payload.data(), static_cast<int>(approval.payload.size()))) {
        return Refusal{"approval-malformed", fmt::format("officer {}'s approval does not parse", officer->number())};
      }
      if (auto refusal = check_content(content, officer->number(), plan, context)) return *refusal;
      if (content.officer_key_id() != signature.key_id.str()) return mismatch("officer");
      counted.insert(signature.key_id);
      ++given[officer->number()];
    }
  }
  const v1::Registry& registry = context.state.registry;
  const auto needed = officers_needed(policy_rules(registry.policy()), plan.operation, enabled_officers(registry));
  if (!needed) {
    return Refusal{"policy-operation",
                   fmt::format("the policy in this HSM has no rule for operation {}", operation_name(plan.operation)),
                   "officers may give it one: keyferry-appliance policy change --rule OPERATION=N --reason TEXT"};
  }
  if (given.size() < *needed) return too_few(given, *needed);
  return std::vector<KeyId>{counted.begin(), counted.end()};
}

}  // namespace keyferry::appliance
