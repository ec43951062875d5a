// A plan as its octets say it, on a machine that is not the appliance: SHA-256 and words for the comparison, and every
// field that stands in the file. It knows no kinds of plans: what it shows does not depend on a program that could be
// mistaken about their meaning.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "wrap/base/bytes.h"
#include "wrap/base/ids.h"

namespace keyferry::audit_tool {

inline constexpr std::size_t kMaxPlanBytes = 64 * 1024;  // as the gate's
inline constexpr std::size_t kMaxFields = 4096;

struct PlanView {
  Digest digest;                                            // SHA-256 of the octets: what officers sign
  std::string words;                                        // 16 words for those 256 bits, as `plan approve` shows
  std::vector<std::pair<std::string, std::string>> fields;  // "batch.se_count", value; in the order of the file's tables
};

/// Error{Usage}: larger than kMaxPlanBytes, empty, no UTF-8 TOML, more than kMaxFields fields, or no plan at all
/// (without text "operation"). Values are printable ASCII, other characters as \xNN.
[[nodiscard]] PlanView view_plan(ByteView octets, const std::string& origin);

}  // namespace keyferry::audit_tool
