// se-prepare: an order to a secure room to make blank ATECC608 chips ready. For plan.cpp.
#pragma once

#include <string>
#include <vector>

#include "appliance/plan/plan.h"
#include "appliance/plan/plan_fields.h"

namespace keyferry::appliance {

[[nodiscard]] SePreparePlan read_se_prepare(PlanFields& fields);
[[nodiscard]] std::string detail_text(const SePreparePlan& plan);
[[nodiscard]] std::vector<std::string> detail_sentences(const SePreparePlan& plan);
[[nodiscard]] std::string detail_subject(const SePreparePlan& plan);

}  // namespace keyferry::appliance
