#include "appliance/gate/approvals.h"

#include <fmt/format.h>

#include <set>

namespace keyferry::appliance {
namespace {

Refusal mismatch(std::string_view field) {
  return Refusal{"approval-mismatch", fmt::format("an approval was given for another {}", field),
                 "have this very plan approved: keyferry-appliance plan approve FILE"};
}

v1::Environment message_environment(Environment environment) {
  switch (environment) {
    case Environment::Development: return v1::ENVIRONMENT_DEVELOPMENT;
    case Environment::Rehearsal: return v1::ENVIRONMENT_REHEARSAL;
    case Environment::Production: return v1::ENVIRONMENT_PRODUCTION;
  }
  return v1::ENVIRONMENT_UNSPECIFIED;
}

std::optional<Refusal> check_plan(const Plan& plan, const ApprovalContext& context) {
  const v1::HsmState& hsm = context.state.hsm;
  if (plan.appliance.str() != hsm.appliance_id()) {
    return Refusal{"plan-appliance", "the plan was made for another appliance"};
  }
  if (message_environment(plan.environment) != hsm.environment()) {
    return Refusal{"plan-environment", fmt::format("the plan is for environment {}, this appliance is in another one",
                                                   environment_name(plan.environment))};
  }
  if (plan.number <= hsm.last_plan_number()) {
    return Refusal{"plan-number", fmt::format("plan number {} is used: the last one was {}", plan.number,
                                              hsm.last_plan_number()),
                   fmt::format("give the plan number {} and have it approved again", hsm.last_plan_number() + 1)};
  }
  if (plan.expires <= context.now) {
    return Refusal{"plan-expired", fmt::format("the plan expired at {}", to_rfc3339(plan.expires)),
                   "make a new plan with a later date and have it approved"};
  }
  return std::nullopt;
}

std::optional<Refusal> check_content(const v1::Approval& approval, const Plan& plan, const ApprovalContext& context) {
  if (approval.version() != 1 || approval.kind() != "keyferry/v1/approval") return mismatch("kind of thing");
  if (approval.digest() != plan.digest.str()) return mismatch("plan (its digest differs)");
  if (approval.appliance_id() != plan.appliance.str()) return mismatch("appliance");
  if (approval.environment() != message_environment(plan.environment)) return mismatch("environment");
  if (approval.plan_number() != plan.number) return mismatch("plan number");
  if (approval.operation() != operation_name(plan.operation)) return mismatch("operation");
  if (approval.expires_ms() <= context.now.value) {
    return Refusal{"approval-expired", "an approval has expired", "approve the plan again"};
  }
  if (approval.policy_epoch() != context.state.registry.policy().epoch() ||
      approval.registry_epoch() != context.state.registry.epoch()) {
    return Refusal{"approval-epoch", "policy or registry changed after an approval was given", "approve the plan again"};
  }
  const auto checkpoint = own_checkpoint(approval.last_checkpoint(), context.log_key, plan.appliance);
  if (!checkpoint) {
    return Refusal{"approval-checkpoint", "an approval names a checkpoint that this appliance never signed"};
  }
  if (checkpoint->size > context.state.hsm.log_size()) {
    return Refusal{"approval-checkpoint",
                   "an approval names a later checkpoint than the HSM knows: HSM or ledger were rolled back",
                   "restore the newest HSM store and ledger before anything else is done"};
  }
  return std::nullopt;
}

const v1::Officer* officer_of(const v1::Registry& registry, const KeyId& key_id, std::optional<crypto::PublicKey>& key) {
  for (const v1::Officer& officer : registry.officers()) {
    key = crypto::PublicKey::from_point(as_bytes(officer.public_key()));
    if (key && key->key_id() == key_id) return &officer;
  }
  return nullptr;
}

std::uint32_t officers_needed(const v1::Registry& registry, Operation operation) {
  for (const v1::PolicyRule& rule : registry.policy().rules()) {
    if (rule.operation() == operation_name(operation)) return std::max<std::uint32_t>(rule.officers_needed(), 1);
  }
  return UINT32_MAX;  // what is not in the table is refused
}

}  // namespace

std::variant<std::vector<KeyId>, Refusal> check_approvals(const Plan& plan,
                                                          const std::vector<token::SignedBytes>& approvals,
                                                          const ApprovalContext& context) {
  if (auto refusal = check_plan(plan, context)) return *refusal;
  std::set<KeyId> counted;
  for (const token::SignedBytes& approval : approvals) {
    for (const token::PayloadSignature& signature : approval.signatures) {
      std::optional<crypto::PublicKey> key;
      const v1::Officer* officer = officer_of(context.state.registry, signature.key_id, key);
      if (officer == nullptr) return Refusal{"approval-officer", "an approval is by a key of no officer"};
      if (officer->disabled() || officer->role() != v1::OFFICER_ROLE_OFFICER) {
        return Refusal{"approval-officer", fmt::format("person {} may not approve", officer->number())};
      }
      if (!crypto::verify(*key, crypto::SignatureKind::Approval, approval.payload, signature.signature)) {
        return Refusal{"approval-signature", fmt::format("the signature of officer {} does not verify", officer->number())};
      }
      v1::Approval content;
      if (!content.ParseFromArray(approval.payload.data(), static_cast<int>(approval.payload.size()))) {
        return Refusal{"approval-malformed", "an approval does not parse"};
      }
      if (auto refusal = check_content(content, plan, context)) return *refusal;
      if (content.officer_key_id() != signature.key_id.str()) return mismatch("officer");
      counted.insert(signature.key_id);
    }
  }
  const std::uint32_t needed = officers_needed(context.state.registry, plan.operation);
  if (needed == UINT32_MAX) {
    return Refusal{"policy-operation",
                   fmt::format("the policy in this HSM has no rule for operation {}", operation_name(plan.operation)),
                   "an appliance initialised by an older program version knows that version's operations only"};
  }
  if (counted.size() < needed) {
    return Refusal{"quorum", fmt::format("{} of {} officers have approved this plan", counted.size(), needed),
                   "have more officers approve it: keyferry-appliance plan approve FILE"};
  }
  return std::vector<KeyId>{counted.begin(), counted.end()};
}

}  // namespace keyferry::appliance
