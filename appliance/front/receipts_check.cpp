#include "appliance/front/receipts_check.h"

#include <fmt/format.h>

#include <map>
#include <utility>

#include "appliance/front/core_check.h"
#include "appliance/front/station_log_check.h"
#include "token/items.h"
#include "token/ordered_crew.h"
#include "wrap/base/cut.h"

namespace keyferry::appliance {
namespace {

constexpr std::size_t kEntriesPerTransaction = 4096;

RefusedReceipts refuse(std::string reason, std::string text, std::string hint = {}) {
  return RefusedReceipts{Refusal{std::move(reason), std::move(text), std::move(hint)}};
}

const KnownStation* sender_of(const Registry& registry,
                              const KeyId& sender,
                              std::optional<crypto::PublicKey>& key) {
  for (const KnownStation& station : registry.stations) {
    key = crypto::PublicKey::from_point(station.signing_key);
    if (key && key->key_id() == sender) return &station;
  }
  return nullptr;
}

/// Takes the items of one body as they come and puts the entries aside.
class Staging {
 public:
  Staging(Ledger& ledger,
          const ReceiptsFile& receipts,
          const token::ApplianceCard& card,
          UtcMillis now)
      : ledger_{ledger},
        receipts_{receipts},
        card_{card},
        now_{now},
        store_{ledger},
        log_{ledger, receipts} {}

  std::optional<RefusedReceipts> take(const token::Item& item) {
    if (const auto* opening = std::get_if<token::ReceiptsOpening>(&item)) return open(*opening);
    if (const auto* entry = std::get_if<token::ReceiptEntry>(&item)) return add(*entry);
    return std::nullopt;  // the body's opening: the reader compared it with the header
  }

  std::optional<RefusedReceipts> finish() {
    if (auto refused = log_.finish()) return refused;
    commit();
    KF_CUT("front.receipts.checked");
    store_.set_staged(import_, log_.frontier());
    KF_CUT("front.receipts.staged");
    return std::nullopt;
  }

 private:
  std::optional<RefusedReceipts> open(const token::ReceiptsOpening& opening) {
    if (auto refused = log_.open(opening)) return refused;
    if (auto refused = check_seen_checkpoint(ledger_, opening.highest_checkpoint, card_))
      return refused;
    import_ = store_.begin(ImportRow{.container = receipts_.outline.header.container_id,
                                     .digest = receipts_.outline.digest,
                                     .station = receipts_.station.id,
                                     .generation = log_.head().generation,
                                     .from_size = opening.from_size,
                                     .to_size = opening.to_size},
                           log_.head_octets(),
                           now_);
    core_check_.emplace(
        ledger_, receipts_.station.id, log_.head().generation, import_, log_.from_size());
    return std::nullopt;
  }

  std::optional<RefusedReceipts> add(const token::ReceiptEntry& entry) {
    const std::uint64_t position = log_.position();
    if (auto refused = log_.add(entry.leaf)) return refused;
    StagedEntry staged{.position = position, .entry = {entry.leaf, entry.signature, entry.attestation}};
    const CoreCheck::Seen seen =
        position < log_.known_size() ? CoreCheck::Seen::Before : CoreCheck::Seen::New;
    if (const auto refusal = core_check_->check(staged, seen)) {
      return refuse(refusal->reason,
                    fmt::format("entry {} of the station's log: {}", position, refusal->text),
                    refusal->hint);
    }
    if (!transaction_) {
      store::guarded("ledger: put receipts aside",
                     [&] { transaction_.emplace(ledger_.database()); });
    }
    store_.stage_in(import_, staged);
    if (++uncommitted_ == kEntriesPerTransaction) commit();
    return std::nullopt;
  }

  void commit() {
    if (!transaction_) return;
    store::guarded("ledger: put receipts aside", [&] { transaction_->commit(); });
    transaction_.reset();
    uncommitted_ = 0;
    KF_CUT("front.receipts.put-aside");
  }

  Ledger& ledger_;
  const ReceiptsFile& receipts_;
  const token::ApplianceCard& card_;
  UtcMillis now_;
  ReceiptStore store_;
  StationLogCheck log_;
  std::optional<CoreCheck> core_check_;
  std::int64_t import_ = 0;
  std::optional<store::WriteTransaction> transaction_;
  std::size_t uncommitted_ = 0;
};

}  // namespace

std::variant<ReceiptsFile, RefusedReceipts> outline_receipts(Ledger& ledger,
                                                             const Fd& file,
                                                             const token::ApplianceCard& card) {
  const token::Expectation expected{.type = token::ContainerType::Receipts,
                                    .environment = card.environment,
                                    .recipient = card.inbox_key.key_id(),
                                    .max_body_bytes = kMaxReceiptsBytes,
                                    .batch_id = BatchId{}};
  auto outlined = token::outline(file, expected, token::usual_threads());
  if (const auto* refusal = std::get_if<Refusal>(&outlined)) return RefusedReceipts{*refusal};
  auto& outline = std::get<token::Outline>(outlined);
  const Registry registry = ledger.registry();
  std::optional<crypto::PublicKey> key;
  const KnownStation* station = sender_of(registry, outline.header.sender, key);
  if (station == nullptr) {
    return refuse("sender",
                  "the file is signed by no station that is enrolled here",
                  "enroll the station, or find out where the token was");
  }
  if (station->retired)
    return refuse("retired", fmt::format("station {} is retired", station->name));
  const auto checked = token::check_signature(outline, *key);
  if (const auto* refusal = std::get_if<Refusal>(&checked)) return RefusedReceipts{*refusal};
  ReceiptsFile receipts{std::move(outline), *station, *key};
  const auto seen = ReceiptStore{ledger}.container_seen(receipts.outline.header.container_id);
  if (seen && *seen != receipts.outline.digest) {
    RefusedReceipts refused =
        refuse("container-forged",
               fmt::format("station {} signed two containers of one id", station->name),
               "this station's signing key is used by someone who should not have it");
    refused.incident = Incident{.kind = "container-forged",
                                .subject = fmt::format("station={} container={}",
                                                       station->id.hex(),
                                                       receipts.outline.header.container_id.hex()),
                                .text = refused.refusal.text,
                                .evidence = to_bytes(receipts.outline.digest.bytes()),
                                .station = station->id};
    return refused;
  }
  receipts.known = seen.has_value();
  return receipts;
}

std::optional<RefusedReceipts> stage_receipts(Ledger& ledger,
                                              const Fd& file,
                                              const ReceiptsFile& receipts,
                                              const token::ContentKey& key,
                                              const token::ApplianceCard& card,
                                              UtcMillis now) {
  std::optional<RefusedReceipts> refused;
  {
    Staging staging{ledger, receipts, card, now};
    const auto read = token::read_items(
        file,
        receipts.outline,
        key,
        [&](token::Item&& item) -> token::Checked {
          refused = staging.take(item);
          if (refused) return refused->refusal;
          return std::monostate{};
        },
        token::usual_threads());
    if (const auto* refusal = std::get_if<Refusal>(&read); refusal != nullptr && !refused) {
      refused = RefusedReceipts{*refusal};
    }
    if (!refused) refused = staging.finish();
  }
  if (refused) ReceiptStore{ledger}.discard_checking();
  return refused;
}

}  // namespace keyferry::appliance
