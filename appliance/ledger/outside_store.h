// Batches under an outside CA in the ledger: waiting containers, the requests of their keys, and the certificates that were
// taken in for them. Records come to be when officers have approved the certificates (batch_store.h).
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "appliance/ledger/batch_store.h"

namespace keyferry::appliance {

/// One key while its segment is prepared.
struct RequestRow {
  RecordNo record_no = {};
  SeId se = {};
  std::uint32_t generation = 1;
  Bytes public_key = {};  // 65
  Digest request_sha256 = {};
  Bytes nonce_id = {};  // as RecordRow's
};

/// A key that waits, with its entry in the list.
struct WaitingKey {
  RecordNo record_no = {};
  SegmentIndex segment = {};
  Bytes public_key = {};
  Digest request_sha256 = {};
  bool has_certificate = false;
};

struct TakenCertificate {
  RecordNo record_no = {};
  Bytes der = {};
  Bytes serial_id = {};  // 16, outside_serial_id()
};

class OutsideStore {
 public:
  explicit OutsideStore(Ledger& ledger) : ledger_{ledger} {}

  // --- waiting containers: as of BatchStore ---
  [[nodiscard]] std::vector<SealedPart> segments(const BatchId& batch);  // by index
  std::uint64_t prepare(const BatchId& batch,
                        const SealedPart& part,
                        const std::vector<RequestRow>& requests,
                        const std::vector<Bytes>& leaves);
  void seal(const BatchId& batch, const SealedPart& part, ByteView trailer, const std::string& checkpoint);
  void drop_prepared(const BatchId& batch, const SealedPart& part);

  // --- requests and certificates ---
  struct Counts {
    std::uint64_t requests = 0;
    std::uint64_t certificates = 0;
  };

  [[nodiscard]] Counts counts(const BatchId& batch);
  /// SHA-256 of the requests of one waiting container, by record number.
  [[nodiscard]] std::vector<Digest> request_hashes(const BatchId& batch, SegmentIndex segment);
  [[nodiscard]] std::optional<WaitingKey> find_key(const BatchId& batch, ByteView public_key);
  /// The certificate that was taken in for a record; nothing when there is none.
  [[nodiscard]] std::optional<Bytes> certificate(const BatchId& batch, RecordNo record);
  /// Where a serial was taken in or issued before under this stand-in; text for people.
  [[nodiscard]] std::optional<std::string> serial_taken(ByteView serial_id);
  /// One transaction over all that `work` takes with take_in(); kept when it returns true, else nothing was.
  void in_transaction(const std::function<bool()>& work);
  /// Inside in_transaction(): for a record that has none yet, under a serial that nobody has (find_key, serial_taken).
  void take_in(const BatchId& batch, const TakenCertificate& certificate);
  /// Certificates of one segment, by record number. Error{Storage} when some are missing.
  [[nodiscard]] std::vector<Bytes> certificates(const BatchId& batch, SegmentIndex segment);
  /// Records without a certificate, in order.
  void visit_missing(const BatchId& batch, const std::function<void(RecordNo)>& visit);

 private:
  Ledger& ledger_;
  std::optional<SeenValues> seen_;  // once prepare() was called
};

/// Rows of waiting containers that are only prepared are dropped with a batch that is closed.
void drop_prepared_waiting_in(store::Database& database, const BatchId& batch);

}  // namespace keyferry::appliance
