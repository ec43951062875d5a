#include "appliance/ledger/ends_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "appliance/ledger/device_store.h"
#include "appliance/ledger/outside_store.h"
#include "appliance/ledger/receipt_store.h"
#include "token/audit/merkle.h"
#include "wrap/base/error.h"

namespace keyferry::appliance {
namespace {

using store::guarded;

constexpr const char* kBatchesClosed = "batches-closed";  // data: u64be time, then batch ids
constexpr const char* kStationRetired =
    "station-retired";  // data: u64be time, station id, u32be generation, u64be size
constexpr const char* kQuarantineReleased =
    "quarantine-released";  // data: batch id, u32be record number, u64be time, reason

constexpr const char* kOpenBatches =
    "SELECT batch_id FROM batch WHERE station_id = :station AND state IN ('generating', 'sealed', 'out', "
    "'reconciling') "
    "ORDER BY batch_id";

template <typename Id>
Id id_of(ByteView octets) {
  const auto id = Id::from_bytes(octets);
  if (!id) throw Error{Code::Storage, "ledger: an id is damaged", "restore the ledger from its newest backup"};
  return *id;
}

void run_for(store::Database& database, const BatchId& batch, const char* sql) {
  SQLite::Statement statement{database, sql};
  store::bind_blob(statement, ":batch", batch.bytes());
  statement.exec();
}

std::vector<BatchId> open_batches_in(store::Database& database, const StationId& station) {
  SQLite::Statement query{database, kOpenBatches};
  store::bind_blob(query, ":station", station.bytes());
  std::vector<BatchId> found;
  while (query.executeStep()) found.push_back(id_of<BatchId>(store::column_blob(query, 0)));
  return found;
}

UtcMillis time_of(ByteView data) {
  return UtcMillis{static_cast<std::int64_t>(read_u64be(data))};
}

void close_batches(store::Database& database, ByteView data) {
  const UtcMillis now = time_of(data);
  for (ByteView rest = data.subspan(8); !rest.empty(); rest = rest.subspan(BatchId::kSizeBytes)) {
    close_batch_in(database, id_of<BatchId>(rest.first(BatchId::kSizeBytes)), BatchEvent::ClosedByQuorum, now);
  }
}

void retire_station(store::Database& database, ByteView data) {
  const UtcMillis now = time_of(data);
  const auto station = id_of<StationId>(data.subspan(8, StationId::kSizeBytes));
  const ByteView end = data.subspan(8 + StationId::kSizeBytes);
  for (const BatchId& batch : open_batches_in(database, station)) {
    close_batch_in(database, batch, BatchEvent::ClosedByQuorum, now);
    run_for(
        database, batch,
        "UPDATE se SET generation = generation + 1 WHERE se_id IN (SELECT se_id FROM record WHERE record.batch_id = "
        ":batch AND record.state = 'revoked' AND record.generation = se.generation AND NOT EXISTS (SELECT 1 FROM "
        // what officers revoked one by one they release one by one
        "device_act AS act WHERE act.batch_id = record.batch_id AND act.record_no = record.record_no AND act.kind = "
        "'revoked'))");
  }
  Incident incident;
  incident.kind = "station-retired";
  incident.station = station;
  incident.subject =
      fmt::format("station={} generation={} size={}", station.hex(), read_u32be(end), read_u64be(end.subspan(4)));
  incident.text =
      "officers retired this station: its log ends at what was accepted last; what it did since is unknown";
  incident.evidence = to_bytes(end);
  ReceiptStore::add_incident_in(database, incident, now);
}

void release_from_quarantine(store::Database& database, ByteView data) {
  const auto batch = id_of<BatchId>(data.first(BatchId::kSizeBytes));
  const std::uint32_t record = read_u32be(data.subspan(BatchId::kSizeBytes));
  SQLite::Statement mark{
      database,
      "UPDATE record SET revoked = 1, crl_due = 1 WHERE batch_id = :batch AND record_no = :no AND state "
      "IN ('quarantined', 'returned', 'revoked')"};
  store::bind_blob(mark, ":batch", batch.bytes());
  mark.bind(":no", record);
  if (mark.exec() != 1) throw Error{Code::Storage, "ledger: a record that was released is in another state"};
  SQLite::Statement grow{
      database,
      "UPDATE se SET generation = generation + 1 WHERE se_id = (SELECT se_id FROM record WHERE batch_id = "
      ":batch AND record_no = :no AND record.generation = se.generation)"};
  store::bind_blob(grow, ":batch", batch.bytes());
  grow.bind(":no", record);
  grow.exec();
  const ByteView rest = data.subspan(BatchId::kSizeBytes + 4);
  if (rest.size() < 8) return;  // pending since an older program
  add_release_in(database, batch, record, to_string(rest.subspan(8)), time_of(rest));
}

}  // namespace

void close_batch_in(store::Database& database, const BatchId& batch, BatchEvent event, UtcMillis now) {
  static_assert(next(RecordState::Issued, RecordEvent::RevokedByQuorum) == RecordState::Revoked);
  run_for(database, batch,
          "DELETE FROM record WHERE batch_id = :batch AND segment_idx IN (SELECT idx FROM segment "
          "WHERE segment.batch_id = :batch AND segment.state = 'prepared')");
  run_for(database, batch, "DELETE FROM segment WHERE batch_id = :batch AND state = 'prepared'");
  run_for(database, batch, "DELETE FROM manifest WHERE batch_id = :batch AND state = 'prepared'");
  drop_prepared_waiting_in(database, batch);
  run_for(database, batch,
          "UPDATE record SET state = 'revoked', revoked = 1, crl_due = 1 WHERE batch_id = :batch AND "
          "state = 'issued'");
  run_for(database, batch,
          "INSERT INTO record (batch_id, record_no, segment_idx, se_id, generation, state) "
          "SELECT batch_id, entry.idx, entry.idx / segment_size, entry.se_id, se.generation, 'never_left' "
          "FROM batch JOIN se_list_entry AS entry USING (list_id) JOIN se USING (se_id) "
          "WHERE batch_id = :batch AND NOT EXISTS (SELECT 1 FROM record WHERE record.batch_id = :batch AND "
          "record.record_no = entry.idx) ORDER BY entry.idx");
  BatchStore::advance_in(database, batch, event, now);
}

void EndsStore::visit(std::vector<BatchId> batches, const std::function<void(const OutstandingRecord&)>& visit) {
  std::ranges::sort(batches);
  guarded("ledger: list outstanding records", [&] {
    for (const BatchId& batch : batches) {
      SQLite::Statement query{
          ledger_.database(),
          "SELECT record_no, family, se_serial, key_name, certificate_serial, certificate_sha256, outside_serial FROM record JOIN se "
          "USING "
          "(se_id) JOIN segment ON segment.batch_id = record.batch_id AND segment.idx = record.segment_idx "
          "WHERE record.batch_id = :batch AND record.state = 'issued' AND segment.state = 'sealed' ORDER BY "
          "record_no"};
      store::bind_blob(query, ":batch", batch.bytes());
      while (query.executeStep()) {
        visit(OutstandingRecord{.batch = batch,
                                .record_no = static_cast<std::uint32_t>(query.getColumn(0).getInt64()),
                                .family = query.getColumn(1).getString(),
                                .se_serial = store::column_blob(query, 2),
                                .key_name = query.getColumn(3).getString(),
                                .certificate_serial = store::column_blob(query, 4),
                                .certificate_sha256 = id_of<Digest>(store::column_blob(query, 5)),
                                .outside_serial = store::column_blob(query, 6)});
      }
    }
  });
}

RecordSet EndsStore::outstanding(const std::vector<BatchId>& batches) {
  audit::Frontier frontier;
  visit(batches, [&](const OutstandingRecord& record) {
    Bytes leaf = to_bytes(record.batch.bytes());
    append_u32be(leaf, record.record_no);
    append(leaf, record.certificate_serial);
    frontier.append(audit::leaf_hash(leaf));
  });
  return {frontier.size(), frontier.root()};
}

std::vector<BatchId> EndsStore::open_batches(const StationId& station) {
  return guarded("ledger: list a station's batches", [&] { return open_batches_in(ledger_.database(), station); });
}

std::optional<ReleasableRecord> EndsStore::releasable(const BatchId& batch, RecordNo record) {
  return guarded("ledger: find a record", [&]() -> std::optional<ReleasableRecord> {
    SQLite::Statement query{
        ledger_.database(),
        "SELECT state, revoked AND record.generation < se.generation, family, se_serial, EXISTS (SELECT 1 FROM "
        "se_scrapped AS gone WHERE gone.family = se.family AND gone.se_serial = se.se_serial), device_replaced FROM "
        "record JOIN se USING (se_id) WHERE batch_id = :batch AND record_no = :no"};
    store::bind_blob(query, ":batch", batch.bytes());
    query.bind(":no", record.value);
    if (!query.executeStep()) return std::nullopt;
    const auto state = record_state_from_name(query.getColumn(0).getString());
    if (!state) throw Error{Code::Storage, "ledger: a record's state is damaged"};
    return ReleasableRecord{*state, query.getColumn(1).getInt() != 0, query.getColumn(2).getString(),
                            store::column_blob(query, 3), query.getColumn(4).getInt() != 0,
                            query.getColumn(5).getInt() != 0};
  });
}

bool EndsStore::note_in_hand(const BatchId& batch, RecordNo record, UtcMillis now) {
  return guarded("ledger: note an SE in hand", [&] {
    store::WriteTransaction transaction{ledger_.database()};
    const auto found = releasable(batch, record);
    if (!found || (found->state != RecordState::Quarantined && found->state != RecordState::Returned)) return false;
    SQLite::Statement insert{ledger_.database(), "INSERT OR IGNORE INTO se_in_hand VALUES (:batch, :no, :now)"};
    store::bind_blob(insert, ":batch", batch.bytes());
    insert.bind(":no", record.value);
    insert.bind(":now", now.value);
    insert.exec();
    transaction.commit();
    return true;
  });
}

std::uint64_t EndsStore::in_hand(const BatchId& batch) {
  return guarded("ledger: count SEs in hand", [&] {
    SQLite::Statement query{ledger_.database(), "SELECT count(*) FROM se_in_hand WHERE batch_id = :batch"};
    store::bind_blob(query, ":batch", batch.bytes());
    query.executeStep();
    return static_cast<std::uint64_t>(query.getColumn(0).getInt64());
  });
}

std::uint64_t scrapped_in(Ledger& ledger, const BatchId& batch) {
  return guarded("ledger: count scrapped SEs", [&] {
    SQLite::Statement query{ledger.database(),
                            "SELECT count(*) FROM device_act JOIN record USING (batch_id, record_no) WHERE batch_id = "
                            ":batch AND kind = 'scrapped' AND state IN ('quarantined', 'returned')"};
    store::bind_blob(query, ":batch", batch.bytes());
    query.executeStep();
    return static_cast<std::uint64_t>(query.getColumn(0).getInt64());
  });
}

void register_end_actions(Ledger& ledger) {
  ledger.on_action(kBatchesClosed, close_batches);
  ledger.on_action(kStationRetired, retire_station);
  ledger.on_action(kQuarantineReleased, release_from_quarantine);
}

Action batches_closed_action(const std::vector<BatchId>& batches, UtcMillis now) {
  Action action{kBatchesClosed, {}};
  append_u64be(action.data, static_cast<std::uint64_t>(now.value));
  for (const BatchId& batch : batches) append(action.data, batch.bytes());
  return action;
}

Action station_retired_action(const StationRetirePlan& plan, UtcMillis now) {
  Action action{kStationRetired, {}};
  append_u64be(action.data, static_cast<std::uint64_t>(now.value));
  append(action.data, plan.station.bytes());
  append_u32be(action.data, plan.log_generation);
  append_u64be(action.data, plan.log_size);
  return action;
}

Action quarantine_released_action(const BatchId& batch, RecordNo record, const std::string& reason, UtcMillis now) {
  Action action{kQuarantineReleased, to_bytes(batch.bytes())};
  append_u32be(action.data, record.value);
  append_u64be(action.data, static_cast<std::uint64_t>(now.value));
  append(action.data, as_bytes(reason));
  return action;
}

}  // namespace keyferry::appliance
