// What the ledger does when a restored HSM takes over from a lost one (hsm-adopt-state). The ledger goes on: inventory,
// uniqueness over history, batches, receipts. The log does not: the new HSM's log begins at leaf 0 with the take-over, and
// the old one is moved aside, whole. What the lost HSM left open can never be finished, and is closed (I3).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "appliance/ledger/ledger.h"
#include "wrap/base/clock.h"

namespace keyferry::appliance {

struct OldHsm {
  std::uint32_t epoch = 0;
  ApplianceId appliance;
  std::uint64_t log_size = 0;
  std::string checkpoint;
  bool adopted = false;
};

class HsmEpochs {
 public:
  explicit HsmEpochs(Ledger& ledger) : ledger_{ledger} {}

  /// The lost HSM whose state is being adopted, or is to be: moved aside already when an earlier try was cut off, else
  /// the one of the log as it stands. Error{Storage} when the ledger has no log at all.
  [[nodiscard]] OldHsm to_adopt();
  /// Ordered by epoch.
  [[nodiscard]] std::vector<OldHsm> all();
  /// Of the HSM in use: one more than were replaced.
  [[nodiscard]] std::uint32_t current();

  /// Leaf hashes [from, to) of the log that to_adopt() tells of.
  [[nodiscard]] std::vector<Digest> old_leaf_hashes(std::uint64_t from, std::uint64_t to);
  /// Visits that log's leaves of `epoch`, in order.
  void visit_old_leaves(std::uint32_t epoch, const std::function<void(std::uint64_t, ByteView, bool)>& visit);

  struct LostBatch {
    BatchId id;
    std::string state;        // before
    std::uint64_t sealed = 0;  // records whose certificates have to be revoked
    std::uint64_t unsealed = 0;
  };
  /// Batches that only the lost HSM could have finished or exported, ordered by id.
  [[nodiscard]] std::vector<LostBatch> lost_batches();

 private:
  Ledger& ledger_;
};

/// Inside the caller's transaction: the log and its checkpoints are moved aside. Nothing when that was done before.
void move_log_aside(store::Database& database);

/// `hsm-adopted`: data = appliance id of the new HSM, then u64be milliseconds. Lost batches are closed: what was not
/// sealed is never_left, what was sealed and cannot be used any more is revoked and goes on the next CRL.
void register_epoch_actions(Ledger& ledger);
[[nodiscard]] Action hsm_adopted_action(const ApplianceId& appliance, UtcMillis now);

}  // namespace keyferry::appliance
