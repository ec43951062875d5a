// Details of the plans about one device: reading, text, sentences, subject. For plan.cpp alone.
#pragma once

#include <string>
#include <vector>

#include "appliance/plan/plan.h"
#include "appliance/plan/plan_fields.h"

namespace keyferry::appliance {

[[nodiscard]] DeviceRevokePlan read_device_revoke(PlanFields& fields);
[[nodiscard]] DeviceScrapPlan read_device_scrap(PlanFields& fields);
[[nodiscard]] DeviceReworkPlan read_device_rework(PlanFields& fields);
[[nodiscard]] DeviceRmaPlan read_device_rma(PlanFields& fields);

[[nodiscard]] std::string detail_text(const DeviceRevokePlan& plan);
[[nodiscard]] std::string detail_text(const DeviceScrapPlan& plan);
[[nodiscard]] std::string detail_text(const DeviceReworkPlan& plan);
[[nodiscard]] std::string detail_text(const DeviceRmaPlan& plan);

[[nodiscard]] std::vector<std::string> detail_sentences(const DeviceRevokePlan& plan);
[[nodiscard]] std::vector<std::string> detail_sentences(const DeviceScrapPlan& plan);
[[nodiscard]] std::vector<std::string> detail_sentences(const DeviceReworkPlan& plan);
[[nodiscard]] std::vector<std::string> detail_sentences(const DeviceRmaPlan& plan);

[[nodiscard]] std::string detail_subject(const DeviceRevokePlan& plan);
[[nodiscard]] std::string detail_subject(const DeviceScrapPlan& plan);
[[nodiscard]] std::string detail_subject(const DeviceReworkPlan& plan);
[[nodiscard]] std::string detail_subject(const DeviceRmaPlan& plan);

}  // namespace keyferry::appliance
