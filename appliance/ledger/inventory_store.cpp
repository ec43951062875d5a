#include "appliance/ledger/inventory_store.h"

#include <fmt/format.h>

#include "appliance/ledger/entry_row.h"
#include "appliance/plan/plan.h"
#include "token/audit/merkle.h"
#include "wrap/base/cut.h"
#include "wrap/base/error.h"

namespace keyferry::appliance {
namespace {

using store::guarded;

constexpr const char* kImportFinal = "import-final";

// A key that exists, or one that this generation has used up. design.md section 6: a new record for
// an SE needs the earlier certificate revoked and a higher generation.
constexpr std::string_view kLiveRecord =
    "FROM record r WHERE r.se_id = se.se_id AND r.state <> 'never_left' AND "
    "(r.revoked = 0 OR r.generation >= se.generation)";

// Batches that have not made their keys yet but will.
constexpr std::string_view kReservation =
    "FROM se_list_entry x JOIN batch b ON b.list_id = x.list_id WHERE x.se_id = se.se_id AND "
    "(b.state = 'generating' OR (b.state = 'approved' AND b.expires_ms > :now))";

// Scrapped, or taken out of a device that has another SE: no record for it ever again.
constexpr std::string_view kEnded =
    "(se.device_replaced = 1 OR EXISTS (SELECT 1 FROM se_scrapped AS gone WHERE gone.family = se.family AND "
    "gone.se_serial = se.se_serial))";

std::optional<BatchId> batch_column(SQLite::Statement& row, int index) {
  return row.getColumn(index).isNull() ? std::nullopt
                                       : BatchId::from_bytes(store::column_blob(row, index));
}

}  // namespace

EntryRow read_entry(SQLite::Statement& row, int first) {
  const SeId id{row.getColumn(first).getInt64()};
  const auto family = se::family_from_name(row.getColumn(first + 1).getString());
  const auto serial = SeSerial::from_bytes(store::column_blob(row, first + 2));
  const auto kind = se::transport_kind_from_name(row.getColumn(first + 8).getString());
  std::optional<crypto::PublicKey> attestation_key;
  const bool has_key = !row.getColumn(first + 11).isNull();
  if (has_key) attestation_key = crypto::PublicKey::from_point(store::column_blob(row, first + 11));
  if (!family || !serial || !kind || has_key != attestation_key.has_value()) {
    throw Error{Code::Storage,
                fmt::format("ledger: inventory row {} is damaged", id.value),
                "restore the ledger from its newest backup"};
  }
  return EntryRow{id,
                  se::Entry{.family = *family,
                            .serial = *serial,
                            .part = row.getColumn(first + 4).getString(),
                            .lot = row.getColumn(first + 5).getString(),
                            .key_name = row.getColumn(first + 3).getString(),
                            .device_serial = row.getColumn(first + 6).getString(),
                            .generation = row.getColumn(first + 7).getUInt(),
                            .transport_kind = *kind,
                            .transport_name = row.getColumn(first + 9).getString(),
                            .transport_data = store::column_blob(row, first + 10),
                            .attestation_key = attestation_key}};
}

// --- import --------------------------------------------------------------------------------------

void InventoryStore::clean_staged() {
  guarded("ledger: remove rows of an import that was cut off", [&] {
    store::Database& database = ledger_.database();
    // Check values before the rows that they refer to, these before the import.
    for (const char* sql :
         {"DELETE FROM transport_check WHERE se_id IN (SELECT se.se_id FROM import JOIN se USING "
          "(import_id) JOIN transport_check USING (se_id) WHERE import.state = 'staged' LIMIT :most)",
          "DELETE FROM se WHERE se_id IN (SELECT se_id FROM se JOIN import USING (import_id) "
          "WHERE import.state = 'staged' LIMIT :most)",
          "DELETE FROM import WHERE state = 'staged' AND :most > 0"}) {
      for (bool done = false; !done;) {
        store::WriteTransaction transaction{database};
        SQLite::Statement remove{database, sql};
        remove.bind(":most", static_cast<std::int64_t>(kRowsPerTransaction));
        done = remove.exec() < static_cast<int>(kRowsPerTransaction);
        transaction.commit();
        KF_CUT("front.inventory.clean.step");
      }
    }
  });
}

ImportId InventoryStore::begin_import(const std::string& source,
                                      const std::string& file_name,
                                      UtcMillis now) {
  return guarded("ledger: begin an import", [&] {
    store::Database& database = ledger_.database();
    store::WriteTransaction transaction{database};
    SQLite::Statement insert{
        database,
        "INSERT INTO import (source, file_sha256, file_name, rows, state, imported_ms) "
        "VALUES (:source, :sha256, :name, 0, 'staged', :now)"};
    insert.bind(":source", source);
    store::bind_blob(insert, ":sha256", Digest{}.bytes());
    insert.bind(":name", file_name);
    insert.bind(":now", now.value);
    insert.exec();
    const ImportId import{database.getLastInsertRowid()};
    transaction.commit();
    return import;
  });
}

std::vector<DoubledRow> InventoryStore::stage(ImportId import, const std::vector<Row>& rows) {
  return guarded("ledger: stage inventory rows", [&] {
    store::Database& database = ledger_.database();
    std::vector<DoubledRow> doubled;
    store::WriteTransaction transaction{database};
    SQLite::Statement insert{
        database,
        "INSERT INTO se (family, se_serial, key_name, part, lot, device_serial, generation, "
        "transport_kind, transport_name, transport_data, attestation_key, import_id, line) VALUES "
        "(:family, :serial, :key_name, :part, :lot, :device_serial, :generation, :kind, :name, "
        ":data, :attestation_key, :import, :line) ON CONFLICT DO NOTHING"};
    SQLite::Statement earlier{
        database,
        "SELECT se.import_id, se.line, import.source FROM se JOIN import USING (import_id) WHERE "
        "family = :family AND se_serial = :serial AND key_name = :key_name"};
    SQLite::Statement same_blob{
        database,
        "SELECT se.import_id, se.line, import.source FROM se JOIN import USING (import_id) WHERE "
        "transport_kind = 'delivered' AND transport_data = :data"};
    for (const auto& [line, entry] : rows) {
      const std::string family{se::family_name(entry.family)};
      insert.reset();
      insert.bind(":family", family);
      store::bind_blob(insert, ":serial", entry.serial.bytes());
      insert.bind(":key_name", entry.key_name);
      insert.bind(":part", entry.part);
      insert.bind(":lot", entry.lot);
      insert.bind(":device_serial", entry.device_serial);
      insert.bind(":generation", static_cast<std::int64_t>(entry.generation));
      insert.bind(":kind", std::string{se::transport_kind_name(entry.transport_kind)});
      insert.bind(":name", entry.transport_name);
      store::bind_blob(insert, ":data", entry.transport_data);
      if (entry.attestation_key) {
        store::bind_blob(insert, ":attestation_key", entry.attestation_key->point());
      } else {
        insert.bind(":attestation_key");
      }
      insert.bind(":import", import.value);
      insert.bind(":line", static_cast<std::int64_t>(line));
      if (insert.exec() == 1) continue;
      earlier.reset();
      earlier.bind(":family", family);
      store::bind_blob(earlier, ":serial", entry.serial.bytes());
      earlier.bind(":key_name", entry.key_name);
      const auto tell = [&](SQLite::Statement& found, Doubled what) {
        const bool same_file = found.getColumn(0).getInt64() == import.value;
        doubled.push_back(
            {line,
             same_file ? static_cast<std::uint64_t>(found.getColumn(1).getInt64()) : 0,
             found.getColumn(2).getString(),
             what});
      };
      if (earlier.executeStep()) {
        tell(earlier, Doubled::Serial);
        continue;
      }
      same_blob.reset();
      store::bind_blob(same_blob, ":data", entry.transport_data);
      if (!same_blob.executeStep()) throw Error{Code::Internal, "an inventory row clashes with none"};
      tell(same_blob, Doubled::TransportData);
    }
    transaction.commit();
    KF_CUT("front.inventory.staged");
    return doubled;
  });
}

void InventoryStore::describe(ImportId import, const Digest& file_sha256, std::uint64_t rows) {
  guarded("ledger: note what an import holds", [&] {
    store::WriteTransaction transaction{ledger_.database()};
    SQLite::Statement update{
        ledger_.database(),
        "UPDATE import SET rows = :rows, file_sha256 = :sha256 WHERE import_id = :import"};
    update.bind(":rows", static_cast<std::int64_t>(rows));
    store::bind_blob(update, ":sha256", file_sha256.bytes());
    update.bind(":import", import.value);
    update.exec();
    transaction.commit();
  });
}

bool InventoryStore::imported(const std::string& source, const Digest& file_sha256) {
  return guarded("ledger: look for an import", [&] {
    SQLite::Statement query{ledger_.database(),
                            "SELECT 1 FROM import WHERE source = :source AND file_sha256 = "
                            ":sha256 AND state = 'final'"};
    query.bind(":source", source);
    store::bind_blob(query, ":sha256", file_sha256.bytes());
    return query.executeStep();
  });
}

std::uint64_t InventoryStore::visible_rows() {
  return guarded("ledger: count the inventory", [&] {
    SQLite::Statement query{ledger_.database(),
                            "SELECT coalesce(sum(rows), 0) FROM import WHERE state = 'final'"};
    query.executeStep();
    return static_cast<std::uint64_t>(query.getColumn(0).getInt64());
  });
}

// --- lists ---------------------------------------------------------------------------------------

std::variant<InventoryStore::MadeList, Refusal> InventoryStore::make_list(
    const Selection& selection, UtcMillis now) {
  using Answer = std::variant<MadeList, Refusal>;
  return guarded("ledger: choose SEs", [&]() -> Answer {
    store::Database& database = ledger_.database();
    std::string sql = fmt::format(
        "SELECT {} FROM se JOIN import USING (import_id) WHERE import.state = 'final' AND "
        "se.family = :family AND se.key_name = :key_name AND NOT EXISTS (SELECT 1 {}) AND NOT "
        "EXISTS (SELECT 1 {}) AND NOT {}",
        kEntryColumnNames,
        kLiveRecord,
        kReservation,
        kEnded);
    if (selection.lot) sql += " AND se.lot = :lot";
    if (selection.source) sql += " AND import.source = :source";
    if (selection.revoked_at) {
      sql +=
          " AND EXISTS (SELECT 1 FROM record old JOIN batch old_batch USING (batch_id) WHERE old.se_id = se.se_id "
          "AND "
          "old.state = 'revoked' AND old_batch.station_id = :revoked_at)";
    }
    sql += " ORDER BY se.family, se.se_serial, se.key_name LIMIT :count";

    store::WriteTransaction transaction{database};
    SQLite::Statement query{database, sql};
    query.bind(":family", std::string{se::family_name(selection.family)});
    query.bind(":key_name", selection.key_name);
    query.bind(":now", now.value);
    if (selection.lot) query.bind(":lot", *selection.lot);
    if (selection.source) query.bind(":source", *selection.source);
    if (selection.revoked_at) store::bind_blob(query, ":revoked_at", selection.revoked_at->bytes());
    query.bind(":count",
               selection.count == 0 ? std::int64_t{kMaxBatchRecords} : static_cast<std::int64_t>(selection.count));
    audit::Frontier frontier;
    std::vector<std::pair<SeId, Digest>> chosen;
    while (query.executeStep()) {
      const EntryRow row = read_entry(query, 0);
      const Digest leaf = se::entry_leaf_hash(se::canonical_entry(row.entry));
      frontier.append(leaf);
      chosen.emplace_back(row.id, leaf);
    }
    if (chosen.size() < selection.count || chosen.empty()) {
      return Refusal{"se-too-few",
                     fmt::format("{} SEs are wanted, {} of this choice have no live key and are "
                                 "not in another approved batch",
                                 selection.count,
                                 chosen.size()),
                     "import more SEs, or lower --count"};
    }
    const Digest root = frontier.root();
    const auto count = static_cast<std::uint32_t>(chosen.size());
    if (const auto known = list_by_root(root)) return MadeList{*known, root, count};

    SQLite::Statement insert{database, "INSERT INTO se_list (root, count) VALUES (:root, :count)"};
    store::bind_blob(insert, ":root", root.bytes());
    insert.bind(":count", static_cast<std::int64_t>(count));
    insert.exec();
    const ListId list{database.getLastInsertRowid()};
    SQLite::Statement entry{
        database,
        "INSERT INTO se_list_entry (list_id, idx, se_id, leaf_hash) VALUES (:list, :idx, :se, "
        ":leaf)"};
    for (std::uint32_t index = 0; index < count; ++index) {
      entry.reset();
      entry.bind(":list", list.value);
      entry.bind(":idx", static_cast<std::int64_t>(index));
      entry.bind(":se", chosen[index].first.value);
      store::bind_blob(entry, ":leaf", chosen[index].second.bytes());
      entry.exec();
    }
    transaction.commit();
    return MadeList{list, root, count};
  });
}

std::optional<ListId> InventoryStore::list_by_root(const Digest& root) {
  return guarded("ledger: look for a list of SEs", [&]() -> std::optional<ListId> {
    SQLite::Statement query{ledger_.database(), "SELECT list_id FROM se_list WHERE root = :root"};
    store::bind_blob(query, ":root", root.bytes());
    if (!query.executeStep()) return std::nullopt;
    return ListId{query.getColumn(0).getInt64()};
  });
}

std::uint32_t InventoryStore::list_count(ListId list) {
  return guarded("ledger: look for a list of SEs", [&] {
    SQLite::Statement query{ledger_.database(),
                            "SELECT count(*) FROM se_list_entry WHERE list_id = :list"};
    query.bind(":list", list.value);
    query.executeStep();
    return query.getColumn(0).getUInt();
  });
}

bool InventoryStore::has_records(ListId list) {
  SQLite::Statement query{
      ledger_.database(),
      "SELECT EXISTS (SELECT 1 FROM record WHERE se_id BETWEEN low AND high AND state <> 'never_left') "
      "FROM (SELECT min(se_id) AS low, max(se_id) AS high FROM se_list_entry WHERE list_id = :list)"};
  query.bind(":list", list.value);
  return query.executeStep() && query.getColumn(0).getInt() != 0;
}

bool InventoryStore::others_wait(const BatchId& self, UtcMillis now) {
  SQLite::Statement query{
      ledger_.database(),
      "SELECT EXISTS (SELECT 1 FROM batch b WHERE b.batch_id <> :self AND (b.state = 'generating' "
      "OR (b.state = 'approved' AND b.expires_ms > :now)))"};
  store::bind_blob(query, ":self", self.bytes());
  query.bind(":now", now.value);
  return query.executeStep() && query.getColumn(0).getInt() != 0;
}

bool InventoryStore::any_scrapped() {
  return ledger_.database().execAndGet("SELECT EXISTS (SELECT 1 FROM se_scrapped)").getInt() != 0;
}

void InventoryStore::visit_list(ListId list,
                                const BatchId& self,
                                UtcMillis now,
                                const std::function<void(const ListedSe&)>& visit) {
  guarded("ledger: read a list of SEs", [&] {
    // Three searches for each SE are saved where their outcome is known beforehand: no record of any SE in the list's
    // range, no other batch that waits, nothing scrapped.
    const bool any_live = has_records(list);
    const bool any_waits = others_wait(self, now);
    const std::string live =
        any_live ? fmt::format("(SELECT r.batch_id {} AND r.batch_id <> :self ORDER BY r.batch_id LIMIT 1)", kLiveRecord)
                 : "NULL";
    const std::string reserved =
        any_waits ? fmt::format("(SELECT b.batch_id {} AND b.batch_id <> :self ORDER BY b.batch_id LIMIT 1)", kReservation)
                  : "NULL";
    SQLite::Statement query{
        ledger_.database(),
        fmt::format(
            "SELECT {}, e.idx, import.source, import.state = 'final', {}, {}, "
            "e.leaf_hash, {} FROM se_list_entry e JOIN se USING (se_id) JOIN import USING (import_id) "
            "WHERE e.list_id = :list ORDER BY e.idx",
            kEntryColumnNames,
            live,
            reserved,
            any_scrapped() ? kEnded : "se.device_replaced")};
    if (any_live || any_waits) store::bind_blob(query, ":self", self.bytes());
    if (any_waits) query.bind(":now", now.value);
    query.bind(":list", list.value);
    while (query.executeStep()) {
      EntryRow row = read_entry(query, 0);
      const auto known = Digest::from_bytes(store::column_blob(query, kEntryColumns + 5));
      const bool valid = !se::check_entry(row.entry);
      const Digest leaf = valid ? se::entry_leaf_hash(se::canonical_entry(row.entry)) : Digest{};
      visit(ListedSe{.index = query.getColumn(kEntryColumns).getUInt(),
                     .id = row.id,
                     .entry = std::move(row.entry),
                     .source = query.getColumn(kEntryColumns + 1).getString(),
                     .visible = query.getColumn(kEntryColumns + 2).getInt() == 1,
                     .leaf = leaf,
                     .changed = !valid || leaf != known,
                     .live_in = batch_column(query, kEntryColumns + 3),
                     .reserved_by = batch_column(query, kEntryColumns + 4),
                     .ended = query.getColumn(kEntryColumns + 6).getInt() != 0});
    }
  });
}

std::vector<InventoryStore::SegmentEntry> InventoryStore::entries(ListId list,
                                                                  std::uint32_t first,
                                                                  std::uint32_t count) {
  return guarded("ledger: read a segment's SEs", [&] {
    SQLite::Statement query{
        ledger_.database(),
        fmt::format("SELECT {} FROM se_list_entry e JOIN se USING (se_id) WHERE e.list_id = :list "
                    "AND e.idx >= :first AND e.idx < :first + :count ORDER BY e.idx",
                    kEntryColumnNames)};
    query.bind(":list", list.value);
    query.bind(":first", static_cast<std::int64_t>(first));
    query.bind(":count", static_cast<std::int64_t>(count));
    std::vector<SegmentEntry> found;
    found.reserve(count);
    while (query.executeStep()) {
      EntryRow row = read_entry(query, 0);
      found.push_back({row.id, std::move(row.entry)});
    }
    return found;
  });
}

std::vector<Digest> InventoryStore::leaf_hashes(ListId list) {
  return guarded("ledger: hash a list of SEs", [&] {
    SQLite::Statement query{ledger_.database(),
                            fmt::format("SELECT {} FROM se_list_entry e JOIN se USING (se_id) "
                                        "WHERE e.list_id = :list ORDER BY e.idx",
                                        kEntryColumnNames)};
    query.bind(":list", list.value);
    std::vector<Digest> hashes;
    while (query.executeStep()) {
      hashes.push_back(se::entry_leaf_hash(se::canonical_entry(read_entry(query, 0).entry)));
    }
    return hashes;
  });
}

void register_inventory_actions(Ledger& ledger) {
  ledger.on_action(kImportFinal, [](store::Database& database, ByteView data) {
    SQLite::Statement update{database,
                             "UPDATE import SET state = 'final' WHERE import_id = :import"};
    update.bind(":import", static_cast<std::int64_t>(read_u64be(data)));
    update.exec();
  });
}

Action import_final_action(ImportId import) {
  Action action{kImportFinal, {}};
  append_u64be(action.data, static_cast<std::uint64_t>(import.value));
  return action;
}

}  // namespace keyferry::appliance
