// What `verify` found, as sentences for a person and as JSON for a program.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "token/audit-tool/verify.h"

namespace keyferry::audit_tool {

/// First line: whether it holds, up to when it is complete, and what is shown about later.
[[nodiscard]] std::string verification_text(const Verification& work);

/// Fields of schema keyferry.audit-verify.v1.
[[nodiscard]] nlohmann::ordered_json verification_json(const Verification& work);

}  // namespace keyferry::audit_tool
