// Plans and their approvals as octets, and the batch row that an approved batch plan gets.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "appliance/ledger/inventory_store.h"
#include "appliance/ledger/ledger.h"
#include "appliance/plan/plan.h"
#include "wrap/base/clock.h"

namespace keyferry::appliance {

enum class PlanState { Made, Approved, Run };

struct StoredPlan {
  Digest digest;
  std::uint64_t number = 0;
  std::string operation;
  Bytes octets;
  PlanState state = PlanState::Made;
};

class PlanStore {
 public:
  explicit PlanStore(Ledger& ledger) : ledger_{ledger} {}

  /// Keeps a plan; the same octets again change nothing. A batch plan gets its batch row
  /// (`planned`) too.
  void keep(const Plan& plan, std::optional<ListId> list, UtcMillis now);

  [[nodiscard]] std::optional<StoredPlan> find(const Digest& digest);
  [[nodiscard]] std::optional<StoredPlan> find_batch(const BatchId& batch);

  /// Replaces an earlier approval by the same officer; state made becomes approved (batch: planned
  /// becomes approved).
  void approve(const Digest& digest, const KeyId& officer, ByteView signed_bytes, UtcMillis now);

  /// Encoded token::SignedBytes, ordered by officer.
  [[nodiscard]] std::vector<Bytes> approvals(const Digest& digest);

  /// Octets of the plans of that operation that were run, oldest first.
  [[nodiscard]] std::vector<Bytes> run_plans(Operation operation);

  /// Highest number of a plan that was run, and of any that was kept; 0 when there is none. The
  /// gate runs plans in the order of their numbers only.
  [[nodiscard]] std::uint64_t highest_run_number();
  [[nodiscard]] std::uint64_t highest_number();

 private:
  Ledger& ledger_;
};

/// `plan-run`: data = 32-octet digest, then an optional further action (u16be length, name, data).
void register_plan_actions(Ledger& ledger);
[[nodiscard]] Action plan_run_action(const Digest& digest,
                                     const std::optional<Action>& further = std::nullopt);

}  // namespace keyferry::appliance
