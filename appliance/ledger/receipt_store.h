// What came home, in the ledger: containers seen, each station's log, receipts, incidents.
//
// An import goes through three states. checking: entries are verified one by one and put aside;
// nothing of it counts, and a cut or a refusal throws it away. staged: all of them hold; from here
// on it is only carried out, piece by piece, each piece together with its leaves in the appliance's
// log. final: done. Only one import is staged at a time.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "appliance/ledger/batch_states.h"
#include "appliance/ledger/batch_store.h"
#include "appliance/ledger/ledger.h"
#include "token/audit/merkle.h"
#include "wrap/base/clock.h"
#include "wrap/base/ids.h"

namespace keyferry::appliance {

struct StationLogRow {
  std::uint32_t generation = 1;
  audit::Frontier frontier = {};  // size and root with it
  Bytes head = {};                // payload of the signed v1.StationLogHead
};

/// What a receipt is held against.
struct IssuedKey {
  RecordState state = RecordState::Issued;
  std::string family = {};
  Bytes se_serial = {};
  std::string key_name = {};
  std::string device_serial = {};  // of the inventory; may be empty
  Bytes public_key = {};           // 65
  Bytes certificate_serial = {};
  Digest certificate_sha256 = {};
  Digest challenge = {};
  std::optional<crypto::PublicKey> attestation_key = std::nullopt;  // of the inventory
};

struct ImportRow {
  std::int64_t id = 0;
  ContainerId container = {};
  Digest digest = {};
  StationId station = {};
  std::uint32_t generation = 1;
  std::uint64_t from_size = 0, to_size = 0;
  std::uint64_t next_position = 0;
  Digest root = {};  // of the station's log at to_size
  std::uint32_t accepted = 0, incidents = 0;
};

struct LogEntry {
  Bytes leaf = {};       // a serialised v1.StationLeaf
  Bytes signature = {};  // 64, or empty
  Bytes attestation = {};  // at most 512; of evidence `attested`
};

struct StagedEntry {
  std::uint64_t position = 0;
  LogEntry entry = {};
  bool accept = false;  // becomes the record's receipt
  std::optional<BatchId> batch = {};
  std::uint32_t record_no = 0;
  std::optional<Digest> core_sha256 = {};
  std::string device_serial = {};  // bound by this receipt; may be empty
  std::string incident = {};       // kind; empty: none
};

struct Incident {
  std::string kind = {};     // `a-z-`
  std::string subject = {};  // ids in hex, numbers
  std::string text = {};
  Bytes evidence = {};
  std::optional<BatchId> batch = {};
  std::optional<std::uint32_t> record_no = {};
  std::optional<StationId> station = {};
};

struct IncidentRow {
  std::int64_t id = 0;
  std::string kind = {}, subject = {}, text = {};
  Digest evidence_sha256 = {};
  std::optional<BatchId> batch = {};
  UtcMillis seen = {};
};

class ReceiptStore {
 public:
  explicit ReceiptStore(Ledger& ledger) : ledger_{ledger} {}

  // --- what is known ---
  [[nodiscard]] std::optional<Digest> container_seen(const ContainerId& container);
  [[nodiscard]] std::optional<StationLogRow> station_log(const StationId& station);
  /// Leaf at `position` of the accepted log; nothing beyond its end.
  [[nodiscard]] std::optional<Bytes> station_leaf(const StationId& station,
                                                  std::uint32_t generation,
                                                  std::uint64_t position);
  /// Nothing unless the record's segment is sealed.
  [[nodiscard]] std::optional<IssuedKey> issued_key(const BatchId& batch, RecordNo record);
  /// SHA-256 of the core of the record's receipt, accepted or about to be (import that is being
  /// checked).
  [[nodiscard]] std::optional<Digest> receipt_core(const BatchId& batch,
                                                   RecordNo record,
                                                   std::int64_t import);
  /// Record whose accepted receipt (or the one that this import accepts) stands at that position.
  [[nodiscard]] bool accepted_at(const StationId& station,
                                 std::uint32_t generation,
                                 std::uint64_t position,
                                 std::int64_t import);
  /// True when another SE of that key name bears this device serial already, or will by this
  /// import.
  [[nodiscard]] bool device_serial_taken(const std::string& device_serial,
                                         const std::string& key_name,
                                         const BatchId& batch,
                                         RecordNo record,
                                         std::int64_t import);
  [[nodiscard]] std::optional<LogEntry> staged_entry(std::int64_t import, std::uint64_t position);

  // --- one import ---
  /// Throws away what an earlier run left in state `checking`; a new import in that state.
  [[nodiscard]] std::int64_t begin(const ImportRow& import, ByteView head, UtcMillis now);
  void discard_checking();
  /// Inside the caller's transaction.
  void stage_in(std::int64_t import, const StagedEntry& entry);
  void set_staged(std::int64_t import, const audit::Frontier& frontier);
  [[nodiscard]] std::optional<ImportRow> staged_import();

  /// Entries [next_position, ...) of a staged import, at most `max_entries`.
  [[nodiscard]] std::vector<StagedEntry> next_entries(const ImportRow& import,
                                                      std::size_t max_entries);
  /// Batches that nothing would be outstanding of once the staged import is carried out.
  [[nodiscard]] std::vector<BatchId> will_close(std::int64_t import);

  /// Carries out entries [next_position, end) of a staged import; at its end station log, container
  /// and batches too.
  static void apply_in(Ledger& ledger, std::int64_t import, std::uint64_t end, UtcMillis now);

  // --- incidents ---
  /// The same kind, subject and evidence again changes nothing.
  static void add_incident_in(store::Database& database, const Incident& incident, UtcMillis now);
  [[nodiscard]] bool incident_known(const Incident& incident);
  [[nodiscard]] std::vector<IncidentRow> incidents();  // open ones, by id
  [[nodiscard]] std::uint64_t open_incidents();

 private:
  struct LeafBlock {  // the block that was read last: overlaps are compared in order
    StationId station;
    std::uint32_t generation = 0;
    std::uint64_t first = 0;
    std::vector<Bytes> leaves;
  };

  Ledger& ledger_;
  LeafBlock block_;
};

/// The incident that a staged entry stands for.
[[nodiscard]] Incident incident_of(const StagedEntry& entry, const StationId& station);

}  // namespace keyferry::appliance
