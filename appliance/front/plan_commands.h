// `plan check | show | approve | run FILE`.
#pragma once

#include <filesystem>
#include <optional>

#include "appliance/front/plan_check.h"
#include "appliance/plan/plan.h"

namespace keyferry::appliance {

class Context;

/// Reads and parses; Error{Refused} with the parser's reason.
[[nodiscard]] Plan read_plan(const std::filesystem::path& file);

/// "FILE.approval", or "FILE.approval-N" of officer N where several are needed: encoded
/// token::SignedBytes of that officer's approval, for an appliance that has not seen it yet.
[[nodiscard]] std::filesystem::path approval_file(const std::filesystem::path& plan_file,
                                                  std::uint32_t needed,
                                                  std::uint32_t officer);

/// Sentences, digest as hex and as sixteen words, the batch id, how many officers have approved it,
/// and what `check` (if any) found.
void print_plan(Context& context,
                const Plan& plan,
                const std::optional<PlanCheck>& check,
                const std::filesystem::path& file);

int plan_show(Context& context, const std::filesystem::path& file);
int plan_check(Context& context, const std::filesystem::path& file);
int plan_approve(Context& context, const std::filesystem::path& file);
int plan_run(Context& context, const std::filesystem::path& file);

}  // namespace keyferry::appliance
