// Who may do what (I6): one table over all operations, one over the roles of people. The gate checks by it, `policy
// show` prints it, a test walks it. How many officers an operation needs on one appliance stands in that appliance's
// own policy, whose digest is in the HSM; the table says what such a policy may never fall below.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "appliance/plan/plan.h"
#include "wrap/base/error.h"

namespace keyferry::appliance {

/// How many officers, beside N (officers that are enabled) and M (what the everyday operations need).
enum class QuorumClass {
  Single,  // one officer: it only stops something, and stopping must not wait
  Quorum,  // M
  Higher,  // M + 1, at most N: it changes who decides or what is checked, or ends something for good
};

/// Of the appliance: its HSM works, or it was restored from a backup and has not taken over yet.
enum class ApplianceState { Operating, Restored };

enum class PersonRole { Officer, Custodian, Technician, LineLead, Auditor, Witness };

/// "officer", "custodian", "technician", "line-lead", "auditor", "witness".
[[nodiscard]] std::string_view role_name(PersonRole role);
[[nodiscard]] std::optional<PersonRole> role_from_name(std::string_view name);

struct OperationRow {
  Operation operation{};
  QuorumClass quorum = QuorumClass::Quorum;
  PersonRole who = PersonRole::Officer;  // whose approvals count
  ApplianceState state = ApplianceState::Operating;
  bool development = true, rehearsal = true, production = true;

  [[nodiscard]] constexpr bool allowed_in(Environment environment) const {
    switch (environment) {
      case Environment::Development:
        return development;
      case Environment::Rehearsal:
        return rehearsal;
      case Environment::Production:
        return production;
    }
    return false;
  }
};

// officer-replace and officer-disable are of class Quorum: with one key lost, M officers must be able to act at once,
// and M + 1 may be more than are left. hsm-adopt-state too: in a restored HSM no officer can be replaced first, and
// custodians have opened the backup already. A batch's approval also covers its first export. Every operation is for
// every environment: what is rehearsed is what is done.
inline constexpr std::array kOperationTable{
    OperationRow{.operation = Operation::SourceAdd},
    OperationRow{.operation = Operation::TransportMasterCreate},
    OperationRow{.operation = Operation::SeImport},
    OperationRow{.operation = Operation::StationEnroll},
    OperationRow{.operation = Operation::CaCreate},
    OperationRow{.operation = Operation::CaRequest},
    OperationRow{.operation = Operation::CaInstall},
    OperationRow{.operation = Operation::CaImport},
    OperationRow{.operation = Operation::Batch},
    OperationRow{.operation = Operation::BatchReexport},
    OperationRow{.operation = Operation::TransportMasterImport},
    OperationRow{.operation = Operation::VendorKeyImport},
    OperationRow{.operation = Operation::VendorKeyCreate},
    OperationRow{.operation = Operation::HsmBackup},
    OperationRow{.operation = Operation::HsmAdoptState, .state = ApplianceState::Restored},
    OperationRow{.operation = Operation::OfficerAdd, .quorum = QuorumClass::Higher},
    OperationRow{.operation = Operation::OfficerReplace},
    OperationRow{.operation = Operation::OfficerDisable},
    OperationRow{.operation = Operation::PolicyChange, .quorum = QuorumClass::Higher},
    OperationRow{.operation = Operation::HsmPinChange, .quorum = QuorumClass::Higher},
    OperationRow{.operation = Operation::BatchSuspend, .quorum = QuorumClass::Single},
    OperationRow{.operation = Operation::BatchResume},
    OperationRow{.operation = Operation::BatchClose},
    OperationRow{.operation = Operation::TokenLost},
    OperationRow{.operation = Operation::QuarantineRelease},
    OperationRow{.operation = Operation::CrlIssue},
    OperationRow{.operation = Operation::StationRetire},
    OperationRow{.operation = Operation::CaRetire},
    OperationRow{.operation = Operation::HsmDestroyKey, .quorum = QuorumClass::Higher},
    OperationRow{.operation = Operation::ClockSet, .quorum = QuorumClass::Higher},
    OperationRow{.operation = Operation::InsecureAllow, .quorum = QuorumClass::Higher},
    OperationRow{.operation = Operation::FamilyEnable},
    OperationRow{.operation = Operation::SePrepare},
    OperationRow{.operation = Operation::DeviceRevoke},
    OperationRow{.operation = Operation::DeviceScrap},
    OperationRow{.operation = Operation::DeviceRework},
    OperationRow{.operation = Operation::DeviceRma},
    OperationRow{.operation = Operation::BatchCertify},
    OperationRow{.operation = Operation::CaRevoke},
    OperationRow{.operation = Operation::CrlImport},
};

namespace policy_detail {

constexpr bool has_every_operation_in_order() {
  for (std::size_t i = 0; i < kOperationTable.size(); ++i) {
    if (static_cast<std::size_t>(kOperationTable[i].operation) != i) return false;
  }
  return static_cast<std::size_t>(Operation::CrlImport) + 1 == kOperationTable.size();
}

}  // namespace policy_detail

static_assert(policy_detail::has_every_operation_in_order(), "an operation without a row can be done by nobody");

[[nodiscard]] constexpr const OperationRow& operation_row(Operation operation) {
  return kOperationTable[static_cast<std::size_t>(operation)];
}

/// What a person of a role may do. One person has one role: a number and a key stand once in the registry.
struct RoleRow {
  PersonRole role{};
  bool approves = false;         // plans
  bool holds_share = false;      // of PINs and of kf-backup; parts of imported keys
  bool witnesses = false;        // signs a ceremony's transcript, nothing else
  bool receives_tokens = false;  // and signs for their custody
  bool reads = false;            // reports and evidence
};

inline constexpr std::array kRoleTable{
    // Holds a share only where the registry has no custodian.
    RoleRow{.role = PersonRole::Officer, .approves = true, .holds_share = true, .receives_tokens = true, .reads = true},
    RoleRow{.role = PersonRole::Custodian, .holds_share = true},
    RoleRow{.role = PersonRole::Technician, .receives_tokens = true},
    RoleRow{.role = PersonRole::LineLead, .receives_tokens = true, .reads = true},
    RoleRow{.role = PersonRole::Auditor, .reads = true},
    RoleRow{.role = PersonRole::Witness, .witnesses = true},
};

[[nodiscard]] constexpr const RoleRow& role_row(PersonRole role) {
  return kRoleTable[static_cast<std::size_t>(role)];
}

using PolicyRules = std::vector<PolicyChangePlan::Rule>;

/// Rules for every operation, in the table's order. officers: N, 1 or more; needed: M, 1 to N.
/// With one officer everything needs one.
[[nodiscard]] PolicyRules default_policy(std::uint32_t officers, std::uint32_t needed);

/// How many officers `operation` needs by `rules`; nothing when it has no rule and so cannot be done. policy-change
/// alone needs no rule (a registry of an older program version has none): one more than the highest rule, at most
/// `officers`.
[[nodiscard]] std::optional<std::uint32_t> officers_needed(const PolicyRules& rules,
                                                           Operation operation,
                                                           std::uint32_t officers);

/// May `rules` be the policy of an appliance with `officers` enabled officers? Reasons: policy-single, policy-higher,
/// policy-production (fewer than 2 in production), policy-officers (more than there are).
[[nodiscard]] std::optional<Refusal> check_policy(const PolicyRules& rules,
                                                  std::uint32_t officers,
                                                  Environment environment);

/// The highest number in `rules`; 0 without any.
[[nodiscard]] std::uint32_t highest_rule(const PolicyRules& rules);

/// "one officer", "M", "M + 1"
[[nodiscard]] std::string_view quorum_name(QuorumClass quorum);
[[nodiscard]] std::string_view state_name(ApplianceState state);

}  // namespace keyferry::appliance
