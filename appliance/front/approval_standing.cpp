#include "appliance/front/approval_standing.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "appliance/front/context.h"
#include "appliance/front/hsm_backup.h"
#include "keyferry/v1/governance.pb.h"
#include "token/signed_bytes.h"
#include "wrap/base/error.h"

namespace keyferry::appliance {
namespace {

/// Why this approval does not count; empty when it does. `number`: whose it is.
std::string why_void(const token::SignedBytes& approval,
                     const Plan& plan,
                     const DecidingFacts& deciding,
                     UtcMillis now,
                     std::uint32_t& number) {
  if (approval.signatures.size() != 1) return "an approval has several signatures";
  const token::PayloadSignature& signature = approval.signatures.front();
  const KnownOfficer* officer = deciding.registry.person_of_key(signature.key_id);
  if (officer == nullptr) return "an approval is by a key of no officer";
  number = officer->number;
  const auto key = crypto::PublicKey::from_point(officer->public_key);
  if (!key || key->key_id() != signature.key_id) {
    return fmt::format("officer {} approved with a key that was replaced since", number);
  }
  if (officer->role != operation_row(plan.operation).who) {
    return fmt::format("person {} ({}) may not approve", number, role_name(officer->role));
  }
  if (officer->disabled) return fmt::format("officer {} is disabled", number);
  v1::Approval content;
  if (!crypto::verify(*key, crypto::SignatureKind::Approval, approval.payload, signature.signature) ||
      !content.ParseFromArray(approval.payload.data(), static_cast<int>(approval.payload.size()))) {
    return fmt::format("officer {}'s approval does not verify", number);
  }
  if (content.digest() != plan.digest.str())
    return fmt::format("officer {} approved another plan", number);
  if (content.policy_epoch() != deciding.facts.policy_epoch ||
      content.registry_epoch() != deciding.facts.registry_epoch) {
    return fmt::format("policy or registry changed after officer {} approved", number);
  }
  if (content.expires_ms() <= now.value) return fmt::format("officer {}'s approval has expired", number);
  return {};
}

}  // namespace

DecidingFacts deciding_facts(Context& context, Operation operation) {
  if (operation == Operation::HsmAdoptState) return adoption_facts(context);
  DecidingFacts deciding{context.ledger().registry(), {}, context.appliance_id()};
  deciding.facts = {deciding.registry.policy_epoch, deciding.registry.epoch, {}};
  if (const auto newest = context.ledger().newest_checkpoint())
    deciding.facts.last_checkpoint = newest->note;
  return deciding;
}

ApprovalStanding approval_standing(Context& context,
                                   const Plan& plan,
                                   const std::vector<Bytes>& approvals) {
  const DecidingFacts deciding = deciding_facts(context, plan.operation);
  ApprovalStanding standing{deciding.registry.officers_needed(plan.operation), {}, {}, {}};
  for (const Bytes& octets : approvals) {
    const auto parsed = token::parse_signed_bytes(octets);
    const auto* approval = std::get_if<token::SignedBytes>(&parsed);
    std::uint32_t number = 0;
    const std::string problem =
        approval == nullptr ? "an approval is damaged"
                            : why_void(*approval, plan, deciding, context.clock().now(), number);
    if (!problem.empty()) {
      standing.void_ones.push_back(problem);
    } else if (std::ranges::find(standing.officers, number) == standing.officers.end()) {
      standing.officers.push_back(number);
      standing.counting.push_back(octets);
    }
  }
  std::ranges::sort(standing.officers);
  return standing;
}

std::vector<std::string> standing_lines(const ApprovalStanding& standing) {
  std::vector<std::string> lines{
      standing.needed ? fmt::format("approvals {} of {}{}",
                                    standing.officers.size(),
                                    *standing.needed,
                                    standing.officers.empty()
                                        ? ""
                                        : fmt::format(" (officer {})", fmt::join(standing.officers, ", ")))
                      : std::string{"approvals: the policy has no rule for this operation"}};
  for (const std::string& problem : standing.void_ones) lines.push_back("does not count: " + problem);
  return lines;
}

Json standing_json(const ApprovalStanding& standing) {
  return Json{{"given", standing.officers.size()},
              {"needed", standing.needed.value_or(0)},
              {"officers", standing.officers},
              {"void", standing.void_ones}};
}

}  // namespace keyferry::appliance
