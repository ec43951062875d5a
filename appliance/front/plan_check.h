// `plan check`: everything about a plan that can be known before the first key is made (I9):
// number, expiry, environment, appliance, outside files, station, CA, template, each SE, the list's
// root, room on the disk.
#pragma once

#include <filesystem>
#include <optional>
#include <vector>

#include "appliance/ledger/inventory_store.h"
#include "appliance/plan/plan.h"
#include "wrap/base/error.h"

namespace keyferry::appliance {

class Context;

struct PlanCheck {
  std::vector<Refusal> refusals;    // empty: the plan can be run
  std::uint64_t more_refusals = 0;  // about SEs, beyond the ones listed
  std::optional<ListId> list;       // batch plans: where its SEs are
  std::size_t max_certificate_bytes = 0;  // batch plans: what its template can give at most
  std::vector<Digest> segment_roots;  // batch plans: RFC 6962 root of each segment's entries, as checked
};

/// `folder`: where outside files are looked for (the plan file's folder).
[[nodiscard]] PlanCheck check_plan(Context& context,
                                   const Plan& plan,
                                   const std::filesystem::path& folder);

/// Octets that a batch of `records` may take below the home, an estimate upwards.
[[nodiscard]] std::uint64_t batch_room_bytes(std::uint64_t records);

}  // namespace keyferry::appliance
