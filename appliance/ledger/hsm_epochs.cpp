#include "appliance/ledger/hsm_epochs.h"

#include "appliance/ledger/ends_store.h"
#include "wrap/base/error.h"
#include "wrap/crypto/hash.h"

namespace keyferry::appliance {
namespace {

using store::guarded;

constexpr const char* kAdopted = "hsm-adopted";
constexpr std::uint8_t kLeafPrefix = 0x00;  // RFC 6962 section 2.1

// Nothing of it ever left: no manifest was sealed, or no token got a file of it.
constexpr const char* kLost =
    "FROM batch WHERE state IN ('generating', 'sealed') AND NOT EXISTS (SELECT 1 FROM export WHERE "
    "export.batch_id = batch.batch_id AND export.state IN ('writing', 'done')) ";

OldHsm old_at(SQLite::Statement& row) {
  const auto id = ApplianceId::from_bytes(store::column_blob(row, 1));
  if (!id) throw Error{Code::Storage, "ledger: the id of a lost HSM is damaged"};
  return OldHsm{.epoch = static_cast<std::uint32_t>(row.getColumn(0).getInt64()),
                .appliance = *id,
                .log_size = static_cast<std::uint64_t>(row.getColumn(2).getInt64()),
                .checkpoint = row.getColumn(3).getString(),
                .adopted = !row.getColumn(4).isNull()};
}

constexpr const char* kOldColumns = "SELECT epoch, appliance_id, log_size, checkpoint, successor FROM old_hsm ";

std::vector<BatchId> lost_ids(store::Database& database) {
  std::vector<BatchId> ids;
  SQLite::Statement query{database, std::string{"SELECT batch_id "} + kLost + "ORDER BY batch_id"};
  while (query.executeStep()) {
    const auto id = BatchId::from_bytes(store::column_blob(query, 0));
    if (!id) throw Error{Code::Storage, "ledger: the id of a batch is damaged"};
    ids.push_back(*id);
  }
  return ids;
}

void adopted(store::Database& database, ByteView data) {
  if (data.size() != ApplianceId::kSizeBytes + 8) throw Error{Code::Storage, "ledger: the take-over is damaged"};
  const ByteView appliance = data.first(ApplianceId::kSizeBytes);
  const UtcMillis now{static_cast<std::int64_t>(read_u64be(data.subspan(ApplianceId::kSizeBytes)))};
  SQLite::Statement successor{
      database, "UPDATE old_hsm SET successor = :id, adopted_ms = :now WHERE successor IS NULL"};
  store::bind_blob(successor, ":id", appliance);
  successor.bind(":now", now.value);
  successor.exec();
  SQLite::Statement id{database, "INSERT OR REPLACE INTO meta (key, value) VALUES ('appliance_id', :id)"};
  store::bind_blob(id, ":id", appliance);
  id.exec();
  for (const BatchId& batch : lost_ids(database)) close_batch_in(database, batch, BatchEvent::HsmLost, now);
}

}  // namespace

std::vector<OldHsm> HsmEpochs::all() {
  return guarded("ledger: list the HSMs that were replaced", [&] {
    std::vector<OldHsm> found;
    SQLite::Statement query{ledger_.database(), std::string{kOldColumns} + "ORDER BY epoch"};
    while (query.executeStep()) found.push_back(old_at(query));
    return found;
  });
}

std::uint32_t HsmEpochs::current() {
  std::uint32_t epoch = 1;
  for (const OldHsm& one : all()) epoch += one.adopted ? 1 : 0;
  return epoch;
}

OldHsm HsmEpochs::to_adopt() {
  for (OldHsm& one : all()) {
    if (!one.adopted) return std::move(one);
  }
  const auto newest = ledger_.newest_checkpoint();
  const auto id = ledger_.value("appliance_id");
  const auto appliance = id ? ApplianceId::from_bytes(*id) : std::nullopt;
  if (!newest || !appliance) {
    throw Error{Code::Storage, "ledger: it has no log that another HSM could go on from",
                "restore the ledger from its newest backup"};
  }
  return OldHsm{current(), *appliance, newest->size, newest->note, false};
}

std::vector<Digest> HsmEpochs::old_leaf_hashes(std::uint64_t from, std::uint64_t to) {
  const OldHsm old = to_adopt();
  if (ledger_.final_log_size() >= to) return ledger_.leaf_hashes(from, to);
  std::vector<Digest> hashes;
  visit_old_leaves(old.epoch, [&](std::uint64_t index, ByteView leaf, bool) {
    if (index >= from && index < to) hashes.push_back(crypto::sha256_of({ByteView{&kLeafPrefix, 1}, leaf}));
  });
  return hashes;
}

void HsmEpochs::visit_old_leaves(std::uint32_t epoch,
                                 const std::function<void(std::uint64_t, ByteView, bool)>& visit) {
  guarded("ledger: read a lost HSM's log", [&] {
    SQLite::Statement query{ledger_.database(),
                            "SELECT first_index, count, leaves FROM old_log_block WHERE epoch = :epoch "
                            "ORDER BY first_index"};
    query.bind(":epoch", epoch);
    while (query.executeStep()) {
      auto index = static_cast<std::uint64_t>(query.getColumn(0).getInt64());
      const Bytes blob = store::column_blob(query, 2);
      for (const ByteView leaf :
           unpacked_leaves(blob, static_cast<std::uint64_t>(query.getColumn(1).getInt64()))) {
        visit(index++, leaf, true);
      }
    }
  });
}

std::vector<HsmEpochs::LostBatch> HsmEpochs::lost_batches() {
  return guarded("ledger: list what the lost HSM left open", [&] {
    std::vector<LostBatch> found;
    for (const BatchId& id : lost_ids(ledger_.database())) {
      LostBatch batch{.id = id, .state = {}, .sealed = 0, .unsealed = 0};
      SQLite::Statement query{
          ledger_.database(),
          "SELECT state, se_count, (SELECT count(*) FROM record JOIN segment ON segment.batch_id = "
          "record.batch_id AND segment.idx = record.segment_idx WHERE record.batch_id = :batch AND "
          "segment.state = 'sealed') FROM batch WHERE batch_id = :batch"};
      store::bind_blob(query, ":batch", id.bytes());
      query.executeStep();
      batch.state = query.getColumn(0).getString();
      batch.sealed = static_cast<std::uint64_t>(query.getColumn(2).getInt64());
      batch.unsealed = static_cast<std::uint64_t>(query.getColumn(1).getInt64()) - batch.sealed;
      found.push_back(std::move(batch));
    }
    return found;
  });
}

void move_log_aside(store::Database& database) {
  guarded("ledger: move the lost HSM's log aside", [&] {
    database.exec("DELETE FROM log_block WHERE state = 'pending'");
    SQLite::Statement last{database,
                           "SELECT (SELECT first_index + count FROM log_block ORDER BY first_index DESC "
                           "LIMIT 1), (SELECT note FROM checkpoint ORDER BY size DESC LIMIT 1)"};
    last.executeStep();
    if (last.getColumn(0).isNull()) return;  // an earlier try did it
    SQLite::Statement old{
        database,
        "INSERT INTO old_hsm (epoch, appliance_id, log_size, checkpoint) VALUES (1 + (SELECT count(*) "
        "FROM old_hsm), (SELECT value FROM meta WHERE key = 'appliance_id'), :size, :note)"};
    old.bind(":size", last.getColumn(0).getInt64());
    old.bind(":note", last.getColumn(1).getString());
    last.reset();
    old.exec();
    database.exec(
        "INSERT INTO old_log_block SELECT (SELECT max(epoch) FROM old_hsm), first_index, count, leaves "
        "FROM log_block ORDER BY first_index");
    database.exec(
        "INSERT INTO old_checkpoint SELECT (SELECT max(epoch) FROM old_hsm), size, note FROM checkpoint "
        "ORDER BY size");
    database.exec("DELETE FROM log_block");
    database.exec("DELETE FROM checkpoint");
  });
}

void register_epoch_actions(Ledger& ledger) {
  ledger.on_action(kAdopted, adopted);
}

Action hsm_adopted_action(const ApplianceId& appliance, UtcMillis now) {
  Bytes data = to_bytes(appliance.bytes());
  append_u64be(data, static_cast<std::uint64_t>(now.value));
  return {kAdopted, std::move(data)};
}

}  // namespace keyferry::appliance
