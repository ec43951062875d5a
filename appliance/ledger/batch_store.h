// Batches in the ledger: their states, sealed segments and manifests, records, exports to tokens.
// What came home is in receipt_store.h, sums are in reconcile_store.h.
//
// Functions named *_in run inside the caller's transaction: they are steps of something larger that
// becomes durable as one. All others open a transaction of their own and are durable when they
// return.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "appliance/ledger/batch_states.h"
#include "appliance/ledger/inventory_store.h"
#include "appliance/ledger/ledger.h"
#include "appliance/ledger/seen_values.h"
#include "wrap/base/clock.h"
#include "wrap/base/ids.h"

namespace keyferry::appliance {

struct BatchRow {
  BatchId id = {};
  Digest plan_digest = {};
  BatchState state = BatchState::Planned;
  ListId list = {};
  std::string site = {}, customer = {};
  StationId station = {};
  std::string authority = {};
  std::uint32_t se_count = 0, target_count = 0;
  std::uint32_t segment_count = 0, segment_size = 0;
  UtcMillis due = {}, made = {};
  std::optional<UtcMillis> started = {}, closed = {};
};

enum class SealState { Prepared, Sealed };

/// One container of a batch: a segment, or the manifest.
struct SealedPart {
  std::optional<SegmentIndex> index = {};  // nothing: the manifest
  SealState state = SealState::Prepared;
  std::uint32_t count = 0;  // records; segments for the manifest
  ContainerId container = {};
  Digest digest = {};                 // what the trailer signs
  std::uint64_t body_size_bytes = 0;  // without the trailer
  std::uint64_t first_leaf = 0;
  bool waiting = false;  // a waiting container of a batch under an outside CA (outside_store.h)
};

struct RecordRow {
  RecordNo record_no = {};
  SeId se = {};
  std::uint32_t generation = 1;
  Bytes public_key = {};          // 65
  Bytes certificate_serial = {};  // 16
  Digest certificate_sha256 = {};
  Digest challenge = {};
  Bytes nonce_id = {};  // 16, atecc608 only: once in history
  Bytes outside_serial = {};  // under an outside CA, 1 to 20: the serial that certificate_serial stands for
};

struct ExportRow {
  TokenId token = {};
  std::string state = {};  // "begun", "writing", "done"
  Bytes token_card = {};   // encoded token::SignedBytes; empty until the gate has given it
};

class BatchStore {
 public:
  explicit BatchStore(Ledger& ledger) : ledger_{ledger} {}

  // --- batches ---
  [[nodiscard]] std::optional<BatchRow> find(const BatchId& batch);
  [[nodiscard]] std::vector<BatchRow> all();  // by time made, then id
  /// `text`: 32 hex digits, or the first 4 or more of them when only one batch begins so. Refusal
  /// "batch-unknown", "batch-ambiguous".
  [[nodiscard]] std::variant<BatchRow, Refusal> resolve(std::string_view text);
  /// By the table; Error{Internal} for what it does not allow.
  void advance(const BatchId& batch, BatchEvent event, UtcMillis now);
  static void advance_in(store::Database& database,
                         const BatchId& batch,
                         BatchEvent event,
                         UtcMillis now);

  /// An SE of the list that another batch has a live key for, or may be making one for: text for
  /// people.
  [[nodiscard]] std::optional<std::string> conflict(const BatchRow& batch);

  // --- segments and manifest ---
  [[nodiscard]] std::vector<SealedPart> segments(const BatchId& batch);  // by index
  [[nodiscard]] std::optional<SealedPart> manifest(const BatchId& batch);
  /// One transaction: the part, its records (segments only) and its log leaves as the pending
  /// block. Returns the first leaf's index. Error{Refused} when an SE has a live key or a key or
  /// serial was there before.
  std::uint64_t prepare(const BatchId& batch,
                        const SealedPart& part,
                        const std::vector<RecordRow>& records,
                        const std::vector<Bytes>& leaves);
  /// One transaction: the part is sealed, its leaves are final under `checkpoint` (empty: they are
  /// already).
  void seal(const BatchId& batch,
            const SealedPart& part,
            ByteView trailer,
            const std::string& checkpoint);
  /// A prepared part that never was sealed, with its records.
  void drop_prepared(const BatchId& batch, const SealedPart& part);

  struct PreparedPart {
    BatchId batch;
    SealedPart part;
  };

  [[nodiscard]] std::vector<PreparedPart> prepared();  // waiting containers too

  // --- records ---
  /// Hashes of the certificates of one segment, by record number.
  [[nodiscard]] std::vector<Digest> certificate_hashes(const BatchId& batch, SegmentIndex segment);
  [[nodiscard]] std::uint64_t sealed_records(const BatchId& batch);

  // --- exports ---
  [[nodiscard]] std::vector<ExportRow> exports(const BatchId& batch);  // by time begun, then token
  static void begin_export_in(store::Database& database,
                              const BatchId& batch,
                              const TokenId& token,
                              UtcMillis now);
  void keep_token_card(const BatchId& batch, const TokenId& token, ByteView card);
  void set_export_state(const BatchId& batch,
                        const TokenId& token,
                        const std::string& state,
                        UtcMillis now);

 private:
  Ledger& ledger_;
  std::optional<SeenValues> seen_;  // once prepare() was called
};

}  // namespace keyferry::appliance
