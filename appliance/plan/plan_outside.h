// Batches under an outside CA: what a batch's plan says of it, and the plan that lets the certificates in. For plan.cpp,
// and the one check that front end and gate share.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "appliance/plan/plan.h"
#include "appliance/plan/plan_fields.h"

namespace keyferry::appliance {

/// What cannot be made under an outside CA: refusals "batch-outside-family", "batch-outside-segment", "batch-outside-time".
/// Nothing for others.
[[nodiscard]] std::optional<Refusal> check_outside(const BatchPlan& batch);

/// None unless the batch's CA is an outside one.
[[nodiscard]] std::vector<std::string> outside_sentences(const BatchPlan& batch);

[[nodiscard]] BatchCertifyPlan read_batch_certify(PlanFields& fields);
[[nodiscard]] std::string detail_text(const BatchCertifyPlan& plan);
[[nodiscard]] std::vector<std::string> detail_sentences(const BatchCertifyPlan& plan);
[[nodiscard]] std::string detail_subject(const BatchCertifyPlan& plan);

}  // namespace keyferry::appliance
