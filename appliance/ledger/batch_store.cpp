#include "appliance/ledger/batch_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <utility>

#include "appliance/ledger/outside_store.h"
#include "appliance/ledger/part_rows.h"
#include "wrap/base/cut.h"
#include "wrap/base/error.h"
#include "wrap/base/text.h"
#include "wrap/crypto/hash.h"

namespace keyferry::appliance {
namespace {

using store::guarded;

constexpr std::size_t kShortestPrefix = 4;

constexpr const char* kBatchColumns =
    "SELECT batch_id, plan_digest, state, list_id, site, customer, station_id, authority, "
    "se_count, target_count, "
    "segment_count, segment_size, due_ms, made_ms, started_ms, closed_ms, outside FROM batch ";

/// The numbers say where to look: by the index of the segment alone a whole batch would be read.
constexpr const char* kOfSegment =
    "batch_id = :batch AND segment_idx = :idx AND record_no BETWEEN :idx * (SELECT segment_size FROM batch WHERE "
    "batch_id = :batch) AND (:idx + 1) * (SELECT segment_size FROM batch WHERE batch_id = :batch) - 1";

std::optional<UtcMillis> time_at(SQLite::Statement& row, int index) {
  if (row.getColumn(index).isNull()) return std::nullopt;
  return UtcMillis{row.getColumn(index).getInt64()};
}

/// The column `state` knows what is beside it in `outside` as 'generating'.
std::optional<BatchState> state_from_columns(const std::string& state, const std::string& outside) {
  if (state == "generating" && !outside.empty()) return batch_state_from_name(outside);
  return batch_state_from_name(state);
}

bool is_outside_state(BatchState state) { return state == BatchState::Waiting || state == BatchState::Certifying; }

BatchRow batch_at(SQLite::Statement& row) {
  const auto state = state_from_columns(row.getColumn(2).getString(), row.getColumn(16).getString());
  if (!state) throw damaged("a batch's state");
  return BatchRow{.id = id_at<BatchId>(row, 0),
                  .plan_digest = id_at<Digest>(row, 1),
                  .state = *state,
                  .list = ListId{row.getColumn(3).getInt64()},
                  .site = row.getColumn(4).getString(),
                  .customer = row.getColumn(5).getString(),
                  .station = id_at<StationId>(row, 6),
                  .authority = row.getColumn(7).getString(),
                  .se_count = small_at(row, 8),
                  .target_count = small_at(row, 9),
                  .segment_count = small_at(row, 10),
                  .segment_size = small_at(row, 11),
                  .due = UtcMillis{row.getColumn(12).getInt64()},
                  .made = UtcMillis{row.getColumn(13).getInt64()},
                  .started = time_at(row, 14),
                  .closed = time_at(row, 15)};
}

/// Between here and there no row is held against its parents one by one: insert_records does that for all of a segment
/// at once. Not inside a transaction, where SQLite ignores the setting.
class ParentsCheckedAtOnce {
 public:
  explicit ParentsCheckedAtOnce(store::Database& database) : database_{database} {
    database_.exec("PRAGMA foreign_keys=OFF");
  }
  ~ParentsCheckedAtOnce() { database_.tryExec("PRAGMA foreign_keys=ON"); }
  ParentsCheckedAtOnce(const ParentsCheckedAtOnce&) = delete;
  ParentsCheckedAtOnce& operator=(const ParentsCheckedAtOnce&) = delete;

 private:
  store::Database& database_;
};

void check_parents(store::Database& database,
                   const BatchId& batch,
                   SegmentIndex segment,
                   const std::vector<RecordRow>& records) {
  SQLite::Statement query{database,
                          "SELECT count(*), EXISTS (SELECT 1 FROM batch WHERE batch_id = :batch) FROM record JOIN se USING (se_id) "
                          "WHERE batch_id = :batch AND segment_idx = :segment AND record_no BETWEEN :first AND :last"};
  store::bind_blob(query, ":batch", batch.bytes());
  query.bind(":segment", segment.value);
  query.bind(":first", records.front().record_no.value);
  query.bind(":last", records.back().record_no.value);
  query.executeStep();
  if (natural_at(query, 0) != records.size() || natural_at(query, 1) != 1) {
    throw Error{Code::Storage,
                fmt::format("ledger: a record of segment {} has no SE or no batch", segment.value),
                "restore the ledger from its newest backup"};
  }
}

/// An INSERT of `count` records: batch and segment once, then each record's own values.
SQLite::Statement record_insert(store::Database& database, std::size_t count) {
  std::string sql =
      "INSERT INTO record (batch_id, segment_idx, record_no, se_id, generation, public_key, "
      "certificate_serial, certificate_sha256, challenge, outside_serial, state) VALUES ";
  for (std::size_t i = 0; i < count; ++i)
    sql += i == 0 ? "(?1, ?2, ?, ?, ?, ?, ?, ?, ?, ?, 'issued')" : ", (?1, ?2, ?, ?, ?, ?, ?, ?, ?, ?, 'issued')";
  return {database, sql};
}

/// Returns the number of the next record's first value.
int bind_record(SQLite::Statement& insert, int at, const RecordRow& record) {
  const auto octets = [&insert, &at](ByteView value) {
    insert.bindNoCopy(at++, value.data(), static_cast<int>(value.size()));
  };
  insert.bind(at++, record.record_no.value);
  insert.bind(at++, record.se.value);
  insert.bind(at++, record.generation);
  octets(record.public_key);
  octets(record.certificate_serial);
  octets(record.certificate_sha256.bytes());
  octets(record.challenge.bytes());
  if (record.outside_serial.empty()) {
    insert.bind(at++);
  } else {
    octets(record.outside_serial);
  }
  return at;
}

void insert_records(store::Database& database,
                    const BatchId& batch,
                    SegmentIndex segment,
                    const std::vector<RecordRow>& records) {
  if (records.empty()) return;
  constexpr std::size_t kAtOnce = 64;  // a sixth less work than one by one
  std::optional<SQLite::Statement> insert;
  for (std::span<const RecordRow> left{records}; !left.empty();) {
    const auto some = left.first(std::min(left.size(), kAtOnce));
    if (!insert || some.size() != kAtOnce) {
      insert.emplace(record_insert(database, some.size()));
      insert->bindNoCopy(1, batch.bytes().data(), static_cast<int>(batch.bytes().size()));
      insert->bind(2, segment.value);
    }
    int at = 3;
    for (const RecordRow& record : some) at = bind_record(*insert, at, record);
    insert->exec();
    insert->reset();
    left = left.subspan(some.size());
  }
  check_parents(database, batch, segment, records);
}

void add_nonces(store::Database& database, const std::vector<RecordRow>& records) {
  SQLite::Statement insert{database, "INSERT INTO seen_nonce (id) VALUES (:id) ON CONFLICT DO NOTHING"};
  for (const RecordRow& record : records) {
    if (record.nonce_id.empty()) continue;
    store::bind_blob(insert, ":id", record.nonce_id);
    if (insert.exec() == 0) throw SeenBefore{"seen_nonce"};
    insert.reset();
  }
}

/// Under an outside CA the keys were noted when they were made, and each serial when its certificate was taken in
/// (key_request_serial_once): a segment that is made anew after a cut brings the same ones again.
void add_seen_values(SeenValues& seen, const std::vector<RecordRow>& records) {
  if (!records.empty() && !records.front().outside_serial.empty()) return;
  std::vector<SeenId> keys(records.size());
  std::vector<SeenId> serials(records.size());
  for (std::size_t i = 0; i < records.size(); ++i) {
    keys[i] = seen_public_key(records[i].public_key);
    if (records[i].certificate_serial.size() != serials[i].size()) throw damaged("a serial");
    std::ranges::copy(records[i].certificate_serial, serials[i].begin());
  }
  seen.add(std::move(keys), std::move(serials));
}

}  // namespace

// --- batches -------------------------------------------------------------------------------------

std::optional<BatchRow> BatchStore::find(const BatchId& batch) {
  return guarded("ledger: find a batch", [&]() -> std::optional<BatchRow> {
    SQLite::Statement query{ledger_.database(),
                            std::string{kBatchColumns} + "WHERE batch_id = :batch"};
    store::bind_blob(query, ":batch", batch.bytes());
    if (!query.executeStep()) return std::nullopt;
    return batch_at(query);
  });
}

std::vector<BatchRow> BatchStore::all() {
  return guarded("ledger: list batches", [&] {
    std::vector<BatchRow> rows;
    SQLite::Statement query{ledger_.database(),
                            std::string{kBatchColumns} + "ORDER BY made_ms, batch_id"};
    while (query.executeStep()) rows.push_back(batch_at(query));
    return rows;
  });
}

std::variant<BatchRow, Refusal> BatchStore::resolve(std::string_view text) {
  std::vector<BatchRow> found;
  const bool hex = text.size() >= kShortestPrefix && text.size() <= 2 * BatchId::kSizeBytes &&
                   text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
  if (hex) {
    for (BatchRow& row : all()) {
      if (row.id.hex().starts_with(text)) found.push_back(std::move(row));
    }
  }
  if (found.size() == 1) return std::move(found.front());
  if (found.empty()) {
    return Refusal{"batch-unknown",
                   fmt::format("there is no batch \"{}\"", printable(text)),
                   "`keyferry-appliance batch status` lists the batches"};
  }
  return Refusal{"batch-ambiguous",
                 fmt::format("{} batches begin with \"{}\"", found.size(), text),
                 "give more digits of the id"};
}

void BatchStore::advance_in(store::Database& database,
                            const BatchId& batch,
                            BatchEvent event,
                            UtcMillis now) {
  SQLite::Statement query{database, "SELECT state, outside FROM batch WHERE batch_id = :batch"};
  store::bind_blob(query, ":batch", batch.bytes());
  const auto from =
      query.executeStep()
          ? state_from_columns(query.getColumn(0).getString(), query.getColumn(1).getString())
          : std::nullopt;
  const auto to = from ? next(*from, event) : std::nullopt;
  if (!to) {
    throw Error{Code::Internal,
                fmt::format("ledger: batch {} cannot take this step from state \"{}\"",
                            batch.hex(),
                            from ? state_name(*from) : "unknown")};
  }
  SQLite::Statement update{database,
                           "UPDATE batch SET state = :state, outside = :outside, started_ms = CASE "
                           "WHEN :state = 'generating' AND started_ms IS NULL THEN :now ELSE started_ms END, "
                           "closed_ms = CASE WHEN :state = 'closed' THEN :now ELSE closed_ms END "
                           "WHERE batch_id = :batch"};
  update.bind(":state", std::string{is_outside_state(*to) ? "generating" : state_name(*to)});
  update.bind(":outside", std::string{is_outside_state(*to) ? state_name(*to) : ""});
  update.bind(":now", now.value);
  store::bind_blob(update, ":batch", batch.bytes());
  update.exec();
}

void BatchStore::advance(const BatchId& batch, BatchEvent event, UtcMillis now) {
  guarded("ledger: change a batch's state", [&] {
    store::WriteTransaction transaction{ledger_.database()};
    advance_in(ledger_.database(), batch, event, now);
    transaction.commit();
  });
}

std::optional<std::string> BatchStore::conflict(const BatchRow& batch) {
  return guarded("ledger: look for SEs with a live key", [&]() -> std::optional<std::string> {
    SQLite::Statement query{
        ledger_.database(),
        "SELECT se.family, se.se_serial, se.key_name, other.batch_id FROM se_list_entry AS mine "
        "JOIN se_list_entry AS theirs ON theirs.se_id = mine.se_id "
        "JOIN batch AS other ON other.list_id = theirs.list_id AND other.batch_id <> :batch "
        "JOIN se ON se.se_id = mine.se_id "
        "LEFT JOIN record ON record.batch_id = other.batch_id AND record.record_no = theirs.idx "
        "WHERE mine.list_id = :list AND (other.state = 'generating' OR (record.state IS NOT NULL "
        "AND record.revoked = 0 AND record.state <> 'never_left')) ORDER BY mine.idx LIMIT 1"};
    store::bind_blob(query, ":batch", batch.id.bytes());
    query.bind(":list", batch.list.value);
    if (!query.executeStep()) return std::nullopt;
    return fmt::format("SE {} {} ({}) belongs to batch {}",
                       query.getColumn(0).getString(),
                       to_hex(store::column_blob(query, 1)),
                       query.getColumn(2).getString(),
                       id_at<BatchId>(query, 3).hex());
  });
}

// --- segments and manifest -----------------------------------------------------------------------

std::vector<SealedPart> BatchStore::segments(const BatchId& batch) {
  return guarded("ledger: read a batch's segments", [&] {
    std::vector<SealedPart> parts;
    SQLite::Statement query{
        ledger_.database(),
        "SELECT state, count, container_id, digest, body_size_bytes, first_leaf, idx FROM segment "
        "WHERE batch_id = :batch ORDER BY idx"};
    store::bind_blob(query, ":batch", batch.bytes());
    while (query.executeStep()) parts.push_back(part_at(query, SegmentIndex{small_at(query, 6)}));
    return parts;
  });
}

std::optional<SealedPart> BatchStore::manifest(const BatchId& batch) {
  return guarded("ledger: read a batch's manifest", [&]() -> std::optional<SealedPart> {
    SQLite::Statement query{
        ledger_.database(),
        "SELECT manifest.state, segment_count, container_id, digest, body_size_bytes, first_leaf "
        "FROM manifest JOIN batch USING (batch_id) WHERE batch_id = :batch"};
    store::bind_blob(query, ":batch", batch.bytes());
    if (!query.executeStep()) return std::nullopt;
    return part_at(query, std::nullopt);
  });
}

std::uint64_t BatchStore::prepare(const BatchId& batch,
                                  const SealedPart& part,
                                  const std::vector<RecordRow>& records,
                                  const std::vector<Bytes>& leaves) {
  const std::string what = fmt::format("ledger: prepare a part of batch {}", batch.hex());
  const auto body = [&] {
    std::optional<ParentsCheckedAtOnce> parents;
    if (part.index) parents.emplace(ledger_.database());
    store::WriteTransaction transaction{ledger_.database()};
    const std::uint64_t first_leaf = ledger_.add_pending(leaves, std::nullopt);
    SQLite::Statement insert{
        ledger_.database(),
        part.index ? "INSERT INTO segment (batch_id, idx, state, count, container_id, digest, "
                     "body_size_bytes, "
                     "first_leaf) VALUES (:batch, :idx, 'prepared', :count, :container, :digest, "
                     ":size, :first)"
                   : "INSERT INTO manifest (batch_id, state, container_id, digest, "
                     "body_size_bytes, first_leaf) "
                     "VALUES (:batch, 'prepared', :container, :digest, :size, :first)"};
    store::bind_blob(insert, ":batch", batch.bytes());
    if (part.index) {
      insert.bind(":idx", part.index->value);
      insert.bind(":count", part.count);
    }
    store::bind_blob(insert, ":container", part.container.bytes());
    store::bind_blob(insert, ":digest", part.digest.bytes());
    insert.bind(":size", static_cast<std::int64_t>(part.body_size_bytes));
    insert.bind(":first", static_cast<std::int64_t>(first_leaf));
    insert.exec();
    if (part.index) {
      insert_records(ledger_.database(), batch, *part.index, records);
      if (!seen_) seen_.emplace(ledger_.database());
      add_seen_values(*seen_, records);
      add_nonces(ledger_.database(), records);
    }
    KF_CUT("front.prepare.before-commit");
    transaction.commit();
    return first_leaf;
  };
  const auto refuse = [&](const std::string& why) {
    return Error{
        Code::Refused,
        fmt::format("{}: an SE has a live key already, or a key, serial or nonce was there before ({})", what, why),
        "make a plan without the SEs that have a live key; if none has one, the HSM's random numbers repeat: stop using it"};
  };
  return prepare_part(seen_, what, body, refuse);
}

void BatchStore::seal(const BatchId& batch,
                      const SealedPart& part,
                      ByteView trailer,
                      const std::string& checkpoint) {
  guarded("ledger: seal a part of a batch", [&] {
    store::WriteTransaction transaction{ledger_.database()};
    ledger_.settle_in_transaction(checkpoint);
    SQLite::Statement update{
        ledger_.database(),
        part.index
            ? "UPDATE segment SET state = 'sealed', trailer = :trailer WHERE batch_id = :batch AND "
              "idx = :idx"
            : "UPDATE manifest SET state = 'sealed', trailer = :trailer WHERE batch_id = :batch"};
    store::bind_blob(update, ":trailer", trailer);
    store::bind_blob(update, ":batch", batch.bytes());
    if (part.index) update.bind(":idx", part.index->value);
    update.exec();
    KF_CUT("front.seal.before-commit");
    transaction.commit();
  });
}

void BatchStore::drop_prepared(const BatchId& batch, const SealedPart& part) {
  guarded("ledger: drop a part that was never sealed", [&] {
    store::WriteTransaction transaction{ledger_.database()};
    if (part.index) {
      SQLite::Statement records{
          ledger_.database(), "DELETE FROM record WHERE " + std::string{kOfSegment}};
      store::bind_blob(records, ":batch", batch.bytes());
      records.bind(":idx", part.index->value);
      records.exec();
    }
    SQLite::Statement remove{
        ledger_.database(),
        part.index
            ? "DELETE FROM segment WHERE batch_id = :batch AND idx = :idx AND state = 'prepared'"
            : "DELETE FROM manifest WHERE batch_id = :batch AND state = 'prepared'"};
    store::bind_blob(remove, ":batch", batch.bytes());
    if (part.index) remove.bind(":idx", part.index->value);
    remove.exec();
    KF_CUT("front.drop.before-commit");
    transaction.commit();
  });
}

std::vector<BatchStore::PreparedPart> BatchStore::prepared() {
  std::vector<PreparedPart> found;
  for (const BatchRow& batch : all()) {
    if (batch.state != BatchState::Generating && batch.state != BatchState::Certifying) continue;
    for (const SealedPart& part : OutsideStore{ledger_}.segments(batch.id)) {
      if (part.state == SealState::Prepared) found.push_back({batch.id, part});
    }
    for (const SealedPart& part : segments(batch.id)) {
      if (part.state == SealState::Prepared) found.push_back({batch.id, part});
    }
    const auto manifest_part = manifest(batch.id);
    if (manifest_part && manifest_part->state == SealState::Prepared)
      found.push_back({batch.id, *manifest_part});
  }
  return found;
}

// --- records -------------------------------------------------------------------------------------

std::vector<Digest> BatchStore::certificate_hashes(const BatchId& batch, SegmentIndex segment) {
  return guarded("ledger: read certificate hashes", [&] {
    std::vector<Digest> hashes;
    SQLite::Statement query{
        ledger_.database(),
        fmt::format("SELECT certificate_sha256 FROM record WHERE {} ORDER BY record_no", kOfSegment)};
    store::bind_blob(query, ":batch", batch.bytes());
    query.bind(":idx", segment.value);
    while (query.executeStep()) hashes.push_back(id_at<Digest>(query, 0));
    return hashes;
  });
}

std::uint64_t BatchStore::sealed_records(const BatchId& batch) {
  return guarded("ledger: count sealed records", [&] {
    SQLite::Statement query{
        ledger_.database(),
        "SELECT coalesce(sum(count), 0) FROM segment WHERE batch_id = :batch AND state = 'sealed'"};
    store::bind_blob(query, ":batch", batch.bytes());
    query.executeStep();
    return natural_at(query, 0);
  });
}

}  // namespace keyferry::appliance
