#include "appliance/front/ends.h"

#include <fmt/format.h>

#include "appliance/front/custody.h"
#include "appliance/front/internal/end_words.h"
#include "appliance/front/plan_new.h"
#include "appliance/ledger/inventory_store.h"
#include "appliance/ledger/plan_store.h"
#include "appliance/ledger/receipt_store.h"
#include "appliance/ledger/reconcile_store.h"
#include "keyferry/v1/gate.pb.h"
#include "keyferry/v1/governance.pb.h"
#include "keyferry/v1/log.pb.h"
#include "wrap/base/error.h"
#include "wrap/base/text.h"

namespace keyferry::appliance {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void refuse(Context& context, std::string_view what, const Refusal& refusal,
                         const std::string& subject) {
  context.gate().report_refused(what, refusal, subject);
  throw to_error(refusal);
}

void print_closed(Context& context, const BatchId& batch, bool done_before) {
  const BatchRow row = *BatchStore{context.ledger()}.find(batch);
  const Sums sums = ReconcileStore{context.ledger()}.sums(row);
  context.out().result("batch-close",
                       Json{{"batch", batch.hex()},
                            {"revoked", sums.revoked},
                            {"never_left", sums.never_left},
                            {"revocation_number", context.gate().state().revocation_number()},
                            {"done_before", done_before}},
                       {fmt::format("batch {} {}: {} revoked, {} never left", batch.hex(),
                                    done_before ? "is closed already" : "closed", sums.revoked, sums.never_left),
                        revocation_hint(context, {row.authority})});
}

BatchId batch_on(Context& context, const TokenId& token, const TokenLostOptions& options) {
  if (options.batch) return ended_batch(context, *options.batch).id;
  std::vector<BatchId> found;
  SQLite::Statement query{context.ledger().database(),
                          "SELECT batch_id FROM export WHERE token_id = :token ORDER BY batch_id"};
  store::bind_blob(query, ":token", token.bytes());
  while (query.executeStep()) {
    if (const auto id = BatchId::from_bytes(store::column_blob(query, 0))) found.push_back(*id);
  }
  if (found.size() == 1) return found.front();
  throw Error{Code::Usage, fmt::format("token {} carried {} batches", token.hex(), found.size()),
              "name one with --batch ID"};
}

int lost_homebound(Context& context, const TokenId& token, const std::string& reason) {
  v1::LogLeaf leaf;
  v1::TokenLostLeaf& said = *leaf.mutable_token_lost();
  said.set_token_id(token.str());
  said.set_decision("unload-again");
  said.set_reason(reason);
  context.gate().report({leaf});
  note_token_lost(context, token);
  context.out().result("token-lost", Json{{"token", token.hex()}, {"decision", "unload-again"}, {"exposed", 0}},
                       {fmt::format("token {} is noted as lost on its way home: nothing is revoked", token.hex()),
                        "receipts are sealed to this appliance: who finds it learns nothing",
                        "unload again at the station: keyferry-station unload --to DIR"});
  return 0;
}

const KnownStation& station_named(const Registry& registry, const std::string& text) {
  const auto id = StationId::from_hex(text);
  const KnownStation* station = id ? registry.station(*id) : registry.station_by_name(text);
  if (station != nullptr) return *station;
  throw Error{Code::NotFound, fmt::format("station \"{}\" is not enrolled here", printable(text))};
}

/// The plan of a batch that this station had: what the follow-up is made like.
std::optional<BatchPlan> a_plan_of(Context& context, const StationId& station) {
  for (const BatchRow& row : BatchStore{context.ledger()}.all()) {
    const auto stored = row.station == station ? PlanStore{context.ledger()}.find_batch(row.id) : std::nullopt;
    if (!stored) continue;
    auto parsed = parse_plan(stored->octets);
    if (const auto* plan = std::get_if<Plan>(&parsed)) return plan->batch();
  }
  return std::nullopt;
}

std::vector<std::string> authorities_of(Context& context, const StationId& station) {
  std::vector<std::string> found;
  for (const BatchRow& row : BatchStore{context.ledger()}.all()) {
    if (row.station == station && has_started(row.state)) found.push_back(row.authority);
  }
  return found;
}

/// For exactly the SEs whose records were revoked with the station: nothing when there are none.
std::optional<std::uint32_t> write_follow_up(Context& context, const StationId& station,
                                             const StationRetireOptions& options) {
  const auto like = a_plan_of(context, station);
  if (!like || !options.follow_up) return std::nullopt;
  const Selection selection{.family = like->family, .key_name = like->key_name, .revoked_at = station};
  const auto list = InventoryStore{context.ledger()}.make_list(selection, context.clock().now());
  const auto* made = std::get_if<InventoryStore::MadeList>(&list);
  if (made == nullptr) return std::nullopt;
  PlanNewOptions plan;
  plan.station = *options.follow_up;
  plan.authority = like->certificate_authority;
  plan.count = made->count;
  plan.out = options.out;
  plan.family = std::string{se::family_name(like->family)};
  plan.key_name = like->key_name;
  plan.customer = like->customer;
  plan.subject = like->certificate_subject;
  plan.certificate_text = like->certificate_text;
  plan.revoked_at = station;
  static_cast<void>(write_plan(context, plan));
  return made->count;
}

}  // namespace

int batch_close(Context& context, std::string_view batch, const EndOptions& options) {
  const BatchId id = ended_batch(context, batch).id;
  static_cast<void>(context.gate());  // what a cut run left is settled first
  const BatchRow row = *BatchStore{context.ledger()}.find(id);
  if (!has_started(row.state)) {
    refuse(context, "batch-close",
           {"batch-state", fmt::format("batch {} is {}: it has no keys", id.hex(), state_name(row.state)),
            "it ends by itself when its approval expires"},
           id.hex());
  }
  if (row.state != BatchState::Closed) {
    const RecordSet outstanding = EndsStore{context.ledger()}.outstanding({id});
    context.out().note(fmt::format("{} records of batch {} are outstanding", outstanding.count, id.hex()));
    need_typed(context, options.confirm, id.hex(), "closing a batch");
    run_operation(context, Operation::BatchClose, BatchClosePlan{id, outstanding, options.reason});
  }
  print_closed(context, id, row.state == BatchState::Closed);
  return 0;
}

int token_lost(Context& context, const TokenLostOptions& options) {
  if (options.revoke + options.accept + options.homebound != 1) {
    throw Error{Code::Usage,
                "say what is to be done: --revoke or --accept for a token on its way out, --homebound for one on "
                "its way home"};
  }
  static_cast<void>(context.gate());
  const TokenId token = find_token(context, options.token);
  if (options.homebound) return lost_homebound(context, token, options.end.reason);
  const BatchId batch = batch_on(context, token, options);
  const BatchRow row = *BatchStore{context.ledger()}.find(batch);
  if (row.state == BatchState::Closed && options.revoke) {  // also: the same command after a cut
    note_token_lost(context, token);
    context.out().result("token-lost",
                         Json{{"token", token.hex()},
                              {"batch", batch.hex()},
                              {"decision", "revoke"},
                              {"exposed", 0},
                              {"revocation_number", context.gate().state().revocation_number()},
                              {"done_before", true}},
                         {fmt::format("batch {} is closed already: nothing of it is outstanding", batch.hex()),
                          revocation_hint(context, {row.authority})});
    return 0;
  }
  if (row.state == BatchState::Closed) {
    refuse(context, "token-lost",
           {"batch-closed", fmt::format("batch {} is closed: nothing of it is outstanding", batch.hex())},
           token.hex());
  }
  const fs::path list =
      options.list.value_or(context.paths().home / "lost" / fmt::format("{}-{}.csv", token.hex(), batch.hex()));
  const std::uint64_t exposed = write_records(context, {batch}, fs::absolute(list));
  context.out().note(
      fmt::format("{} SEs with their certificates are exposed; by name in {}", exposed, list.string()));
  if (options.revoke) need_typed(context, options.end.confirm, batch.hex(), "revoking what a lost token carried");
  const RecordSet records = EndsStore{context.ledger()}.outstanding({batch});
  const std::string decision = options.revoke ? "revoke" : "accept";
  run_operation(context, Operation::TokenLost, TokenLostPlan{token, batch, decision, records, options.end.reason});
  note_token_lost(context, token);
  context.out().result(
      "token-lost",
      Json{{"token", token.hex()},
           {"batch", batch.hex()},
           {"decision", decision},
           {"exposed", exposed},
           {"list", list.string()},
           {"revocation_number", context.gate().state().revocation_number()},
           {"done_before", false}},
      {fmt::format("token {} with batch {}: {} records {}", token.hex(), batch.hex(), exposed,
                   options.revoke ? "revoked, the batch is closed" : "stay valid: each opens in its own SE only"),
       "by name: " + list.string(),
       options.revoke ? revocation_hint(context, {row.authority})
                      : "a second token needs officers: keyferry-appliance batch reexport ID --reason TEXT"});
  return 0;
}

int station_retire(Context& context, const StationRetireOptions& options) {
  if (options.follow_up && options.out.empty()) throw Error{Code::Usage, "--follow-up needs --out FILE for the plan"};
  static_cast<void>(context.gate());
  const Registry registry = context.ledger().registry();
  const KnownStation station = station_named(registry, options.station);
  EndsStore ends{context.ledger()};
  std::uint64_t revoked = 0;
  if (!station.retired) {
    if (options.follow_up && station_named(registry, *options.follow_up).id == station.id) {
      throw Error{Code::Usage, "--follow-up: the station that is retired gets no batch"};
    }
    const auto batches = ends.open_batches(station.id);
    const auto log = ReceiptStore{context.ledger()}.station_log(station.id);
    StationRetirePlan plan{.station = station.id,
                           .log_generation = log ? log->generation : 0,
                           .log_size = log ? log->frontier.size() : 0,
                           .outstanding = ends.outstanding(batches),
                           .reason = options.end.reason};
    revoked = plan.outstanding.count;
    context.out().note(fmt::format("station \"{}\" has {} open batches with {} outstanding records", station.name,
                                   batches.size(), revoked));
    need_typed(context, options.end.confirm, station.name, "retiring a station");
    run_operation(context, Operation::StationRetire, plan);
  }
  const auto follow_up = write_follow_up(context, station.id, options);
  const std::string next =
      follow_up ? fmt::format("a plan for exactly these {} SEs is in {}: have it approved", *follow_up,
                              options.out.string())
      : options.follow_up
          ? std::string{"no SE is left over: there is no follow-up plan"}
          : std::string{"for the SEs that are left over: the same command with --follow-up STATION --out FILE"};
  context.out().result("station-retire",
                       Json{{"station", station.id.hex()},
                            {"name", station.name},
                            {"revoked", revoked},
                            {"follow_up", follow_up ? Json(options.out.string()) : Json(nullptr)},
                            {"follow_up_count", follow_up.value_or(0)},
                            {"revocation_number", context.gate().state().revocation_number()},
                            {"done_before", station.retired}},
                       {fmt::format("station \"{}\" {}", station.name,
                                    station.retired ? std::string{"is retired already"}
                                                    : fmt::format("retired: {} records revoked", revoked)),
                        next, revocation_hint(context, authorities_of(context, station.id))});
  return 0;
}

int quarantine_release(Context& context, std::string_view batch, std::uint32_t record_no, const std::string& reason) {
  const BatchId id = ended_batch(context, batch).id;
  static_cast<void>(context.gate());
  EndsStore ends{context.ledger()};
  const auto record = ends.releasable(id, RecordNo{record_no});
  const std::string name = fmt::format("record {} of batch {}", record_no, id.hex());
  if (!record) throw Error{Code::NotFound, "there is no " + name};
  const bool ended = record->state == RecordState::Quarantined || record->state == RecordState::Returned ||
                     record->state == RecordState::Revoked;
  if (!ended) {
    refuse(context, "quarantine-release",
           {"record-state", fmt::format("{} is {}: only what is quarantined, returned or revoked is released", name,
                                        state_name(record->state))},
           fmt::format("{} {}", id.hex(), record_no));
  }
  if (!record->released && (record->scrapped || record->replaced)) {
    refuse(context, "quarantine-release",
           {"se-ended",
            fmt::format("the SE of {} {}", name, record->scrapped ? "was scrapped" : "was taken out of its device"),
            "keyferry-appliance device history tells when and why"},
           fmt::format("{} {}", id.hex(), record_no));
  }
  if (!record->released) {
    run_operation(context, Operation::QuarantineRelease, QuarantineReleasePlan{id, record_no, reason});
  }
  context.out().result(
      "quarantine-release", Json{{"batch", id.hex()}, {"record_no", record_no}, {"done_before", record->released}},
      {fmt::format("the SE of {} may get a new record in a new batch; its certificate is revoked", name),
       "its transport key is of the next generation: have the SE prepared for it first"});
  return 0;
}

int se_in_hand(Context& context, std::string_view batch, const std::vector<std::uint32_t>& records) {
  const BatchId id = ended_batch(context, batch).id;
  GateSession& gate = context.gate();
  EndsStore ends{context.ledger()};
  for (const std::uint32_t record : records) {
    if (!ends.note_in_hand(id, RecordNo{record}, context.clock().now())) {
      throw Error{Code::Refused,
                  fmt::format("record {} of batch {} is neither quarantined nor returned", record, id.hex()),
                  "keyferry-appliance reconcile ID --json names what is what"};
    }
  }
  v1::LogLeaf leaf;
  leaf.mutable_note()->set_event("se.in-hand");
  leaf.mutable_note()->set_subject(fmt::format("{} records {}", id.hex(), fmt::join(records, ",")).substr(0, 128));
  gate.report({leaf});
  context.out().result("se-in-hand", Json{{"batch", id.hex()}, {"records", records}},
                       {fmt::format("{} SEs of batch {} are noted as in hand", records.size(), id.hex())});
  return 0;
}

int ca_retire(Context& context, const std::string& name, const EndOptions& options) {
  static_cast<void>(context.gate());
  const Registry registry = context.ledger().registry();
  const KnownAuthority* authority = registry.authority(name);
  if (authority == nullptr) throw Error{Code::NotFound, fmt::format("there is no CA \"{}\"", printable(name))};
  const bool done_before = authority->retired;
  if (!done_before) {
    need_typed(context, options.confirm, name, "retiring a CA");
    run_operation(context, Operation::CaRetire, CaRetirePlan{name, options.reason});
  }
  context.out().result("ca-retire", Json{{"name", name}, {"done_before", done_before}},
                       {fmt::format("CA kf-ca/{} {}: it issues nothing any more and still signs CRLs", name,
                                    done_before ? "is retired already" : "retired")});
  return 0;
}

int hsm_destroy(Context& context, const std::string& label, const EndOptions& options) {
  static_cast<void>(context.gate());  // a destruction that was cut off is finished here
  const Registry registry = context.ledger().registry();
  const std::string name = label.substr(label.find('/') + 1);
  const KnownMaster* master = label.starts_with("kf-tk/") ? registry.master(name) : nullptr;
  const KnownVendorKey* vendor = label.starts_with("kf-vendor/") ? registry.vendor_key(name) : nullptr;
  const KnownAuthority* authority = label.starts_with("kf-ca/") ? registry.authority(name) : nullptr;
  if (master == nullptr && vendor == nullptr && authority == nullptr) {
    throw Error{Code::NotFound, fmt::format("there is no key {} that could be destroyed", printable(label)),
                "kf-tk/NAME, kf-vendor/NAME or kf-ca/NAME: keyferry-appliance hsm inventory lists them"};
  }
  const bool done_before = (master != nullptr && master->destroyed) || (vendor != nullptr && vendor->destroyed) ||
                           (authority != nullptr && authority->destroyed);
  if (!done_before) {
    need_typed(context, options.confirm, label, "destroying a key");
    run_operation(context, Operation::HsmDestroyKey, HsmDestroyKeyPlan{label, options.reason});
  }
  context.out().result(
      "hsm-destroy", Json{{"label", label}, {"found", 0}, {"done_before", done_before}},
      {fmt::format("key {} {}: another process opened the HSM anew and found nothing under that label", label,
                   done_before ? "was destroyed before" : "is destroyed"),
       "copies in backups, or with the vendor whom it came from, are not touched"});
  return 0;
}

}  // namespace keyferry::appliance
