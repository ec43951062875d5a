// `ceremony init PLAN.toml`: what an appliance shall become, expanded into the built-in script of its initialization.
// The script follows from the plan alone: the one that is rehearsed is the one that is run.
#pragma once

#include <string>

#include "wrap/base/bytes.h"

namespace keyferry::ceremony {

inline constexpr std::size_t kMaxPlanFileBytes = 64 * 1024;

/// True for a TOML file that says "initialization = 1".
[[nodiscard]] bool is_initialization(ByteView octets);

/// The script's octets. Error{Usage} as parse_script: unknown fields, too few people for the numbers that the plan
/// names, environment production without a hardware HSM, shares of the PINs and two officers.
[[nodiscard]] Bytes expand_initialization(ByteView octets, const std::string& origin);

}  // namespace keyferry::ceremony
