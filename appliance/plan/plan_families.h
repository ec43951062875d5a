// What plans say of families beside pkcs11: the table [atecc608] of a batch, and family-enable. For
// plan.cpp, and for `plan new`, which reads such a table out of a file of its own.
#pragma once

#include <string>
#include <vector>

#include "appliance/plan/plan.h"
#include "appliance/plan/plan_fields.h"

namespace keyferry::appliance {

/// The table [atecc608] of `fields`, which may be at any section; what se::check_profile refuses is
/// refused with its own reason.
[[nodiscard]] se::Atecc608Profile read_atecc608(PlanFields& fields);
/// That table with its head; read_atecc608 gives the same profile again.
[[nodiscard]] std::string atecc608_text(const se::Atecc608Profile& profile);
[[nodiscard]] std::vector<std::string> atecc608_sentences(const se::Atecc608Profile& profile);

/// A file that holds exactly that table. Refusals as parse_plan.
[[nodiscard]] std::variant<se::Atecc608Profile, Refusal> parse_atecc608_profile(ByteView octets);

/// Reason batch-firmware: the batch asks for a firmware check, and its SEs have no key for it.
[[nodiscard]] std::optional<Refusal> check_firmware(const BatchPlan& batch);

[[nodiscard]] FamilyEnablePlan read_family_enable(PlanFields& fields);
[[nodiscard]] std::string detail_text(const FamilyEnablePlan& plan);
[[nodiscard]] std::vector<std::string> detail_sentences(const FamilyEnablePlan& plan);
[[nodiscard]] std::string detail_subject(const FamilyEnablePlan& plan);

}  // namespace keyferry::appliance
