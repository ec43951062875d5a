#include "appliance/front/receipts_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "appliance/front/batch_hooks.h"
#include "appliance/front/context.h"
#include "keyferry/v1/log.pb.h"
#include "token/receipt.h"
#include "wrap/base/cut.h"
#include "wrap/base/text.h"
#include "wrap/crypto/hash.h"

namespace keyferry::appliance {
namespace {

constexpr const char* kApplyReceipts =
    "receipts-apply";  // data: u64be import, u64be end position, u64be time
constexpr const char* kAddIncident = "incident-add";  // data: encode() below
constexpr std::size_t kEntriesPerReport = 1536;  // at most two leaves each, of 4096 in a request
constexpr std::size_t kMaxClosedNotes = 512;
constexpr std::size_t kMaxSubjectChars = 128;  // log.proto, RefusedLeaf

std::uint64_t unsigned_of(std::int64_t value) {
  return static_cast<std::uint64_t>(value);
}

Action apply_action(std::int64_t import, std::uint64_t end, UtcMillis now) {
  Action action{kApplyReceipts, {}};
  append_u64be(action.data, unsigned_of(import));
  append_u64be(action.data, end);
  append_u64be(action.data, unsigned_of(now.value));
  return action;
}

// u64be time; kind, subject, text, batch (or empty), record number u32be (or empty), station (or
// empty), each with u16be length; evidence to the end.
Bytes encode(const Incident& incident, UtcMillis now) {
  Bytes out;
  append_u64be(out, unsigned_of(now.value));
  append_u16be_prefixed(out, as_bytes(incident.kind));
  append_u16be_prefixed(out, as_bytes(incident.subject));
  append_u16be_prefixed(out, as_bytes(incident.text));
  append_u16be_prefixed(out, incident.batch ? incident.batch->bytes() : ByteView{});
  Bytes record;
  if (incident.record_no) append_u32be(record, *incident.record_no);
  append_u16be_prefixed(out, record);
  append_u16be_prefixed(out, incident.station ? incident.station->bytes() : ByteView{});
  append(out, incident.evidence);
  return out;
}

Incident decode(ByteView data, UtcMillis& now) {
  now = UtcMillis{static_cast<std::int64_t>(read_u64be(data))};
  data = data.subspan(8);
  const auto field = [&data] {
    const std::size_t length = read_u16be(data);
    const ByteView octets = data.subspan(2, length);
    data = data.subspan(2 + length);
    return octets;
  };
  Incident incident;
  incident.kind = to_string(field());
  incident.subject = to_string(field());
  incident.text = to_string(field());
  incident.batch = BatchId::from_bytes(field());
  if (const ByteView record = field(); !record.empty()) incident.record_no = read_u32be(record);
  incident.station = StationId::from_bytes(field());
  incident.evidence = to_bytes(data);
  return incident;
}

v1::LogLeaf incident_leaf(const Incident& incident) {
  v1::LogLeaf leaf;
  v1::IncidentLeaf& detail = *leaf.mutable_incident();
  detail.set_kind(incident.kind);
  detail.set_subject(incident.subject);
  detail.set_evidence_sha256(crypto::sha256(incident.evidence).str());
  return leaf;
}

std::string outcome_of(const StagedEntry& entry) {
  const auto parsed = token::parse_leaf(entry.entry.leaf);
  const auto* leaf = std::get_if<token::StationLeaf>(&parsed);
  const auto* core_leaf = leaf == nullptr ? nullptr : std::get_if<token::CoreLeaf>(&leaf->leaf);
  if (core_leaf != nullptr) {
    const auto core = token::parse_core(core_leaf->core);
    if (const auto* found = std::get_if<token::ReceiptCore>(&core))
      return std::string{token::name_of(found->outcome)};
  }
  throw Error{Code::Storage, fmt::format("ledger: staged receipt {} is damaged", entry.position)};
}

v1::LogLeaf accepted_leaf(const StagedEntry& entry, const StationId& station) {
  v1::LogLeaf leaf;
  v1::ReceiptAcceptedLeaf& detail = *leaf.mutable_receipt_accepted();
  detail.set_batch_id(entry.batch->str());
  detail.set_record_no(entry.record_no);
  detail.set_outcome(outcome_of(entry));
  detail.set_core_sha256(entry.core_sha256->str());
  detail.set_station_id(station.str());
  return leaf;
}

void add_closing_leaves(ReceiptStore& store,
                        const ImportRow& import,
                        std::vector<v1::LogLeaf>& leaves) {
  const auto batches = store.will_close(import.id);
  for (std::size_t i = 0; i < std::min(batches.size(), kMaxClosedNotes); ++i) {
    v1::NoteLeaf& note = *leaves.emplace_back().mutable_note();
    note.set_event("batch.closed");
    note.set_subject(batches[i].hex());
  }
  v1::ReceiptsImportedLeaf& done = *leaves.emplace_back().mutable_receipts_imported();
  done.set_container_id(import.container.str());
  done.set_station_id(import.station.str());
  done.set_generation(import.generation);
  done.set_size(import.to_size);
  done.set_root(import.root.str());
  done.set_accepted(import.accepted);
  done.set_incidents(import.incidents);
}

}  // namespace

std::optional<ImportRow> carry_out_staged(Context& context) {
  ReceiptStore store{context.ledger()};
  const auto first = store.staged_import();
  if (!first) return std::nullopt;
  GateSession& gate = context.gate();  // a piece that was pending may become final here
  Progress progress{"receipts", first->to_size - first->from_size};
  while (const auto import = store.staged_import()) {
    const auto entries = store.next_entries(*import, kEntriesPerReport);
    const std::uint64_t end = import->next_position + entries.size();
    const bool last = end == import->to_size;
    std::vector<v1::LogLeaf> leaves;
    for (const StagedEntry& entry : entries) {
      if (entry.accept) leaves.push_back(accepted_leaf(entry, import->station));
      if (!entry.incident.empty())
        leaves.push_back(incident_leaf(incident_of(entry, import->station)));
    }
    if (last) add_closing_leaves(store, *import, leaves);
    const UtcMillis now = context.clock().now();
    KF_CUT("front.receipts.before-report");
    if (leaves.empty()) {  // events only: nothing that the log tells
      store::guarded("ledger: carry out an import", [&] {
        store::WriteTransaction transaction{context.ledger().database()};
        ReceiptStore::apply_in(context.ledger(), import->id, end, now);
        transaction.commit();
      });
    } else {
      gate.report(leaves, apply_action(import->id, end, now));
    }
    KF_CUT("front.receipts.reported");
    progress.at(end - import->from_size);
  }
  return first;
}

void report_incident(Context& context, const Incident& incident) {
  if (ReceiptStore{context.ledger()}.incident_known(incident)) return;
  context.gate().report({incident_leaf(incident)},
                        Action{kAddIncident, encode(incident, context.clock().now())});
}

void report_refused_files(Context& context, const std::vector<RefusedFile>& files) {
  std::map<std::string, v1::RefusedLeaf> by_reason;
  const std::int64_t now = context.clock().now().value;
  for (const RefusedFile& file : files) {
    v1::RefusedLeaf& refused = by_reason[file.refusal.reason];
    refused.set_count(refused.count() + 1);
    if (refused.count() > 1) continue;
    refused.set_what("receipts");
    refused.set_reason(file.refusal.reason);
    refused.set_subject(printable(file.name).substr(0, kMaxSubjectChars));
    refused.set_first_ms(now);
    refused.set_last_ms(now);
  }
  std::vector<v1::LogLeaf> leaves;
  for (const auto& [reason, refused] : by_reason)
    *leaves.emplace_back().mutable_refused() = refused;
  if (!leaves.empty()) context.gate().report(leaves);
}

void register_receipt_actions(Ledger& ledger) {
  ledger.on_action(kApplyReceipts, [&ledger](store::Database&, ByteView data) {
    ReceiptStore::apply_in(ledger,
                           static_cast<std::int64_t>(read_u64be(data)),
                           read_u64be(data.subspan(8)),
                           UtcMillis{static_cast<std::int64_t>(read_u64be(data.subspan(16)))});
  });
  ledger.on_action(kAddIncident, [](store::Database& database, ByteView data) {
    UtcMillis now;
    const Incident incident = decode(data, now);
    ReceiptStore::add_incident_in(database, incident, now);
  });
}

}  // namespace keyferry::appliance
