// How batches, stations and records end by quorum: what a plan binds, and what is done when it has happened.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "appliance/ledger/batch_store.h"
#include "appliance/ledger/ledger.h"
#include "appliance/plan/plan.h"
#include "wrap/base/clock.h"

namespace keyferry::appliance {

/// A record with a certificate that has not ended.
struct OutstandingRecord {
  BatchId batch = {};
  std::uint32_t record_no = 0;
  std::string family = {};
  Bytes se_serial = {};
  std::string key_name = {};
  Bytes certificate_serial = {};  // 16
  Digest certificate_sha256 = {};
  Bytes outside_serial = {};  // under an outside CA: the serial that certificate_serial stands for
};

/// Where a record stands, for quarantine-release.
struct ReleasableRecord {
  RecordState state = RecordState::Issued;
  bool released = false;  // its SE has a higher generation already
  std::string family = {};
  Bytes se_serial = {};
  bool scrapped = false;  // the SE is no more
  bool replaced = false;  // its device has another SE
};

class EndsStore {
 public:
  explicit EndsStore(Ledger& ledger) : ledger_{ledger} {}

  /// Outstanding records of these batches in the order of batch id and record number, in constant memory.
  void visit(std::vector<BatchId> batches, const std::function<void(const OutstandingRecord&)>& visit);

  /// The same as a plan binds them (plan.h, RecordSet).
  [[nodiscard]] RecordSet outstanding(const std::vector<BatchId>& batches);

  /// Batches of a station that have started and are not closed, by id.
  [[nodiscard]] std::vector<BatchId> open_batches(const StationId& station);

  [[nodiscard]] std::optional<ReleasableRecord> releasable(const BatchId& batch, RecordNo record);

  /// Notes that these SEs lie here; false for one that is neither quarantined nor returned.
  [[nodiscard]] bool note_in_hand(const BatchId& batch, RecordNo record, UtcMillis now);
  /// Quarantined and returned records of a batch whose SE is in hand.
  [[nodiscard]] std::uint64_t in_hand(const BatchId& batch);

 private:
  Ledger& ledger_;
};

/// Outstanding records are revoked, prepared parts dropped, the rest of the list never left; the batch is closed.
void close_batch_in(store::Database& database, const BatchId& batch, BatchEvent event, UtcMillis now);

/// `batches-closed`, `station-retired`, `quarantine-released`.
void register_end_actions(Ledger& ledger);
[[nodiscard]] Action batches_closed_action(const std::vector<BatchId>& batches, UtcMillis now);
/// Its open batches are closed as above, the SEs of what was revoked may get a new record, and the end of its log is
/// an incident.
[[nodiscard]] Action station_retired_action(const StationRetirePlan& plan, UtcMillis now);
[[nodiscard]] Action quarantine_released_action(const BatchId& batch, RecordNo record, const std::string& reason,
                                                 UtcMillis now);
/// Quarantined and returned records of a batch whose SE was scrapped.
[[nodiscard]] std::uint64_t scrapped_in(Ledger& ledger, const BatchId& batch);

}  // namespace keyferry::appliance
