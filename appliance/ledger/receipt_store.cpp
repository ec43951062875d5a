#include "appliance/ledger/receipt_store.h"

#include <fmt/format.h>

#include <utility>

#include "appliance/ledger/row_columns.h"
#include "wrap/base/error.h"
#include "wrap/crypto/hash.h"

namespace keyferry::appliance {
namespace {

using store::guarded;

std::int64_t sql_number(std::uint64_t value) {
  return static_cast<std::int64_t>(value);
}

void delete_import(store::Database& database, const char* of_state) {
  SQLite::Statement entries{database,
                            "DELETE FROM receipt_staged WHERE import_id IN (SELECT import_id FROM "
                            "receipts_import WHERE state = :state)"};
  entries.bind(":state", of_state);
  entries.exec();
  SQLite::Statement imports{database, "DELETE FROM receipts_import WHERE state = :state"};
  imports.bind(":state", of_state);
  imports.exec();
}

StagedEntry staged_at(SQLite::Statement& row) {
  StagedEntry entry{.position = natural_at(row, 0),
                    .entry = {store::column_blob(row, 1),
                              store::column_blob(row, 2),
                              store::column_blob(row, 9)},
                    .accept = row.getColumn(3).getInt() != 0,
                    .record_no = small_at(row, 5),
                    .device_serial = row.getColumn(7).getString(),
                    .incident = row.getColumn(8).getString()};
  if (!row.getColumn(4).isNull()) entry.batch = id_at<BatchId>(row, 4);
  if (!row.getColumn(6).isNull()) entry.core_sha256 = id_at<Digest>(row, 6);
  return entry;
}

constexpr const char* kStagedColumns =
    "SELECT position, leaf, signature, accept, batch_id, coalesce(record_no, 0), core_sha256, "
    "device_serial, incident, attestation "
    "FROM receipt_staged ";

}  // namespace

// --- what is known -------------------------------------------------------------------------------

std::optional<Digest> ReceiptStore::container_seen(const ContainerId& container) {
  return guarded("ledger: look for a container", [&]() -> std::optional<Digest> {
    SQLite::Statement query{ledger_.database(),
                            "SELECT digest FROM container_seen WHERE container_id = :id"};
    store::bind_blob(query, ":id", container.bytes());
    if (!query.executeStep()) return std::nullopt;
    return id_at<Digest>(query, 0);
  });
}

std::optional<StationLogRow> ReceiptStore::station_log(const StationId& station) {
  return guarded("ledger: read a station's log", [&]() -> std::optional<StationLogRow> {
    SQLite::Statement query{
        ledger_.database(),
        "SELECT generation, frontier, head, size, root FROM station_log WHERE station_id = :id"};
    store::bind_blob(query, ":id", station.bytes());
    if (!query.executeStep()) return std::nullopt;
    const auto frontier = audit::Frontier::parse(store::column_blob(query, 1));
    if (!frontier || frontier->size() != natural_at(query, 3) ||
        frontier->root() != id_at<Digest>(query, 4)) {
      throw damaged("a station's log");
    }
    return StationLogRow{small_at(query, 0), *frontier, store::column_blob(query, 2)};
  });
}

std::optional<Bytes> ReceiptStore::station_leaf(const StationId& station,
                                                std::uint32_t generation,
                                                std::uint64_t position) {
  const bool in_block = block_.station == station && block_.generation == generation &&
                        position >= block_.first && position - block_.first < block_.leaves.size();
  if (in_block) return block_.leaves[position - block_.first];
  return guarded("ledger: read a station's leaf", [&]() -> std::optional<Bytes> {
    SQLite::Statement query{
        ledger_.database(),
        "SELECT first_position, count, entries FROM station_log_block WHERE station_id = :id AND "
        "generation = :generation AND first_position <= :position "
        "AND first_position + count > :position ORDER BY first_position DESC LIMIT 1"};
    store::bind_blob(query, ":id", station.bytes());
    query.bind(":generation", generation);
    query.bind(":position", sql_number(position));
    if (!query.executeStep()) return std::nullopt;
    const Bytes blob = store::column_blob(query, 2);
    ByteView rest{blob};
    const auto field = [&rest]() -> ByteView {
      if (rest.size() < 4 || read_u32be(rest) > rest.size() - 4) throw damaged("a station's log");
      const ByteView octets = rest.subspan(4, read_u32be(rest));
      rest = rest.subspan(4 + octets.size());
      return octets;
    };
    block_ = {station, generation, natural_at(query, 0), {}};
    for (std::uint64_t i = 0; i < natural_at(query, 1); ++i) {
      block_.leaves.push_back(to_bytes(field()));
      static_cast<void>(field());  // the signature
    }
    return block_.leaves[position - block_.first];
  });
}

std::optional<IssuedKey> ReceiptStore::issued_key(const BatchId& batch, RecordNo record) {
  return guarded("ledger: read a record", [&]() -> std::optional<IssuedKey> {
    SQLite::Statement query{
        ledger_.database(),
        "SELECT record.state, family, se_serial, key_name, device_serial, public_key, "
        "certificate_sha256, challenge, attestation_key, coalesce(outside_serial, certificate_serial) "
        "FROM record JOIN se USING (se_id) JOIN segment ON segment.batch_id = record.batch_id "
        "AND segment.idx = record.segment_idx WHERE record.batch_id = :batch AND record_no = :no "
        "AND segment.state = 'sealed' AND public_key IS NOT NULL"};
    store::bind_blob(query, ":batch", batch.bytes());
    query.bind(":no", record.value);
    if (!query.executeStep()) return std::nullopt;
    const auto state = record_state_from_name(query.getColumn(0).getString());
    if (!state) throw damaged("a record's state");
    std::optional<crypto::PublicKey> attestation_key;
    if (!query.getColumn(8).isNull()) {
      attestation_key = crypto::PublicKey::from_point(store::column_blob(query, 8));
      if (!attestation_key) throw damaged("an attestation key");
    }
    return IssuedKey{*state,
                     query.getColumn(1).getString(),
                     store::column_blob(query, 2),
                     query.getColumn(3).getString(),
                     query.getColumn(4).getString(),
                     store::column_blob(query, 5),
                     store::column_blob(query, 9),
                     id_at<Digest>(query, 6),
                     id_at<Digest>(query, 7),
                     attestation_key};
  });
}

std::optional<Digest> ReceiptStore::receipt_core(const BatchId& batch,
                                                 RecordNo record,
                                                 std::int64_t import) {
  return guarded("ledger: look for a receipt", [&]() -> std::optional<Digest> {
    SQLite::Statement query{
        ledger_.database(),
        "SELECT core_sha256 FROM receipt WHERE batch_id = :batch AND record_no = :no UNION ALL "
        "SELECT core_sha256 FROM receipt_staged WHERE batch_id = :batch AND record_no = :no "
        "AND accept = 1 AND import_id = :import LIMIT 1"};
    store::bind_blob(query, ":batch", batch.bytes());
    query.bind(":no", record.value);
    query.bind(":import", import);
    if (!query.executeStep()) return std::nullopt;
    return id_at<Digest>(query, 0);
  });
}

bool ReceiptStore::accepted_at(const StationId& station,
                               std::uint32_t generation,
                               std::uint64_t position,
                               std::int64_t import) {
  return guarded("ledger: look for a receipt", [&] {
    SQLite::Statement query{
        ledger_.database(),
        "SELECT 1 FROM receipt WHERE station_id = :station AND generation = :generation AND "
        "position = :position UNION ALL SELECT 1 FROM receipt_staged WHERE import_id = :import "
        "AND position = :position AND accept = 1"};
    store::bind_blob(query, ":station", station.bytes());
    query.bind(":generation", generation);
    query.bind(":position", sql_number(position));
    query.bind(":import", import);
    return query.executeStep();
  });
}

bool ReceiptStore::device_serial_taken(const std::string& device_serial,
                                       const std::string& key_name,
                                       const BatchId& batch,
                                       RecordNo record,
                                       std::int64_t import) {
  return guarded("ledger: look for a device serial", [&] {
    SQLite::Statement query{
        ledger_.database(),
        // `<> ''` as the partial indexes say it: without it each of the three is scanned.
        "SELECT se_id FROM record JOIN se USING (se_id) WHERE device_serial_bound = :serial AND "
        "device_serial_bound <> '' AND key_name = :key_name AND device_replaced = 0 "
        "UNION ALL SELECT se_id FROM se WHERE device_serial = :serial AND device_serial <> '' AND "
        "key_name = :key_name AND device_replaced = 0 "
        "UNION ALL SELECT se_id FROM receipt_staged AS staged JOIN record USING (batch_id, "
        "record_no) "
        "JOIN se USING (se_id) WHERE staged.device_serial = :serial AND staged.device_serial <> '' "
        "AND key_name = :key_name AND staged.import_id = :import"};
    query.bind(":serial", device_serial);
    query.bind(":key_name", key_name);
    query.bind(":import", import);
    SQLite::Statement own{ledger_.database(),
                          "SELECT se_id FROM record WHERE batch_id = :batch AND record_no = :no"};
    store::bind_blob(own, ":batch", batch.bytes());
    own.bind(":no", record.value);
    const std::int64_t mine = own.executeStep() ? own.getColumn(0).getInt64() : 0;
    while (query.executeStep()) {
      if (query.getColumn(0).getInt64() != mine) return true;
    }
    return false;
  });
}

std::optional<LogEntry> ReceiptStore::staged_entry(std::int64_t import, std::uint64_t position) {
  return guarded("ledger: read a staged entry", [&]() -> std::optional<LogEntry> {
    SQLite::Statement query{ledger_.database(),
                            "SELECT leaf, signature, attestation FROM receipt_staged WHERE "
                            "import_id = :import AND position = :position"};
    query.bind(":import", import);
    query.bind(":position", sql_number(position));
    if (!query.executeStep()) return std::nullopt;
    return LogEntry{store::column_blob(query, 0),
                    store::column_blob(query, 1),
                    store::column_blob(query, 2)};
  });
}

// --- one import ----------------------------------------------------------------------------------

void ReceiptStore::discard_checking() {
  guarded("ledger: throw away an import that was cut off", [&] {
    store::WriteTransaction transaction{ledger_.database()};
    delete_import(ledger_.database(), "checking");
    transaction.commit();
  });
}

std::int64_t ReceiptStore::begin(const ImportRow& import, ByteView head, UtcMillis now) {
  discard_checking();
  return guarded("ledger: begin an import of receipts", [&] {
    store::WriteTransaction transaction{ledger_.database()};
    SQLite::Statement insert{ledger_.database(),
                             "INSERT INTO receipts_import (container_id, digest, station_id, "
                             "generation, from_size, to_size, root, head, "
                             "next_position, state, imported_ms) VALUES (:container, :digest, "
                             ":station, :generation, :from, :to, :root, "
                             ":head, :from, 'checking', :now)"};
    const Digest no_root;  // set with the frontier
    store::bind_blob(insert, ":container", import.container.bytes());
    store::bind_blob(insert, ":digest", import.digest.bytes());
    store::bind_blob(insert, ":station", import.station.bytes());
    insert.bind(":generation", import.generation);
    insert.bind(":from", sql_number(import.from_size));
    insert.bind(":to", sql_number(import.to_size));
    store::bind_blob(insert, ":root", no_root.bytes());
    store::bind_blob(insert, ":head", head);
    insert.bind(":now", now.value);
    insert.exec();
    const std::int64_t id = ledger_.database().getLastInsertRowid();
    transaction.commit();
    return id;
  });
}

void ReceiptStore::stage_in(std::int64_t import, const StagedEntry& entry) {
  guarded("ledger: put a receipt aside", [&] {
    SQLite::Statement insert{ledger_.database(),
                             "INSERT INTO receipt_staged (import_id, position, leaf, signature, "
                             "accept, batch_id, record_no, core_sha256, "
                             "device_serial, incident, attestation) VALUES (:import, :position, "
                             ":leaf, :signature, :accept, :batch, :no, :core, :device, "
                             ":incident, :attestation)"};
    insert.bind(":import", import);
    insert.bind(":position", sql_number(entry.position));
    store::bind_blob(insert, ":leaf", entry.entry.leaf);
    store::bind_blob(insert, ":signature", entry.entry.signature);
    insert.bind(":accept", entry.accept ? 1 : 0);
    if (entry.batch) {
      store::bind_blob(insert, ":batch", entry.batch->bytes());
      insert.bind(":no", entry.record_no);
    }
    if (entry.core_sha256) store::bind_blob(insert, ":core", entry.core_sha256->bytes());
    insert.bind(":device", entry.device_serial);
    insert.bind(":incident", entry.incident);
    store::bind_blob(insert, ":attestation", entry.entry.attestation);
    insert.exec();
  });
}

void ReceiptStore::set_staged(std::int64_t import, const audit::Frontier& frontier) {
  guarded("ledger: stage an import of receipts", [&] {
    store::WriteTransaction transaction{ledger_.database()};
    SQLite::Statement update{ledger_.database(),
                             "UPDATE receipts_import SET state = 'staged', frontier = :frontier, "
                             "root = :root, accepted = (SELECT count(*) "
                             "FROM receipt_staged AS s WHERE s.import_id = :import AND accept = "
                             "1), incidents = (SELECT count(*) FROM "
                             "receipt_staged AS s WHERE s.import_id = :import AND incident <> '') "
                             "WHERE import_id = :import"};
    const Bytes octets = frontier.serialise();
    const Digest root = frontier.root();
    store::bind_blob(update, ":frontier", octets);
    store::bind_blob(update, ":root", root.bytes());
    update.bind(":import", import);
    update.exec();
    transaction.commit();
  });
}

std::optional<ImportRow> ReceiptStore::staged_import() {
  return guarded("ledger: look for an unfinished import", [&]() -> std::optional<ImportRow> {
    SQLite::Statement query{
        ledger_.database(),
        "SELECT import_id, container_id, digest, station_id, generation, from_size, to_size, "
        "next_position, root, accepted, incidents FROM receipts_import WHERE state = 'staged'"};
    if (!query.executeStep()) return std::nullopt;
    return ImportRow{.id = query.getColumn(0).getInt64(),
                     .container = id_at<ContainerId>(query, 1),
                     .digest = id_at<Digest>(query, 2),
                     .station = id_at<StationId>(query, 3),
                     .generation = small_at(query, 4),
                     .from_size = natural_at(query, 5),
                     .to_size = natural_at(query, 6),
                     .next_position = natural_at(query, 7),
                     .root = id_at<Digest>(query, 8),
                     .accepted = small_at(query, 9),
                     .incidents = small_at(query, 10)};
  });
}

std::vector<StagedEntry> ReceiptStore::next_entries(const ImportRow& import,
                                                    std::size_t max_entries) {
  return guarded("ledger: read staged receipts", [&] {
    std::vector<StagedEntry> entries;
    SQLite::Statement query{ledger_.database(),
                            std::string{kStagedColumns} +
                                "WHERE import_id = :import AND position >= :from "
                                "ORDER BY position LIMIT :count"};
    query.bind(":import", import.id);
    query.bind(":from", sql_number(import.next_position));
    query.bind(":count", static_cast<std::int64_t>(max_entries));
    while (query.executeStep()) entries.push_back(staged_at(query));
    return entries;
  });
}

std::vector<BatchId> ReceiptStore::will_close(std::int64_t import) {
  return guarded("ledger: look for batches that come to their end", [&] {
    std::vector<BatchId> found;
    SQLite::Statement query{
        ledger_.database(),
        "SELECT batch_id FROM batch WHERE batch_id IN (SELECT batch_id FROM receipt_staged WHERE "
        "import_id = :import "
        "AND accept = 1) AND state <> 'closed' AND (SELECT count(*) FROM record WHERE "
        "record.batch_id = "
        "batch.batch_id AND record.state <> 'issued') + (SELECT count(*) FROM receipt_staged AS "
        "staged JOIN record "
        "USING (batch_id, record_no) WHERE staged.import_id = :import AND staged.accept = 1 AND "
        "staged.batch_id = "
        "batch.batch_id AND record.state = 'issued') = se_count ORDER BY batch_id"};
    query.bind(":import", import);
    while (query.executeStep()) found.push_back(id_at<BatchId>(query, 0));
    return found;
  });
}

}  // namespace keyferry::appliance
