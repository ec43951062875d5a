// A station's log against the last one that was accepted from it: it must extend that one, leaf by
// leaf (design.md section 9), and the checkpoint of ours that the station saw must be of our log.
#pragma once

#include <optional>

#include "appliance/front/receipts_check.h"
#include "token/items.h"
#include "token/receipt.h"

namespace keyferry::appliance {

/// Name of the appliance's log in checkpoints: "keyferry/" and the first 32 hex digits of the
/// appliance id.
[[nodiscard]] std::string log_name(const ApplianceId& appliance);

class StationLogCheck {
 public:
  StationLogCheck(Ledger& ledger, const ReceiptsFile& receipts);

  /// The body's second item. Refusals: "station-log-head", "station-log-size",
  /// "station-log-generation" (incident), "station-log-gap".
  [[nodiscard]] std::optional<RefusedReceipts> open(const token::ReceiptsOpening& opening);

  /// The next leaf. Refusal "station-log-fork" (incident): a leaf that was accepted is another one
  /// now.
  [[nodiscard]] std::optional<RefusedReceipts> add(ByteView leaf);

  /// At the end. Refusals: "station-log-root" (incident), "station-log-rollback" (incident: shorter
  /// than the last one and signed later), "station-log-older" (shorter, and signed before it: all
  /// of it is here already).
  [[nodiscard]] std::optional<RefusedReceipts> finish();

  [[nodiscard]] const token::StationLogHead& head() const { return *head_; }

  [[nodiscard]] const Bytes& head_octets() const { return head_octets_; }

  [[nodiscard]] std::uint64_t from_size() const { return from_size_; }

  [[nodiscard]] std::uint64_t position() const { return position_; }  // of the next leaf

  [[nodiscard]] std::uint64_t known_size() const { return known_ ? known_->frontier.size() : 0; }

  [[nodiscard]] const audit::Frontier& frontier() const { return frontier_; }

 private:
  [[nodiscard]] RefusedReceipts contradiction(const std::string& reason,
                                              const std::string& text) const;

  const ReceiptsFile& receipts_;
  ReceiptStore store_;
  std::optional<StationLogRow> known_;
  audit::Frontier frontier_;
  std::optional<token::StationLogHead> head_;
  Bytes head_octets_;
  std::uint64_t from_size_ = 0;
  std::uint64_t position_ = 0;
};

/// Checks the highest checkpoint that the station saw and keeps it ("checkpoint_seen_back") when it
/// is the highest so far. Refusals: "checkpoint" (not signed by us), "log-rollback" and "log-fork"
/// (incidents: this ledger is older than, or beside, one that we signed for).
[[nodiscard]] std::optional<RefusedReceipts> check_seen_checkpoint(
    Ledger& ledger, const std::string& note, const token::ApplianceCard& card);

}  // namespace keyferry::appliance
