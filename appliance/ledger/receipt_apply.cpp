// The second half of receipt_store.h: carrying out a staged import, and incidents.
#include <fmt/format.h>

#include <array>
#include <set>
#include <utility>

#include "appliance/ledger/receipt_store.h"
#include "token/receipt.h"
#include "wrap/base/error.h"
#include "wrap/crypto/hash.h"

namespace keyferry::appliance {
namespace {

using store::guarded;

constexpr std::size_t kEntriesPerBlock = 1024;

struct IncidentText {
  std::string_view kind;
  std::string_view text;
};

constexpr std::array kEntryIncidents{
    IncidentText{"receipt-doubled",
                 "another receipt came for a record that has one; the first stays"},
    IncidentText{"receipt-after-end", "a receipt came for a record that was closed without one"},
    IncidentText{"receipt-voided", "a station's log voids a receipt that was accepted"},
    // What token::check_line found: the SE's key signed it, and the record stays outstanding.
    IncidentText{"receipt-verdicts",
                 "a receipt says injected, and its verdicts are not what the plan asks for; it was "
                 "not accepted"},
    IncidentText{"receipt-proof-missing",
                 "a receipt says injected and does not bring what its verdicts rest on; it was not "
                 "accepted"},
    IncidentText{"receipt-proof-chain",
                 "a receipt says injected, and the chain read back from its SE is not the one that "
                 "was issued; it was not accepted"},
    IncidentText{"receipt-proof-time",
                 "a receipt says injected, and its chain was verified for another time than the "
                 "plan's; it was not accepted"},
    IncidentText{"receipt-proof-challenge",
                 "a receipt says injected, and the answer to the record's challenge is not by the "
                 "issued key; it was not accepted"},
    IncidentText{"receipt-proof-serial",
                 "a receipt says injected, and the certificate serial read back is not the issued "
                 "one; it was not accepted"},
    IncidentText{"receipt-proof-firmware",
                 "a receipt says injected, and the firmware that was verified is not the plan's; it "
                 "was not accepted"},
    IncidentText{"device-serial-doubled",
                 "a receipt names a device serial that another SE bears; it was not bound"},
};

std::int64_t sql_number(std::uint64_t value) {
  return static_cast<std::int64_t>(value);
}

token::ReceiptCore core_of(const StagedEntry& entry, Bytes& octets) {
  const auto leaf = token::parse_leaf(entry.entry.leaf);
  const auto* parsed = std::get_if<token::StationLeaf>(&leaf);
  const auto* core_leaf = parsed == nullptr ? nullptr : std::get_if<token::CoreLeaf>(&parsed->leaf);
  if (core_leaf != nullptr) {
    octets = core_leaf->core;
    auto core = token::parse_core(octets);
    if (auto* found = std::get_if<token::ReceiptCore>(&core)) return std::move(*found);
  }
  throw Error{Code::Storage,
              fmt::format("ledger: staged receipt {} is damaged", entry.position),
              "restore the ledger from its newest backup"};
}

RecordEvent event_of(token::Outcome outcome) {
  switch (outcome) {
    case token::Outcome::Injected:
      return RecordEvent::ReceiptInjected;
    case token::Outcome::Quarantined:
      return RecordEvent::ReceiptQuarantined;
    case token::Outcome::Returned:
      return RecordEvent::ReceiptReturned;
  }
  throw Error{Code::Internal, "an outcome without an event"};
}

struct Carrying {
  store::Database& database;
  ImportRow import;
  UtcMillis now;
};

void insert_receipt(Carrying& carrying, const StagedEntry& entry) {
  Bytes octets;
  const token::ReceiptCore core = core_of(entry, octets);
  SQLite::Statement insert{carrying.database,
                           "INSERT INTO receipt (batch_id, record_no, outcome, core, core_sha256, "
                           "signature, station_id, generation, "
                           "position, reason, import_id, accepted_ms, evidence, attestation) VALUES "
                           "(:batch, :no, :outcome, :core, :core_sha256, :signature, :station, "
                           ":generation, :position, :reason, :import, :now, :evidence, "
                           ":attestation)"};
  store::bind_blob(insert, ":batch", entry.batch->bytes());
  insert.bind(":no", entry.record_no);
  insert.bind(":outcome", std::string{token::name_of(core.outcome)});
  store::bind_blob(insert, ":core", octets);
  store::bind_blob(insert, ":core_sha256", entry.core_sha256->bytes());
  store::bind_blob(insert, ":signature", entry.entry.signature);
  store::bind_blob(insert, ":station", carrying.import.station.bytes());
  insert.bind(":generation", carrying.import.generation);
  insert.bind(":position", sql_number(entry.position));
  insert.bind(":reason", core.reason);
  insert.bind(":import", carrying.import.id);
  insert.bind(":now", carrying.now.value);
  insert.bind(":evidence", std::string{token::name_of(core.evidence_kind)});
  store::bind_blob(insert, ":attestation", entry.entry.attestation);
  insert.exec();

  SQLite::Statement record{carrying.database,
                           "SELECT state FROM record WHERE batch_id = :batch AND record_no = :no"};
  store::bind_blob(record, ":batch", entry.batch->bytes());
  record.bind(":no", entry.record_no);
  const auto from =
      record.executeStep() ? record_state_from_name(record.getColumn(0).getString()) : std::nullopt;
  const auto to = from ? next(*from, event_of(core.outcome)) : std::nullopt;
  if (!to)
    throw Error{Code::Internal, "ledger: a staged receipt does not fit the state of its record"};
  record.reset();
  // What is not proved to be in its SE may live in a working device: its certificate goes on the
  // CRL (I4).
  const bool crl_due = *to != RecordState::Injected;
  SQLite::Statement update{
      carrying.database,
      "UPDATE record SET state = :state, crl_due = :crl_due, device_serial_bound = :device "
      "WHERE batch_id = :batch AND record_no = :no"};
  update.bind(":state", std::string{state_name(*to)});
  update.bind(":crl_due", crl_due ? 1 : 0);
  update.bind(":device", entry.device_serial);
  store::bind_blob(update, ":batch", entry.batch->bytes());
  update.bind(":no", entry.record_no);
  update.exec();
}

void insert_block(Carrying& carrying, std::uint64_t first, std::size_t count, ByteView entries) {
  SQLite::Statement insert{carrying.database,
                           "INSERT INTO station_log_block (station_id, generation, first_position, "
                           "count, entries, import_id) "
                           "VALUES (:station, :generation, :first, :count, :entries, :import)"};
  store::bind_blob(insert, ":station", carrying.import.station.bytes());
  insert.bind(":generation", carrying.import.generation);
  insert.bind(":first", sql_number(first));
  insert.bind(":count", sql_number(count));
  store::bind_blob(insert, ":entries", entries);
  insert.bind(":import", carrying.import.id);
  insert.exec();
}

// Leaves that the accepted log does not have yet; an overlap was compared before and is not kept
// twice.
void keep_leaves(Carrying& carrying,
                 const std::vector<StagedEntry>& entries,
                 std::uint64_t known_size) {
  Bytes block;
  std::uint64_t first = 0;
  std::size_t count = 0;
  for (const StagedEntry& entry : entries) {
    if (entry.position < known_size) continue;
    if (count == 0) first = entry.position;
    append_u32be(block, static_cast<std::uint32_t>(entry.entry.leaf.size()));
    append(block, entry.entry.leaf);
    append_u32be(block, static_cast<std::uint32_t>(entry.entry.signature.size()));
    append(block, entry.entry.signature);
    if (++count == kEntriesPerBlock) {
      insert_block(carrying, first, count, block);
      block.clear();
      count = 0;
    }
  }
  if (count > 0) insert_block(carrying, first, count, block);
}

void finish(Carrying& carrying) {
  SQLite::Statement log{carrying.database,
                        "INSERT INTO station_log (station_id, generation, size, root, frontier, "
                        "head) SELECT station_id, generation, "
                        "to_size, root, frontier, head FROM receipts_import WHERE import_id = "
                        ":import ON CONFLICT (station_id) DO UPDATE "
                        "SET generation = excluded.generation, size = excluded.size, root = "
                        "excluded.root, frontier = "
                        "excluded.frontier, head = excluded.head"};
  log.bind(":import", carrying.import.id);
  log.exec();
  SQLite::Statement seen{
      carrying.database,
      "INSERT INTO container_seen (container_id, digest, type, station_id, seen_ms) SELECT "
      "container_id, digest, "
      "'receipts', station_id, :now FROM receipts_import WHERE import_id = :import"};
  seen.bind(":now", carrying.now.value);
  seen.bind(":import", carrying.import.id);
  seen.exec();
  SQLite::Statement batches{
      carrying.database,
      "SELECT batch_id FROM batch WHERE state = 'reconciling' AND (SELECT count(*) FROM record "
      "WHERE record.batch_id = batch.batch_id AND record.state <> 'issued') = se_count "
      "ORDER BY batch_id"};
  std::vector<BatchId> closing;
  while (batches.executeStep()) {
    const auto id = BatchId::from_bytes(store::column_blob(batches, 0));
    if (id) closing.push_back(*id);
  }
  for (const BatchId& batch : closing) {
    BatchStore::advance_in(carrying.database, batch, BatchEvent::NothingOutstanding, carrying.now);
  }
  SQLite::Statement entries{carrying.database,
                            "DELETE FROM receipt_staged WHERE import_id = :import"};
  entries.bind(":import", carrying.import.id);
  entries.exec();
  SQLite::Statement done{carrying.database,
                         "UPDATE receipts_import SET state = 'final' WHERE import_id = :import"};
  done.bind(":import", carrying.import.id);
  done.exec();
}

}  // namespace

Incident incident_of(const StagedEntry& entry, const StationId& station) {
  Incident incident;
  incident.kind = entry.incident;
  for (const IncidentText& row : kEntryIncidents) {
    if (row.kind == entry.incident) incident.text = row.text;
  }
  incident.station = station;
  incident.evidence = entry.entry.leaf;
  incident.subject = fmt::format("station={} position={}", station.hex(), entry.position);
  if (entry.batch) {
    incident.batch = entry.batch;
    incident.record_no = entry.record_no;
    incident.subject += fmt::format(" batch={} record={}", entry.batch->hex(), entry.record_no);
  }
  return incident;
}

void ReceiptStore::apply_in(Ledger& ledger, std::int64_t import, std::uint64_t end, UtcMillis now) {
  ReceiptStore store{ledger};
  const auto staged = store.staged_import();
  if (!staged || staged->id != import || end < staged->next_position || end > staged->to_size) {
    throw Error{Code::Storage, "ledger: a pending step of an import does not fit the import"};
  }
  Carrying carrying{ledger.database(), *staged, now};
  const auto log = store.station_log(staged->station);
  const auto entries =
      store.next_entries(*staged, static_cast<std::size_t>(end - staged->next_position));
  keep_leaves(carrying, entries, log ? log->frontier.size() : 0);
  std::set<BatchId> touched;
  for (const StagedEntry& entry : entries) {
    if (entry.accept) {
      if (touched.insert(*entry.batch).second) {
        BatchStore::advance_in(carrying.database, *entry.batch, BatchEvent::ReceiptsCame, now);
      }
      insert_receipt(carrying, entry);
    }
    if (!entry.incident.empty())
      add_incident_in(carrying.database, incident_of(entry, staged->station), now);
  }
  SQLite::Statement update{
      carrying.database,
      "UPDATE receipts_import SET next_position = :end WHERE import_id = :import"};
  update.bind(":end", sql_number(end));
  update.bind(":import", import);
  update.exec();
  if (end == staged->to_size) finish(carrying);
}

// --- incidents -----------------------------------------------------------------------------------

void ReceiptStore::add_incident_in(store::Database& database,
                                   const Incident& incident,
                                   UtcMillis now) {
  SQLite::Statement insert{database,
                           "INSERT OR IGNORE INTO incident (kind, subject, text, evidence, "
                           "evidence_sha256, batch_id, record_no, station_id, "
                           "state, seen_ms) VALUES (:kind, :subject, :text, :evidence, :sha256, "
                           ":batch, :no, :station, 'open', :now)"};
  const Digest sha256 = crypto::sha256(incident.evidence);
  insert.bind(":kind", incident.kind);
  insert.bind(":subject", incident.subject);
  insert.bind(":text", incident.text);
  store::bind_blob(insert, ":evidence", incident.evidence);
  store::bind_blob(insert, ":sha256", sha256.bytes());
  if (incident.batch) store::bind_blob(insert, ":batch", incident.batch->bytes());
  if (incident.record_no) insert.bind(":no", *incident.record_no);
  if (incident.station) store::bind_blob(insert, ":station", incident.station->bytes());
  insert.bind(":now", now.value);
  insert.exec();
}

bool ReceiptStore::incident_known(const Incident& incident) {
  return guarded("ledger: look for an incident", [&] {
    const Digest sha256 = crypto::sha256(incident.evidence);
    SQLite::Statement query{ledger_.database(),
                            "SELECT 1 FROM incident WHERE kind = :kind AND subject = :subject AND "
                            "evidence_sha256 = :sha256"};
    query.bind(":kind", incident.kind);
    query.bind(":subject", incident.subject);
    store::bind_blob(query, ":sha256", sha256.bytes());
    return query.executeStep();
  });
}

std::vector<IncidentRow> ReceiptStore::incidents() {
  return guarded("ledger: list incidents", [&] {
    std::vector<IncidentRow> rows;
    SQLite::Statement query{
        ledger_.database(),
        "SELECT incident_id, kind, subject, text, evidence_sha256, batch_id, seen_ms "
        "FROM incident WHERE state = 'open' ORDER BY incident_id"};
    while (query.executeStep()) {
      IncidentRow row{.id = query.getColumn(0).getInt64(),
                      .kind = query.getColumn(1).getString(),
                      .subject = query.getColumn(2).getString(),
                      .text = query.getColumn(3).getString(),
                      .seen = UtcMillis{query.getColumn(6).getInt64()}};
      if (const auto sha256 = Digest::from_bytes(store::column_blob(query, 4)))
        row.evidence_sha256 = *sha256;
      if (!query.getColumn(5).isNull())
        row.batch = BatchId::from_bytes(store::column_blob(query, 5));
      rows.push_back(std::move(row));
    }
    return rows;
  });
}

std::uint64_t ReceiptStore::open_incidents() {
  return guarded("ledger: count incidents", [&] {
    SQLite::Statement query{ledger_.database(),
                            "SELECT count(*) FROM incident WHERE state = 'open'"};
    query.executeStep();
    return static_cast<std::uint64_t>(query.getColumn(0).getInt64());
  });
}

}  // namespace keyferry::appliance
