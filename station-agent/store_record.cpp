#include <utility>

#include "station-agent/store.h"
#include "station-agent/store_rows.h"
#include "wrap/base/cut.h"

namespace keyferry::station {

using store::bind_blob;
using store::column_blob;
using store::WriteTransaction;

namespace {

constexpr const char* kRecordColumns =
    "SELECT r.batch_id, r.record_no, r.family, r.se_serial, r.key_name, r.device_serial, "
    "r.generation, r.payload, "
    "r.public_key, r.certificate, c.certificates, r.challenge, r.state, r.pending_position, "
    "r.reason FROM record r JOIN "
    "chain c ON c.chain_sha256 = r.chain_sha256 ";

std::vector<Bytes> split_chain(ByteView octets) {
  std::vector<Bytes> certificates;
  while (octets.size() >= 2) {
    const std::size_t size = read_u16be(octets);
    if (octets.size() - 2 < size) break;
    certificates.push_back(to_bytes(octets.subspan(2, size)));
    octets = octets.subspan(2 + size);
  }
  return sound(octets.empty() ? std::optional{std::move(certificates)} : std::nullopt);
}

StoredRecord read_record(SQLite::Statement& row) {
  token::Record record{RecordNo{u32_column(row, 1)},
                       sound(token::family_from_name(row.getColumn(2).getString())),
                       id_column<SeSerial>(row, 3),
                       row.getColumn(4).getString(),
                       row.getColumn(5).getString(),
                       u32_column(row, 6),
                       row.getColumn(7).isNull() ? Bytes{} : column_blob(row, 7),
                       key_column(row, 8),
                       column_blob(row, 9),
                       split_chain(column_blob(row, 10)),
                       id_column<Digest>(row, 11)};
  StoredRecord stored{std::move(record),
                      id_column<BatchId>(row, 0),
                      sound(record_state_from_name(row.getColumn(12).getString())),
                      std::nullopt,
                      row.getColumn(14).getString()};
  if (!row.getColumn(13).isNull()) stored.pending_position = unsigned_column(row, 13);
  return stored;
}

void bind_key(SQLite::Statement& statement, const RecordKey& key) {
  bind_blob(statement, ":batch", key.batch_id.bytes());
  statement.bind(":no", key.record_no.value);
}

std::vector<RecordKey> read_keys(SQLite::Statement& query) {
  std::vector<RecordKey> found;
  while (query.executeStep())
    found.push_back({id_column<BatchId>(query, 0), RecordNo{u32_column(query, 1)}});
  return found;
}

std::string name_of(const RecordKey& key) {
  return "record " + std::to_string(key.record_no.value) + " of batch " + key.batch_id.hex();
}

}  // namespace

std::optional<StoredRecord> Store::record(const RecordKey& key) const {
  return locked("station store: read a record", [&]() -> std::optional<StoredRecord> {
    SQLite::Statement query{
        database_, std::string{kRecordColumns} + "WHERE r.batch_id = :batch AND r.record_no = :no"};
    bind_key(query, key);
    if (!query.executeStep()) return std::nullopt;
    return read_record(query);
  });
}

std::vector<StoredRecord> Store::records_for(token::Family family, const SeSerial& serial) const {
  return locked("station store: find an SE's records", [&] {
    SQLite::Statement query{database_,
                            std::string{kRecordColumns} +
                                "WHERE r.family = :family AND r.se_serial = :serial AND "
                                "r.generation = (SELECT max(o.generation) FROM record "
                                "o WHERE o.family = r.family AND o.se_serial = r.se_serial AND "
                                "o.key_name = r.key_name) ORDER BY r.key_name"};
    query.bind(":family", std::string{token::name_of(family)});
    bind_blob(query, ":serial", serial.bytes());
    std::vector<StoredRecord> found;
    while (query.executeStep()) found.push_back(read_record(query));
    return found;
  });
}

std::vector<RecordKey> Store::all_records_for(token::Family family, const SeSerial& serial) const {
  return locked("station store: find an SE's records", [&] {
    SQLite::Statement query{
        database_,
        "SELECT batch_id, record_no FROM record WHERE family = :family AND se_serial = :serial "
        "ORDER BY batch_id, record_no"};
    query.bind(":family", std::string{token::name_of(family)});
    bind_blob(query, ":serial", serial.bytes());
    return read_keys(query);
  });
}

std::vector<RecordKey> Store::records_in(const BatchId& batch_id, RecordState state) const {
  return locked("station store: list records", [&] {
    SQLite::Statement query{database_,
                            "SELECT batch_id, record_no FROM record WHERE batch_id = :batch AND "
                            "state = :state ORDER BY record_no"};
    bind_blob(query, ":batch", batch_id.bytes());
    query.bind(":state", std::string{record_state_name(state)});
    return read_keys(query);
  });
}

std::vector<RecordKey> Store::unsettled() const {
  return locked("station store: list unsettled records", [&] {
    SQLite::Statement query{
        database_,
        "SELECT batch_id, record_no FROM record WHERE state IN ('injecting', 'doubtful') ORDER BY "
        "batch_id, record_no"};
    return read_keys(query);
  });
}

StateCounts Store::counts(const BatchId& batch_id) const {
  return locked("station store: count records", [&] {
    SQLite::Statement query{
        database_,
        "SELECT state, count(*) FROM record WHERE batch_id = :batch GROUP BY state ORDER BY state"};
    bind_blob(query, ":batch", batch_id.bytes());
    StateCounts counts;
    while (query.executeStep()) {
      counts.by_state[sound(record_state_from_name(query.getColumn(0).getString()))] =
          unsigned_column(query, 1);
    }
    return counts;
  });
}

bool Store::serial_registered(const BatchId& batch_id, ByteView certificate_serial) const {
  return locked("station store: look up a certificate's serial number", [&] {
    SQLite::Statement query{
        database_,
        "SELECT count(*) FROM record WHERE batch_id = :batch AND certificate_serial = :serial"};
    bind_blob(query, ":batch", batch_id.bytes());
    bind_blob(query, ":serial", certificate_serial);
    query.executeStep();
    return unsigned_column(query, 0) == 1;
  });
}

std::optional<std::uint64_t> Store::settled_position(const RecordKey& key) const {
  return locked("station store: find a record's core", [&]() -> std::optional<std::uint64_t> {
    SQLite::Statement query{database_,
                            "SELECT settled_position FROM record WHERE batch_id = :batch AND "
                            "record_no = :no AND settled_position IS NOT NULL"};
    bind_key(query, key);
    if (!query.executeStep()) return std::nullopt;
    return static_cast<std::uint64_t>(query.getColumn(0).getInt64());
  });
}

/// Inside the caller's transaction. The table decides; the journal gets its line.
RecordState Store::advance(const RecordKey& key,
                           RecordEvent event,
                           const Hand& hand,
                           const std::string& detail) {
  const auto stored = record(key);
  const auto to = stored ? next(stored->state, event) : std::nullopt;
  if (!to) {
    throw Error{Code::Internal,
                name_of(key) + ": no rule for " + std::string{record_event_name(event)} +
                    (stored ? " from " + std::string{record_state_name(stored->state)} : "")};
  }
  // A final state needs payload and position set in the same statement: settle() does that.
  if (!is_final(*to)) {
    SQLite::Statement update{database_,
                             "UPDATE record SET state = :state, pending_position = NULL WHERE "
                             "batch_id = :batch AND record_no = :no"};
    update.bind(":state", std::string{record_state_name(*to)});
    bind_key(update, key);
    update.exec();
  }
  SQLite::Statement line{
      database_,
      "INSERT INTO journal (time_ms, batch_id, record_no, event, to_state, lane, person, "
      "device_serial, detail) VALUES (:now, :batch, :no, :event, :to, :lane, :person, :device, "
      ":detail)"};
  line.bind(":now", static_cast<std::int64_t>(clock_.now().value));
  bind_key(line, key);
  line.bind(":event", std::string{record_event_name(event)});
  line.bind(":to", std::string{record_state_name(*to)});
  line.bind(":lane", hand.lane.value);
  line.bind(":person", hand.person_number);
  line.bind(":device", hand.device_serial);
  line.bind(":detail", detail);
  line.exec();
  return *to;
}

/// Inside the caller's transaction: the record reaches its final state with the core that says so.
void Store::settle(const RecordKey& key,
                   RecordState state,
                   std::uint64_t position,
                   const std::string& reason) {
  SQLite::Statement update{
      database_,
      "UPDATE record SET state = :state, payload = NULL, pending_position = NULL, settled_position "
      "= :position, reason = :reason WHERE batch_id = :batch AND record_no = :no"};
  update.bind(":state", std::string{record_state_name(state)});
  update.bind(":position", static_cast<std::int64_t>(position));
  update.bind(":reason", reason);
  bind_key(update, key);
  update.exec();
}

/// Inside the caller's transaction: a core that never got its signature is followed by a leaf that
/// says so.
void Store::void_pending(const RecordKey& key, const std::string& reason) {
  const auto stored = record(key);
  if (!stored || !stored->pending_position) return;
  append_leaf(token::StationLeaf{clock_.now(), token::VoidLeaf{*stored->pending_position, reason}});
  SQLite::Statement update{
      database_,
      "UPDATE record SET pending_position = NULL WHERE batch_id = :batch AND record_no = :no"};
  bind_key(update, key);
  update.exec();
}

void Store::note_intent(const RecordKey& key, const Hand& hand) {
  locked("station store: note an intent", [&] {
    WriteTransaction transaction{database_};
    advance(key, RecordEvent::Intended, hand, "");
    KF_CUT("station.intent-before");
    transaction.commit();
    KF_CUT("station.intent-after");  // cut here: injecting, and the chip has seen nothing
  });
}

void Store::note_cut_off(const RecordKey& key, const Hand& hand, const std::string& reason) {
  locked("station store: note a cut", [&] {
    WriteTransaction transaction{database_};
    void_pending(key, reason);
    advance(key, RecordEvent::CutOff, hand, reason);
    KF_CUT("station.cut-off-before");
    transaction.commit();
    KF_CUT("station.cut-off-after");
  });
}

void Store::note_found(const RecordKey& key, RecordEvent event, const Hand& hand) {
  locked("station store: note what the chip holds", [&] {
    WriteTransaction transaction{database_};
    advance(key, event, hand, "");
    KF_CUT("station.found-before");
    transaction.commit();
    KF_CUT("station.found-after");
  });
}

std::uint64_t Store::append_core(const RecordKey& key, ByteView core) {
  return locked("station store: append a receipt's core", [&] {
    WriteTransaction transaction{database_};
    const auto stored = record(key);
    if (!stored || stored->state != RecordState::Injecting || stored->pending_position) {
      throw Error{Code::Internal, name_of(key) + ": a core where none may be"};
    }
    const std::uint64_t position =
        append_leaf(token::StationLeaf{clock_.now(), token::CoreLeaf{to_bytes(core)}});
    SQLite::Statement update{database_,
                             "UPDATE record SET pending_position = :position WHERE batch_id = "
                             ":batch AND record_no = :no"};
    update.bind(":position", static_cast<std::int64_t>(position));
    bind_key(update, key);
    update.exec();
    KF_CUT("station.core-before");
    transaction.commit();
    KF_CUT("station.core-after");  // cut here: a core without signature; the next start voids it
    return position;
  });
}

void Store::store_signature(const RecordKey& key,
                            ByteView signature,
                            ByteView attestation,
                            const Hand& hand) {
  locked("station store: store a receipt's signature", [&] {
    WriteTransaction transaction{database_};
    const auto stored = record(key);
    if (!stored || !stored->pending_position) {
      throw Error{Code::Internal, name_of(key) + ": a signature without a core"};
    }
    SQLite::Statement update{database_,
                             "UPDATE leaf SET signature = :signature, attestation = :attestation "
                             "WHERE position = :position"};
    bind_blob(update, ":signature", signature);
    if (attestation.empty()) {
      update.bind(":attestation");
    } else {
      bind_blob(update, ":attestation", attestation);
    }
    update.bind(":position", static_cast<std::int64_t>(*stored->pending_position));
    update.exec();
    settle(key, advance(key, RecordEvent::ReceiptSigned, hand, ""), *stored->pending_position, "");
    KF_CUT("station.signature-before");
    transaction.commit();
    KF_CUT("station.signature-after");
  });
}

void Store::quarantine(const RecordKey& key,
                       ByteView core,
                       const std::string& reason,
                       const Hand& hand) {
  locked("station store: quarantine a record", [&] {
    WriteTransaction transaction{database_};
    void_pending(key, reason);
    const RecordState to = advance(key, RecordEvent::Failed, hand, reason);
    settle(key,
           to,
           append_leaf(token::StationLeaf{clock_.now(), token::CoreLeaf{to_bytes(core)}}),
           reason);
    KF_CUT("station.quarantine-before");
    transaction.commit();
    KF_CUT("station.quarantine-after");
  });
}

void Store::give_back(const RecordKey& key, ByteView core, const Hand& hand) {
  locked("station store: return a record", [&] {
    WriteTransaction transaction{database_};
    const RecordState to = advance(key, RecordEvent::GivenBack, hand, "");
    settle(key,
           to,
           append_leaf(token::StationLeaf{clock_.now(), token::CoreLeaf{to_bytes(core)}}),
           "");
    KF_CUT("station.return-before");
    transaction.commit();
    KF_CUT("station.return-after");
  });
}

}  // namespace keyferry::station
