// Store: the revocation list in force.
#include "station-agent/store.h"
#include "station-agent/store_rows.h"
#include "token/revocations.h"

namespace keyferry::station {

using store::bind_blob;
using store::WriteTransaction;

std::optional<RevocationState> Store::revocation_state() const {
  return locked("station store: read the revocation list", [&]() -> std::optional<RevocationState> {
    SQLite::Statement query{database_, "SELECT number, sha256, retired FROM revocation_list"};
    if (!query.executeStep()) return std::nullopt;
    return RevocationState{unsigned_column(query, 0), id_column<Digest>(query, 1), query.getColumn(2).getInt() != 0};
  });
}

bool Store::is_revoked(const BatchId& batch) const {
  return locked("station store: look up a revoked batch", [&] {
    SQLite::Statement query{database_, "SELECT 1 FROM revoked_batch WHERE batch_id = :batch"};
    bind_blob(query, ":batch", batch.bytes());
    return query.executeStep();
  });
}

bool Store::same_revocations(const token::RevocationList& list) const {
  return locked("station store: compare revocation lists", [&] {
    SQLite::Statement count{database_, "SELECT count(*) FROM revoked_batch"};
    count.executeStep();
    if (unsigned_column(count, 0) != list.batches.size()) return false;
    for (const BatchId& batch : list.batches) {
      if (!is_revoked(batch)) return false;
    }
    return true;
  });
}

void Store::set_revocations(const token::RevocationList& list, const Digest& sha256, bool retired) {
  locked("station store: keep a revocation list", [&] {
    WriteTransaction transaction{database_};
    SQLite::Statement upsert{database_,
                             "INSERT INTO revocation_list VALUES (1, :number, :sha256, :retired, :now) ON CONFLICT "
                             "(one) DO UPDATE SET number = "
                             ":number, sha256 = :sha256, retired = max(retired, :retired), seen_ms = :now"};
    upsert.bind(":number", static_cast<std::int64_t>(list.number));
    bind_blob(upsert, ":sha256", sha256.bytes());
    upsert.bind(":retired", retired ? 1 : 0);
    upsert.bind(":now", static_cast<std::int64_t>(clock_.now().value));
    upsert.exec();
    SQLite::Statement insert{database_, "INSERT OR IGNORE INTO revoked_batch VALUES (:batch)"};
    for (const BatchId& batch : list.batches) {
      bind_blob(insert, ":batch", batch.bytes());
      insert.exec();
      insert.reset();
    }
    append_event("revocations.list " + std::to_string(list.number));
    transaction.commit();
  });
}

}  // namespace keyferry::station
