// A plan's table [verify] as manifests carry it: the worker that makes a manifest and the front end
// that holds receipts against the plan must read it alike. Header only: plan links no token.
#pragma once

#include <optional>

#include "appliance/plan/plan.h"
#include "token/items.h"

namespace keyferry::appliance {

[[nodiscard]] inline std::optional<token::LineChecks> line_checks_of(const BatchPlan& plan) {
  if (!plan.verify) return std::nullopt;
  const bool now = plan.verify->chain_time == ChainTime::Now;
  return token::LineChecks{now ? token::ChainTime::Now : token::ChainTime::Issuing,
                           plan.not_before,
                           plan.verify->clock_skew_s,
                           plan.verify->secure_boot_key_sha256};
}

}  // namespace keyferry::appliance
