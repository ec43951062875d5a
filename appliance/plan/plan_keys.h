// Details of the plans that make, import, back up or take over keys of the HSM: reading, text, sentences, subject. For
// plan.cpp alone.
#pragma once

#include <string>
#include <vector>

#include "appliance/plan/plan.h"
#include "appliance/plan/plan_fields.h"

namespace keyferry::appliance {

[[nodiscard]] TransportMasterPlan read_master(PlanFields& fields);
[[nodiscard]] TransportMasterImportPlan read_master_import(PlanFields& fields);
[[nodiscard]] VendorKeyImportPlan read_vendor_key_import(PlanFields& fields);
[[nodiscard]] VendorKeyCreatePlan read_vendor_key_create(PlanFields& fields);
[[nodiscard]] HsmBackupPlan read_backup(PlanFields& fields);
[[nodiscard]] HsmAdoptStatePlan read_adopt_state(PlanFields& fields);

[[nodiscard]] std::string detail_text(const TransportMasterPlan& plan);
[[nodiscard]] std::string detail_text(const TransportMasterImportPlan& plan);
[[nodiscard]] std::string detail_text(const VendorKeyImportPlan& plan);
[[nodiscard]] std::string detail_text(const VendorKeyCreatePlan& plan);
[[nodiscard]] std::string detail_text(const HsmBackupPlan& plan);
[[nodiscard]] std::string detail_text(const HsmAdoptStatePlan& plan);

[[nodiscard]] std::vector<std::string> detail_sentences(const TransportMasterPlan& plan);
[[nodiscard]] std::vector<std::string> detail_sentences(const TransportMasterImportPlan& plan);
[[nodiscard]] std::vector<std::string> detail_sentences(const VendorKeyImportPlan& plan);
[[nodiscard]] std::vector<std::string> detail_sentences(const VendorKeyCreatePlan& plan);
[[nodiscard]] std::vector<std::string> detail_sentences(const HsmBackupPlan& plan);
[[nodiscard]] std::vector<std::string> detail_sentences(const HsmAdoptStatePlan& plan);

[[nodiscard]] std::string detail_subject(const TransportMasterPlan& plan);
[[nodiscard]] std::string detail_subject(const TransportMasterImportPlan& plan);
[[nodiscard]] std::string detail_subject(const VendorKeyImportPlan& plan);
[[nodiscard]] std::string detail_subject(const VendorKeyCreatePlan& plan);
[[nodiscard]] std::string detail_subject(const HsmBackupPlan& plan);
[[nodiscard]] std::string detail_subject(const HsmAdoptStatePlan& plan);

}  // namespace keyferry::appliance
