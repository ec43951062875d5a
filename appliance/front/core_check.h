// Each entry of a station's log against the ledger: what it claims must be about a record of that
// station's batch, and what it proves must be proved by the key that was issued (design.md section
// 9). Decides what the entry will do.
#pragma once

#include <map>
#include <optional>

#include "appliance/ledger/batch_store.h"
#include "appliance/ledger/receipt_store.h"
#include "appliance/plan/plan.h"
#include "token/receipt.h"
#include "wrap/base/error.h"
#include "wrap/evidence/atecc608.h"

namespace keyferry::appliance {

class CoreCheck {
 public:
  enum class Seen { New, Before };  // Before: the leaf is part of the log that was accepted earlier

  CoreCheck(Ledger& ledger,
            const StationId& station,
            std::uint32_t generation,
            std::int64_t import,
            std::uint64_t from_position);

  /// Fills in what `entry` will do: accept, incident, both or neither. A refusal is one of the
  /// whole file: "receipt-leaf", "receipt-core", "receipt-station", "receipt-batch",
  /// "receipt-manifest", "receipt-record", "receipt-certificate", "receipt-challenge",
  /// "receipt-se", "receipt-device-serial", "receipt-evidence", "receipt-void", and those of
  /// evidence::verify_evidence. A receipt that the injected key signed and whose verdicts do not
  /// hold is no reason to refuse the others: it is incident "receipt-" with the reason of
  /// token::check_line, and its record stays outstanding.
  [[nodiscard]] std::optional<Refusal> check(StagedEntry& entry, Seen seen);

 private:
  struct BatchFacts {
    BatchRow row;
    Digest manifest_digest;
    bool left = false;  // it was exported
  };

  [[nodiscard]] std::optional<Refusal> check_core(StagedEntry& entry,
                                                  const token::ReceiptCore& core,
                                                  ByteView octets,
                                                  Seen seen);
  [[nodiscard]] std::optional<Refusal> check_against_ledger(const token::ReceiptCore& core,
                                                            const IssuedKey& key);
  [[nodiscard]] std::optional<Refusal> check_evidence(const token::ReceiptCore& core,
                                                      const IssuedKey& key,
                                                      ByteView octets,
                                                      const LogEntry& entry);
  [[nodiscard]] std::optional<Refusal> check_void(StagedEntry& entry,
                                                  const token::VoidLeaf& leaf,
                                                  Seen seen);
  [[nodiscard]] const BatchFacts* batch(const BatchId& id);
  /// The batch's plan, and the certificates above its devices' own.
  struct Issuing {
    BatchPlan plan;
    std::vector<Digest> issuers;  // issuer first, the anchor last
  };

  [[nodiscard]] const Issuing& issuing(const BatchId& batch);
  /// What an injected receipt lacks.
  [[nodiscard]] std::optional<Refusal> check_verdicts(const token::ReceiptCore& core,
                                                      const IssuedKey& key);
  /// What an attestation of this chip has to say; nothing where none is demanded.
  [[nodiscard]] std::optional<evidence::Atecc608Slot> attested_slot(const BatchId& batch,
                                                                    const IssuedKey& key);
  void bind_device_serial(StagedEntry& entry, const token::ReceiptCore& core, const IssuedKey& key);

  Ledger& ledger_;
  ReceiptStore store_;
  BatchStore batches_;
  StationId station_;
  std::uint32_t generation_;
  std::int64_t import_;
  std::uint64_t from_position_;
  std::map<BatchId, std::optional<BatchFacts>> facts_;
  std::map<BatchId, Issuing> issuing_;
};

}  // namespace keyferry::appliance
