// The station's SQLite store: what was loaded, what happened to it, and the station's Merkle log.
// May not be lost while records are out (a lost station is retired by quorum); a rolled back copy
// is noticed by the next manifest.
//
// Every public function is one transaction (durable when it returns) or a read. States change
// through the table of record_state.h only: a change that it does not have is Error{Internal}. What
// SQLite throws becomes Error{Storage}.
//
// Lanes share one Store: every public function may be called from any thread, one after another.
// A SegmentLoad is for one thread, while no lane runs.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "station-agent/record_state.h"
#include "token/audit/merkle.h"
#include "token/enrolment.h"
#include "token/items.h"
#include "wrap/base/clock.h"
#include "wrap/store/database.h"

namespace keyferry::token {
struct RevocationList;
}

namespace keyferry::station {

struct RecordKey {
  BatchId batch_id;
  RecordNo record_no;
  friend auto operator<=>(const RecordKey&, const RecordKey&) = default;
};

struct StationFacts {
  StationId station_id;
  std::string name;
  std::string site;
  token::Environment environment = token::Environment::Development;
  crypto::PublicKey signing_key;
  crypto::PublicKey agreement_key;
};

struct PinnedAppliance {
  ApplianceId appliance_id;
  std::string name;
  crypto::PublicKey log_key;
  crypto::PublicKey export_key;
  crypto::PublicKey inbox_key;
};

struct SeenCheckpoint {
  std::uint64_t size = 0;
  Digest root;
  std::string note;
};

struct StoredRequest {
  Bytes request;  // SignedBytes, encoded
  Digest sha256;  // of its payload
};

struct BatchFacts {
  BatchId batch_id;
  Digest manifest_digest;
  std::string site;
  std::string customer;
  token::Family family = token::Family::Pkcs11;
  std::string key_name;
  std::uint32_t se_count = 0;
  std::uint32_t target_count = 0;
  std::vector<Bytes> anchors;
  std::optional<Digest> firmware_sha256 = {};  // nothing: no firmware check
  std::optional<token::LineChecks> line_checks = {};  // nothing: a manifest of an older form
};

/// The product's Certification Declaration (Matter): public.
struct BatchDeclaration {
  Bytes cms;
  std::optional<Bytes> signer = {};  // certificate in DER; nothing: officers named none
};

struct SegmentFacts {
  token::SegmentLine line;
  bool loaded = false;
};

/// One record as the lane needs it. `payload` is empty once it is settled.
struct StoredRecord {
  token::Record record;
  BatchId batch_id;
  RecordState state = RecordState::Loaded;
  std::optional<std::uint64_t> pending_position;
  std::string reason;

  [[nodiscard]] RecordKey key() const { return {batch_id, record.record_no}; }
};

struct StateCounts {
  std::map<RecordState, std::uint64_t> by_state;

  [[nodiscard]] std::uint64_t of(RecordState state) const;
  [[nodiscard]] std::uint64_t total() const;
};

struct LogState {
  std::uint32_t generation = 1;
  audit::Frontier frontier;
};

/// Who does something at the line, for the journal.
struct Hand {
  LaneNo lane;
  std::uint32_t person_number = 0;
  std::string device_serial = {};
};

struct Incident {
  UtcMillis time;
  std::string kind;
  std::string subject;
};

struct UnloadedRange {
  std::uint32_t generation = 1;
  std::uint64_t from_size = 0;
  std::uint64_t to_size = 0;
  ContainerId container_id;
  Digest digest;
};

/// The revocation list in force.
struct RevocationState {
  std::uint64_t number = 0;
  Digest sha256;         // of its payload
  bool retired = false;  // this station itself
};

class Store {
 public:
  Store(const std::filesystem::path& path, store::Role role, const Clock& clock);

  // --- identity and enrolment (store.cpp)

  [[nodiscard]] std::optional<StationFacts> station() const;
  /// With the log's first leaf. Once.
  void set_station(const StationFacts& facts);
  [[nodiscard]] std::optional<StoredRequest> request() const;
  void set_request(const StoredRequest& request);
  [[nodiscard]] std::optional<PinnedAppliance> appliance() const;
  /// Error{Refused} when another appliance is pinned; the same one again changes nothing.
  void pin_appliance(const PinnedAppliance& appliance, ByteView answer);
  [[nodiscard]] std::optional<SeenCheckpoint> checkpoint() const;
  void set_checkpoint(const SeenCheckpoint& checkpoint);

  /// Recorded once per (kind, subject), with a leaf "incident.KIND SUBJECT". kind: `a-z-`; subject:
  /// `a-z 0-9 -`.
  void note_incident(const std::string& kind, const std::string& subject);
  [[nodiscard]] std::vector<Incident> incidents() const;
  void note_refusal(const std::string& what, const std::string& reason);
  [[nodiscard]] std::uint64_t refusals() const;

  // --- loading (store_batch.cpp)

  [[nodiscard]] std::optional<Digest> container_digest(const ContainerId& id) const;
  /// Manifest, its segments' lines and anchors, and leaf "batch.manifest HEX".
  void add_manifest(const token::Manifest& manifest, const ContainerId& id, const Digest& digest);
  [[nodiscard]] std::vector<BatchId> batches() const;  // by id
  [[nodiscard]] std::optional<BatchFacts> batch(const BatchId& id) const;
  [[nodiscard]] std::optional<BatchDeclaration> declaration(const BatchId& id) const;
  [[nodiscard]] std::vector<SegmentFacts> segments(const BatchId& id) const;  // by index

  /// One segment's records in one transaction; rolled back unless commit() was reached.
  class SegmentLoad {
   public:
    SegmentLoad(Store& store, const BatchId& batch_id, SegmentIndex index);

    /// Refusal "record-twice" when record number, public key, or SE with key name and generation is
    /// here already.
    [[nodiscard]] std::optional<Refusal> add(const token::Record& record);

    /// With leaf "segment.loaded HEX-INDEX".
    void commit(const ContainerId& id, const Digest& digest);

   private:
    Store& store_;
    store::WriteTransaction transaction_;
    BatchId batch_id_;
    SegmentIndex index_;
    SQLite::Statement insert_;
    Bytes last_chain_;
    Digest last_chain_sha256_;
  };

  // --- what officers revoked (store_revocations.cpp)

  [[nodiscard]] std::optional<RevocationState> revocation_state() const;
  [[nodiscard]] bool is_revoked(const BatchId& batch) const;
  /// Does the list name the batches that are revoked here? The same list signed again has another time.
  [[nodiscard]] bool same_revocations(const token::RevocationList& list) const;
  /// A list of a higher number, with leaf "revocations.list NUMBER".
  void set_revocations(const token::RevocationList& list, const Digest& sha256, bool retired);

  // --- records (store_record.cpp)

  [[nodiscard]] std::optional<StoredRecord> record(const RecordKey& key) const;
  /// For each key name of this SE the record of the highest generation, ordered by key name.
  [[nodiscard]] std::vector<StoredRecord> records_for(token::Family family,
                                                      const SeSerial& serial) const;
  /// All records of this SE, whatever their state: whose keys may be on the chip.
  [[nodiscard]] std::vector<RecordKey> all_records_for(token::Family family,
                                                       const SeSerial& serial) const;
  [[nodiscard]] std::vector<RecordKey> records_in(const BatchId& batch_id, RecordState state) const;
  /// Where in the log the core stands that settled it; nothing while it is not.
  [[nodiscard]] std::optional<std::uint64_t> settled_position(const RecordKey& key) const;
  [[nodiscard]] StateCounts counts(const BatchId& batch_id) const;
  /// Is exactly one record of the batch certified under this serial number (content of the
  /// INTEGER)?
  [[nodiscard]] bool serial_registered(const BatchId& batch_id, ByteView certificate_serial) const;
  /// Records that wait for a chip's answer: injecting or doubtful.
  [[nodiscard]] std::vector<RecordKey> unsettled() const;

  // Each is one durable step; the journal gets a line.
  void note_intent(const RecordKey& key, const Hand& hand);
  /// Injecting to Doubtful; a core that waits for its signature gets its `void` leaf.
  void note_cut_off(const RecordKey& key, const Hand& hand, const std::string& reason);
  /// FoundEmpty or FoundKey: Doubtful to Injecting.
  void note_found(const RecordKey& key, RecordEvent event, const Hand& hand);
  /// The core becomes a leaf; its position. The record must be Injecting with no other core
  /// waiting.
  std::uint64_t append_core(const RecordKey& key, ByteView core);
  /// Signature, and attestation unless it is empty, beside the waiting core: Injected.
  void store_signature(const RecordKey& key,
                       ByteView signature,
                       ByteView attestation,
                       const Hand& hand);
  /// Quarantined with this core; a waiting one is voided first.
  void quarantine(const RecordKey& key, ByteView core, const std::string& reason, const Hand& hand);
  /// Returned with this core.
  void give_back(const RecordKey& key, ByteView core, const Hand& hand);

  // --- the log (store_log.cpp)

  [[nodiscard]] LogState log_state() const;
  /// Root of the first `size` leaves; nothing when there are fewer. O(size).
  [[nodiscard]] std::optional<Digest> root_at(std::uint64_t size) const;
  /// Leaves from `from` on, in order, at most `limit`.
  [[nodiscard]] std::vector<token::ReceiptEntry> entries(std::uint64_t from,
                                                         std::uint64_t limit) const;
  /// The most that the appliance was ever seen to have of this log.
  [[nodiscard]] std::uint64_t acknowledged() const;
  [[nodiscard]] std::optional<UnloadedRange> unloaded(std::uint64_t from, std::uint64_t to) const;
  void set_unloaded(const UnloadedRange& range);

 private:
  /// One thread at a time; functions of this class call each other.
  template <typename Body>
  decltype(auto) locked(const std::string& what, Body&& body) const {
    const std::scoped_lock lock{mutex_};
    return store::guarded(what, std::forward<Body>(body));
  }

  std::uint64_t append_leaf(const token::StationLeaf& leaf);
  void append_event(const std::string& text);
  RecordState advance(const RecordKey& key,
                      RecordEvent event,
                      const Hand& hand,
                      const std::string& detail);
  void void_pending(const RecordKey& key, const std::string& reason);
  void settle(const RecordKey& key,
              RecordState state,
              std::uint64_t position,
              const std::string& reason);

  const Clock& clock_;
  mutable std::recursive_mutex mutex_;
  mutable store::Database database_;
};

}  // namespace keyferry::station
