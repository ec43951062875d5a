// The table [verify] of a batch: how the four checks at the end of the line are made. Which are made
// is no choice: chain, challenge and serial always, firmware exactly where the plan names an image.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "appliance/plan/plan.h"
#include "appliance/plan/plan_fields.h"

namespace keyferry::appliance {

[[nodiscard]] std::string_view chain_time_name(ChainTime time);
[[nodiscard]] std::optional<ChainTime> chain_time_from_name(std::string_view name);

/// Nothing without that table: a plan of an older form.
[[nodiscard]] std::optional<VerifyPlan> read_verify(PlanFields& fields,
                                                    bool with_firmware);
/// That table with its head; read_verify gives the same again.
[[nodiscard]] std::string verify_text(const VerifyPlan& plan);
[[nodiscard]] std::vector<std::string> verify_sentences(const BatchPlan& plan);

}  // namespace keyferry::appliance
