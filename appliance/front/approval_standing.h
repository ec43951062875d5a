// Who has approved a plan so far, as the gate would count it: for people, before the gate is asked.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "appliance/front/officer.h"
#include "appliance/front/output.h"
#include "appliance/plan/plan.h"

namespace keyferry::appliance {

struct ApprovalStanding {
  std::optional<std::uint32_t> needed;  // nothing: the policy has no rule for the operation
  std::vector<std::uint32_t> officers;  // whose approvals count, by number
  std::vector<Bytes> counting;          // encoded token::SignedBytes
  std::vector<std::string> void_ones;   // a sentence for each that does not count

  [[nodiscard]] bool enough() const { return needed && officers.size() >= *needed; }
};

/// The registry whose officers decide on `plan`, what approvals say beside it, and which appliance
/// they are for: the ledger's own, or for hsm-adopt-state what the restored backup proved.
struct DecidingFacts {
  Registry registry;
  ApprovalFacts facts;
  ApplianceId appliance;
};

[[nodiscard]] DecidingFacts deciding_facts(Context& context, Operation operation);

/// Of `approvals`, encoded token::SignedBytes each.
[[nodiscard]] ApprovalStanding approval_standing(Context& context,
                                                 const Plan& plan,
                                                 const std::vector<Bytes>& approvals);

/// "approvals 1 of 2 (officers 3)", then what does not count; and the same as JSON.
[[nodiscard]] std::vector<std::string> standing_lines(const ApprovalStanding& standing);
[[nodiscard]] Json standing_json(const ApprovalStanding& standing);

}  // namespace keyferry::appliance
