#include "appliance/front/station_log_check.h"

#include <fmt/format.h>

#include "token/audit/checkpoint.h"
#include "token/audit/merkle.h"
#include "token/signed_bytes.h"

namespace keyferry::appliance {
namespace {

constexpr const char* kSeenBack = "checkpoint_seen_back";
constexpr std::size_t kLogNameDigits = 32;

RefusedReceipts refuse(std::string reason, std::string text, std::string hint = {}) {
  return RefusedReceipts{Refusal{std::move(reason), std::move(text), std::move(hint)}};
}

Digest log_root_at(Ledger& ledger, std::uint64_t size) {
  audit::Frontier frontier;
  ledger.visit_leaves(0, [&](std::uint64_t index, ByteView leaf, bool) {
    if (index < size) frontier.append(audit::leaf_hash(leaf));
  });
  return frontier.root();
}

std::uint64_t seen_back_size(Ledger& ledger) {
  const auto note = ledger.text_value(kSeenBack);
  return note ? checkpoint_size(*note) : 0;
}

}  // namespace

std::string log_name(const ApplianceId& appliance) {
  return "keyferry/" + appliance.hex().substr(0, kLogNameDigits);
}

StationLogCheck::StationLogCheck(Ledger& ledger, const ReceiptsFile& receipts)
    : receipts_{receipts}, store_{ledger}, known_{store_.station_log(receipts.station.id)} {
  if (known_) frontier_ = known_->frontier;
}

RefusedReceipts StationLogCheck::contradiction(const std::string& reason,
                                               const std::string& text) const {
  RefusedReceipts refused =
      refuse(reason,
             fmt::format("station {}: {}", receipts_.station.name, text),
             "the station's log was changed or put back: find out why before it works on");
  refused.incident =
      Incident{.kind = reason,
               .subject = fmt::format(
                   "station={} size={}", receipts_.station.id.hex(), head_ ? head_->size : 0),
               .text = refused.refusal.text,
               .evidence = head_octets_,
               .station = receipts_.station.id};
  return refused;
}

std::optional<RefusedReceipts> StationLogCheck::open(const token::ReceiptsOpening& opening) {
  if (!token::verify_signed(
          opening.head, crypto::SignatureKind::StationLogHead, receipts_.station_key)) {
    return refuse("station-log-head", "the head of the station's log is not signed by the station");
  }
  auto parsed = token::parse_head(opening.head.payload);
  if (const auto* refusal = std::get_if<Refusal>(&parsed)) return RefusedReceipts{*refusal};
  head_ = std::get<token::StationLogHead>(std::move(parsed));
  head_octets_ = opening.head.payload;
  from_size_ = opening.from_size;
  position_ = opening.from_size;
  if (head_->station_id != receipts_.station.id ||
      head_->generation != receipts_.outline.header.index) {
    return refuse("station-log-head",
                  "the head of the station's log is of another station or generation");
  }
  if (head_->size != opening.to_size)
    return refuse("station-log-size", "head and entries are not of one size");
  if (known_ && head_->generation != known_->generation) {
    return contradiction("station-log-generation",
                         fmt::format("its log has generation {}, generation {} was accepted before",
                                     head_->generation,
                                     known_->generation));
  }
  if (opening.from_size > known_size()) {
    return refuse("station-log-gap",
                  fmt::format("station {}: entries {} to {} of its log are missing",
                              receipts_.station.name,
                              known_size(),
                              opening.from_size),
                  "import the token that carries them first, or unload the station again");
  }
  return std::nullopt;
}

std::optional<RefusedReceipts> StationLogCheck::add(ByteView leaf) {
  const std::uint64_t at = position_++;
  if (at >= known_size()) {
    frontier_.append(audit::leaf_hash(leaf));
    return std::nullopt;
  }
  const auto before = store_.station_leaf(receipts_.station.id, head_->generation, at);
  if (before && equal(*before, leaf)) return std::nullopt;
  return contradiction("station-log-fork",
                       fmt::format("entry {} of its log is another one than before", at));
}

std::optional<RefusedReceipts> StationLogCheck::finish() {
  if (head_->size >= known_size()) {
    if (frontier_.root() == head_->root) return std::nullopt;
    return contradiction("station-log-root", "the entries are not those of the log that it signed");
  }
  const auto last = token::parse_head(known_->head);
  const auto* last_head = std::get_if<token::StationLogHead>(&last);
  if (last_head != nullptr && head_->time <= last_head->time) {
    return refuse(
        "station-log-older",
        fmt::format("station {}: a later state of its log is here already", receipts_.station.name),
        "nothing to do: this token holds nothing new");
  }
  return contradiction(
      "station-log-rollback",
      fmt::format("its log has {} entries, {} were accepted before", head_->size, known_size()));
}

std::optional<RefusedReceipts> check_seen_checkpoint(Ledger& ledger,
                                                     const std::string& note,
                                                     const token::ApplianceCard& card) {
  if (note.empty()) return std::nullopt;
  const auto verified = audit::verify_checkpoint(note, log_name(card.appliance_id), card.log_key);
  const auto* checkpoint = std::get_if<audit::Checkpoint>(&verified);
  if (checkpoint == nullptr)
    return refuse("checkpoint", "the checkpoint that the station saw is not signed by us");
  const bool beyond = checkpoint->size > ledger.final_log_size();
  if (beyond || log_root_at(ledger, checkpoint->size) != checkpoint->root) {
    RefusedReceipts refused = refuse(
        beyond ? "log-rollback" : "log-fork",
        beyond ? fmt::format("a station saw a checkpoint of {} log entries, this ledger has {}",
                             checkpoint->size,
                             ledger.final_log_size())
               : "a station saw a checkpoint that is signed by us and is not of this log",
        "this ledger is not the one that was used last: put the newest one back");
    refused.incident = Incident{.kind = refused.refusal.reason,
                                .subject = fmt::format("size={}", checkpoint->size),
                                .text = refused.refusal.text,
                                .evidence = to_bytes(as_bytes(note))};
    return refused;
  }
  if (checkpoint->size > seen_back_size(ledger)) ledger.set_value(kSeenBack, as_bytes(note));
  return std::nullopt;
}

}  // namespace keyferry::appliance
