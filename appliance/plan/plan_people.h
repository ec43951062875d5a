// Details of the plans on persons, policy, PINs, clock and overrides: reading, text, sentences,
// subject. For plan.cpp alone.
#pragma once

#include <string>
#include <vector>

#include "appliance/plan/plan.h"
#include "appliance/plan/plan_fields.h"

namespace keyferry::appliance {

[[nodiscard]] OfficerAddPlan read_officer_add(PlanFields& fields);
[[nodiscard]] OfficerReplacePlan read_officer_replace(PlanFields& fields);
[[nodiscard]] OfficerDisablePlan read_officer_disable(PlanFields& fields);
[[nodiscard]] PolicyChangePlan read_policy_change(PlanFields& fields);
[[nodiscard]] HsmPinChangePlan read_pin_change(PlanFields& fields);
[[nodiscard]] ClockSetPlan read_clock_set(PlanFields& fields);
[[nodiscard]] InsecureAllowPlan read_insecure_allow(PlanFields& fields);

[[nodiscard]] std::string detail_text(const OfficerAddPlan& plan);
[[nodiscard]] std::string detail_text(const OfficerReplacePlan& plan);
[[nodiscard]] std::string detail_text(const OfficerDisablePlan& plan);
[[nodiscard]] std::string detail_text(const PolicyChangePlan& plan);
[[nodiscard]] std::string detail_text(const HsmPinChangePlan& plan);
[[nodiscard]] std::string detail_text(const ClockSetPlan& plan);
[[nodiscard]] std::string detail_text(const InsecureAllowPlan& plan);

[[nodiscard]] std::vector<std::string> detail_sentences(const OfficerAddPlan& plan);
[[nodiscard]] std::vector<std::string> detail_sentences(const OfficerReplacePlan& plan);
[[nodiscard]] std::vector<std::string> detail_sentences(const OfficerDisablePlan& plan);
[[nodiscard]] std::vector<std::string> detail_sentences(const PolicyChangePlan& plan);
[[nodiscard]] std::vector<std::string> detail_sentences(const HsmPinChangePlan& plan);
[[nodiscard]] std::vector<std::string> detail_sentences(const ClockSetPlan& plan);
[[nodiscard]] std::vector<std::string> detail_sentences(const InsecureAllowPlan& plan);

[[nodiscard]] std::string detail_subject(const OfficerAddPlan& plan);
[[nodiscard]] std::string detail_subject(const OfficerReplacePlan& plan);
[[nodiscard]] std::string detail_subject(const OfficerDisablePlan& plan);
[[nodiscard]] std::string detail_subject(const PolicyChangePlan& plan);
[[nodiscard]] std::string detail_subject(const HsmPinChangePlan& plan);
[[nodiscard]] std::string detail_subject(const ClockSetPlan& plan);
[[nodiscard]] std::string detail_subject(const InsecureAllowPlan& plan);

}  // namespace keyferry::appliance
