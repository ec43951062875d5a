// One part of a batch while the gate streams it: the body goes to its file as it comes, records and
// leaves are kept until the ledger takes them in one transaction. Memory: those of one segment.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "appliance/front/batch_files.h"
#include "appliance/ledger/batch_store.h"
#include "appliance/ledger/outside_store.h"

namespace keyferry::v1 {
class GateReply;
class IssuedRecord;
}

namespace keyferry::appliance {

/// Keys that wait for an outside CA, or what goes to the station.
enum class PartKind { Waiting, Final };

class PartMaker {
 public:
  /// entries: the segment's SEs in the order of the list; empty for the manifest.
  PartMaker(const std::filesystem::path& folder,
            std::optional<SegmentIndex> index,
            RecordNo first_record,
            std::vector<InventoryStore::SegmentEntry> entries,
            PartKind kind = PartKind::Final);

  /// One reply of the gate to the part's request. Error replies become the gate's Error at the next
  /// prepared().
  void take(const v1::GateReply& reply);

  /// True when the body is complete; throws what the gate answered instead.
  [[nodiscard]] bool prepared() const;

  /// Body and sealed certificates are synced, then the ledger takes part, records and leaves as
  /// prepared. Returns the part as it stands in the ledger then. Once.
  [[nodiscard]] SealedPart store_prepared(BatchStore& store, const BatchId& batch);
  /// The same for keys that wait.
  [[nodiscard]] SealedPart store_prepared(OutsideStore& store, const BatchId& batch);

 private:
  void take_record(const v1::GateReply& reply);
  void take_request(const v1::IssuedRecord& record, const InventoryStore::SegmentEntry& entry);
  void sync_files();
  [[nodiscard]] SealedPart noted(std::uint64_t first_leaf);

  PartFiles files_;
  SealedPart part_;
  RecordNo next_record_;
  std::vector<InventoryStore::SegmentEntry> entries_;
  Fd body_;
  Fd certificates_;
  std::vector<RecordRow> records_;
  std::vector<RequestRow> requests_;
  std::vector<Bytes> leaves_;
  bool prepared_ = false;
  std::optional<Error> error_;
};

}  // namespace keyferry::appliance
