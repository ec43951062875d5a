// Exports of a batch (batch_store.h).
#include "appliance/ledger/batch_store.h"
#include "wrap/base/error.h"

namespace keyferry::appliance {
namespace {

using store::guarded;

TokenId token_at(SQLite::Statement& row, int index) {
  const auto id = TokenId::from_bytes(store::column_blob(row, index));
  if (!id) {
    throw Error{Code::Storage,
                "ledger: a token's id is damaged",
                "restore the ledger from its newest backup"};
  }
  return *id;
}

}  // namespace

std::vector<ExportRow> BatchStore::exports(const BatchId& batch) {
  return guarded("ledger: read a batch's exports", [&] {
    std::vector<ExportRow> rows;
    SQLite::Statement query{
        ledger_.database(),
        "SELECT token_id, state, token_card FROM export WHERE batch_id = :batch "
        "ORDER BY begun_ms, token_id"};
    store::bind_blob(query, ":batch", batch.bytes());
    while (query.executeStep()) {
      rows.push_back(
          {token_at(query, 0), query.getColumn(1).getString(), store::column_blob(query, 2)});
    }
    return rows;
  });
}

void BatchStore::begin_export_in(store::Database& database,
                                 const BatchId& batch,
                                 const TokenId& token,
                                 UtcMillis now) {
  SQLite::Statement known{
      database, "INSERT OR IGNORE INTO token (token_id, first_seen_ms) VALUES (:token, :now)"};
  store::bind_blob(known, ":token", token.bytes());
  known.bind(":now", now.value);
  known.exec();
  SQLite::Statement insert{database,
                           "INSERT OR IGNORE INTO export (batch_id, token_id, state, begun_ms) "
                           "VALUES (:batch, :token, 'begun', :now)"};
  store::bind_blob(insert, ":batch", batch.bytes());
  store::bind_blob(insert, ":token", token.bytes());
  insert.bind(":now", now.value);
  insert.exec();
}

void BatchStore::keep_token_card(const BatchId& batch, const TokenId& token, ByteView card) {
  guarded("ledger: keep a token card", [&] {
    store::WriteTransaction transaction{ledger_.database()};
    SQLite::Statement update{
        ledger_.database(),
        "UPDATE export SET token_card = :card WHERE batch_id = :batch AND token_id = :token"};
    store::bind_blob(update, ":card", card);
    store::bind_blob(update, ":batch", batch.bytes());
    store::bind_blob(update, ":token", token.bytes());
    update.exec();
    transaction.commit();
  });
}

void BatchStore::set_export_state(const BatchId& batch,
                                  const TokenId& token,
                                  const std::string& state,
                                  UtcMillis now) {
  guarded("ledger: note an export", [&] {
    store::WriteTransaction transaction{ledger_.database()};
    SQLite::Statement update{
        ledger_.database(),
        "UPDATE export SET state = :state, done_ms = CASE WHEN :state = 'done' THEN :now END "
        "WHERE batch_id = :batch AND token_id = :token"};
    update.bind(":state", state);
    update.bind(":now", now.value);
    store::bind_blob(update, ":batch", batch.bytes());
    store::bind_blob(update, ":token", token.bytes());
    update.exec();
    transaction.commit();
  });
}

}  // namespace keyferry::appliance
