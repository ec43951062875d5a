// Details of the plans that make, certify or take in a CA: reading, text, sentences, subject. For plan.cpp alone.
#pragma once

#include <string>
#include <vector>

#include "appliance/plan/plan.h"
#include "appliance/plan/plan_fields.h"

namespace keyferry::appliance {

[[nodiscard]] CaCreatePlan read_ca_create(PlanFields& fields);
[[nodiscard]] CaRequestPlan read_ca_request(PlanFields& fields);
[[nodiscard]] CaInstallPlan read_ca_install(PlanFields& fields);
[[nodiscard]] CaImportPlan read_ca_import(PlanFields& fields);

[[nodiscard]] std::string detail_text(const CaCreatePlan& plan);
[[nodiscard]] std::string detail_text(const CaRequestPlan& plan);
[[nodiscard]] std::string detail_text(const CaInstallPlan& plan);
[[nodiscard]] std::string detail_text(const CaImportPlan& plan);

[[nodiscard]] std::vector<std::string> detail_sentences(const CaCreatePlan& plan);
[[nodiscard]] std::vector<std::string> detail_sentences(const CaRequestPlan& plan);
[[nodiscard]] std::vector<std::string> detail_sentences(const CaInstallPlan& plan);
[[nodiscard]] std::vector<std::string> detail_sentences(const CaImportPlan& plan);

[[nodiscard]] std::string detail_subject(const CaCreatePlan& plan);
[[nodiscard]] std::string detail_subject(const CaRequestPlan& plan);
[[nodiscard]] std::string detail_subject(const CaInstallPlan& plan);
[[nodiscard]] std::string detail_subject(const CaImportPlan& plan);

}  // namespace keyferry::appliance
