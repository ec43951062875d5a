// Delivered transport keys of a staged import: their Merkle root for the plan, then each opened in
// the HSM for its check value, which may occur once in history.
#pragma once

#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "appliance/front/csv_reader.h"
#include "appliance/front/operation.h"
#include "appliance/ledger/inventory_store.h"
#include "wrap/base/ids.h"

namespace keyferry::appliance {

/// Entries that the gate checks in one request.
inline constexpr std::uint32_t kDeliveredBlock = 1024;

struct DeliveredSet {
  std::uint64_t count = 0;
  std::vector<Digest> block_roots;  // of kDeliveredBlock entries each
  Digest root;
};

/// Nothing when no row of the import has a delivered transport key.
[[nodiscard]] std::optional<DeliveredSet> delivered_set(Context& context, ImportId import);

/// What signed rows say of their transport keys: line, ascending, and check value.
using SaidCheckValues = std::vector<std::pair<std::uint64_t, Bytes>>;

/// Opens every blob of the approved, not yet run plan and notes the check values. Tells `problem`
/// of each row whose blob does not open, whose check value was seen before, or whose signer said another one.
void check_delivered(Context& context,
                     const ApprovedPlan& approved,
                     ImportId import,
                     const DeliveredSet& delivered,
                     const SaidCheckValues& said,
                     const std::function<void(const CsvProblem&)>& problem);

}  // namespace keyferry::appliance
