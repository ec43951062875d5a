// Details of the plans that revoke a CA's own certificate or take in an outside CA's CRL: reading, text, sentences,
// subject. For plan.cpp alone.
#pragma once

#include <string>
#include <vector>

#include "appliance/plan/plan.h"
#include "appliance/plan/plan_fields.h"

namespace keyferry::appliance {

[[nodiscard]] CaRevokePlan read_ca_revoke(PlanFields& fields);
[[nodiscard]] CrlImportPlan read_crl_import(PlanFields& fields);

[[nodiscard]] std::string detail_text(const CaRevokePlan& plan);
[[nodiscard]] std::string detail_text(const CrlImportPlan& plan);

[[nodiscard]] std::vector<std::string> detail_sentences(const CaRevokePlan& plan);
[[nodiscard]] std::vector<std::string> detail_sentences(const CrlImportPlan& plan);

[[nodiscard]] std::string detail_subject(const CaRevokePlan& plan);
[[nodiscard]] std::string detail_subject(const CrlImportPlan& plan);

}  // namespace keyferry::appliance
