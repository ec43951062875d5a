// What an evidence bundle takes out of the ledger, in the order in which the bundle has it. Reads
// only.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "appliance/ledger/ledger.h"
#include "token/bundle/items.h"
#include "wrap/base/ids.h"

namespace keyferry::appliance {

struct StationLogFacts {
  StationId station;
  std::uint32_t generation = 1;
  std::uint64_t size = 0;
  Digest root;
};

struct EvidenceBatch {
  BatchId id;
  std::string site, customer;
  std::string authority;
  StationId station;
  std::int64_t made_ms = 0;
  std::uint32_t hsm_epoch = 1;  // whose log its leaves are in
};

class EvidenceStore {
 public:
  explicit EvidenceStore(Ledger& ledger) : ledger_{ledger} {}

  /// Of the log in use, by size.
  [[nodiscard]] std::vector<CheckpointNote> checkpoints();

  /// All batches, by id.
  [[nodiscard]] std::vector<EvidenceBatch> batches();

  /// Accepted logs, by station.
  [[nodiscard]] std::vector<StationLogFacts> station_logs();
  /// Leaves of one of them, in order.
  void visit_station_log(const StationLogFacts& log, const std::function<void(ByteView)>& visit);

  /// Accepted receipts of records [from, to) of a batch, by record number.
  void visit_receipts(const BatchId& batch,
                      std::uint32_t from,
                      std::uint32_t to,
                      const std::function<void(bundle::ReceiptItem&&)>& visit);

  /// The DER of the CRL; nothing when the ledger has none of that number.
  [[nodiscard]] std::optional<Bytes> crl(const std::string& authority, std::uint64_t number);

  /// Signed statements of one token, in order.
  [[nodiscard]] std::vector<Bytes> custody(const TokenId& token);

 private:
  Ledger& ledger_;
};

}  // namespace keyferry::appliance
