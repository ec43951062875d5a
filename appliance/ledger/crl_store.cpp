#include "appliance/ledger/crl_store.h"

#include <fmt/format.h>

#include "token/audit/merkle.h"
#include "wrap/base/error.h"

namespace keyferry::appliance {
namespace {

using store::guarded;

constexpr const char* kCrlIssued = "crl-issued";
constexpr std::size_t kEntryBytes = 25;

// RFC 5280 section 5.3.1. What officers said of one device comes first. Else: a quarantined SE may hold a key that
// nobody proved, keyCompromise (1); what was closed or came back unused, cessationOfOperation (5).
constexpr const char* kDue =
    "SELECT * FROM (SELECT record.batch_id AS batch_id, record.record_no AS record_no, certificate_serial, "
    "coalesce(act.time_ms, CASE WHEN record.state = "
    "'revoked' THEN closed_ms ELSE accepted_ms END) AS revoked_ms, coalesce(act.crl_reason, CASE WHEN record.state = "
    "'quarantined' THEN 1 ELSE 5 END) AS reason, record.state AS state, "
    "coalesce(outside_serial, certificate_serial) AS shown_serial, NULL AS ca "
    "FROM batch JOIN record USING (batch_id) LEFT JOIN receipt ON receipt.batch_id = record.batch_id AND "
    "receipt.record_no = record.record_no LEFT JOIN device_act AS act ON act.batch_id = record.batch_id AND "
    "act.record_no = record.record_no AND act.crl_reason IS NOT NULL "
    "WHERE batch.authority = :authority AND crl_due = 1 AND NOT EXISTS (SELECT 1 FROM crl_entry WHERE "
    "crl_entry.batch_id = record.batch_id AND crl_entry.record_no = record.record_no) AND NOT EXISTS (SELECT 1 FROM "
    "outside_revoked AS noted WHERE noted.batch_id = record.batch_id AND noted.record_no = record.record_no) "
    "UNION ALL SELECT NULL, NULL, certificate_serial, revoked_ms, crl_reason, 'ca', certificate_serial, name FROM "
    "ca_revoked WHERE issuer = :authority AND NOT EXISTS (SELECT 1 FROM crl_entry WHERE crl_entry.ca = "
    "ca_revoked.name)) "
    "ORDER BY ca IS NOT NULL, batch_id, record_no, ca";

void append_entry(Bytes& out, ByteView serial, std::int64_t revoked_ms, int reason) {
  append(out, serial);
  append_u64be(out, static_cast<std::uint64_t>(revoked_ms));
  out.push_back(static_cast<std::uint8_t>(reason));
}

void read_entries(SQLite::Statement& query, int first, Bytes& out) {
  while (query.executeStep()) {
    append_entry(out, store::column_blob(query, first), query.getColumn(first + 1).getInt64(),
                 query.getColumn(first + 2).getInt());
  }
}

std::int64_t sql_number(ByteView octets) {
  return static_cast<std::int64_t>(read_u64be(octets));
}

void issued(store::Database& database, ByteView data) {
  const std::size_t name = read_u16be(data);
  const std::string authority = to_string(data.subspan(2, name));
  const ByteView numbers = data.subspan(2 + name);
  const std::int64_t entries = sql_number(numbers.subspan(8));
  SQLite::Statement add{
      database,
      std::string{"INSERT INTO crl_entry (authority, position, certificate_serial, revoked_ms, reason, "
                  "batch_id, record_no, ca) SELECT :authority, (SELECT count(*) FROM crl_entry WHERE authority = "
                  ":authority) + row_number() OVER (ORDER BY ca IS NOT NULL, batch_id, record_no, ca) - 1, "
                  "certificate_serial, revoked_ms, reason, batch_id, record_no, ca FROM ("} +
          kDue + ") WHERE true"};
  add.bind(":authority", authority);
  add.exec();
  SQLite::Statement count{database, "SELECT count(*) FROM crl_entry WHERE authority = :authority"};
  count.bind(":authority", authority);
  count.executeStep();
  if (count.getColumn(0).getInt64() != entries) {
    throw Error{Code::Storage,
                fmt::format("ledger: kf-ca/{}'s CRL has {} entries, the ledger would have {}", authority, entries,
                            count.getColumn(0).getInt64()),
                "the ledger was changed meanwhile: restore it from its newest backup"};
  }
  SQLite::Statement row{
      database,
      "INSERT INTO crl (authority, number, entries, this_update_ms, next_update_ms, der) VALUES (:authority, "
      ":number, :entries, :this, :next, :der)"};
  row.bind(":authority", authority);
  row.bind(":number", sql_number(numbers));
  row.bind(":entries", entries);
  row.bind(":this", sql_number(numbers.subspan(16)));
  row.bind(":next", sql_number(numbers.subspan(24)));
  store::bind_blob(row, ":der", numbers.subspan(32));
  row.exec();
}

}  // namespace

Bytes CrlStore::next_entries(const std::string& authority) {
  return guarded("ledger: list the entries of a CRL", [&] {
    Bytes entries;
    SQLite::Statement listed{
        ledger_.database(),
        "SELECT certificate_serial, revoked_ms, reason FROM crl_entry WHERE authority = :authority ORDER "
        "BY position"};
    listed.bind(":authority", authority);
    read_entries(listed, 0, entries);
    SQLite::Statement due{ledger_.database(), kDue};
    due.bind(":authority", authority);
    read_entries(due, 2, entries);
    return entries;
  });
}

std::vector<DueEntries> CrlStore::due() {
  return guarded("ledger: count what is due for a CRL", [&] {
    SQLite::Statement names{
        ledger_.database(),
        "SELECT DISTINCT authority FROM batch UNION SELECT DISTINCT authority FROM crl UNION SELECT "
        "issuer FROM ca_revoked ORDER BY 1"};
    std::vector<DueEntries> found;
    while (names.executeStep()) {
      const std::string authority = names.getColumn(0).getString();
      SQLite::Statement count{
          ledger_.database(), std::string{"SELECT reason, state, count(*), min(revoked_ms) FROM ("} + kDue +
                                  ") GROUP BY reason, state ORDER BY reason, state"};
      count.bind(":authority", authority);
      while (count.executeStep()) {
        found.push_back({authority, static_cast<std::uint8_t>(count.getColumn(0).getUInt()),
                         count.getColumn(1).getString(), static_cast<std::uint64_t>(count.getColumn(2).getInt64()),
                         UtcMillis{count.getColumn(3).getInt64()}});
      }
    }
    return found;
  });
}

void CrlStore::visit_due(const std::string& authority, const std::function<void(const DueRecord&)>& visit) {
  guarded("ledger: list what is due for a CRL", [&] {
    SQLite::Statement query{ledger_.database(), kDue};
    query.bind(":authority", authority);
    while (query.executeStep()) {
      const bool of_ca = !query.getColumn(7).isNull();
      const auto batch = of_ca ? std::optional{BatchId{}} : BatchId::from_bytes(store::column_blob(query, 0));
      if (!batch) {
        throw Error{Code::Storage, "ledger: a batch id is damaged", "restore the ledger from its newest backup"};
      }
      visit({*batch, query.getColumn(1).getUInt(), store::column_blob(query, 6),
             static_cast<std::uint8_t>(query.getColumn(4).getUInt()), UtcMillis{query.getColumn(3).getInt64()},
             of_ca ? query.getColumn(7).getString() : ""});
    }
  });
}

std::vector<CrlRow> CrlStore::newest_of_all() {
  std::vector<std::string> names;
  guarded("ledger: list CRLs", [&] {
    SQLite::Statement query{ledger_.database(), "SELECT DISTINCT authority FROM crl ORDER BY authority"};
    while (query.executeStep()) names.push_back(query.getColumn(0).getString());
  });
  std::vector<CrlRow> rows;
  for (const std::string& name : names) rows.push_back(*newest(name));
  return rows;
}

Bytes CrlStore::entries_of(const CrlRow& crl) {
  return guarded("ledger: list the entries of a CRL", [&] {
    SQLite::Statement query{ledger_.database(),
                            "SELECT certificate_serial, revoked_ms, reason FROM crl_entry WHERE authority = :authority "
                            "AND position < :entries ORDER BY position"};
    query.bind(":authority", crl.authority);
    query.bind(":entries", static_cast<std::int64_t>(crl.entries));
    Bytes entries;
    read_entries(query, 0, entries);
    return entries;
  });
}

std::optional<CrlRow> CrlStore::newest(const std::string& authority) {
  return guarded("ledger: read a CRL", [&]() -> std::optional<CrlRow> {
    SQLite::Statement query{
        ledger_.database(),
        "SELECT number, entries, this_update_ms, next_update_ms, der FROM crl WHERE authority = :authority "
        "ORDER BY number DESC LIMIT 1"};
    query.bind(":authority", authority);
    if (!query.executeStep()) return std::nullopt;
    return CrlRow{authority,
                  static_cast<std::uint64_t>(query.getColumn(0).getInt64()),
                  static_cast<std::uint64_t>(query.getColumn(1).getInt64()),
                  UtcMillis{query.getColumn(2).getInt64()},
                  UtcMillis{query.getColumn(3).getInt64()},
                  store::column_blob(query, 4)};
  });
}

RecordSet crl_record_set(ByteView entries) {
  audit::Frontier frontier;
  for (std::size_t at = 0; at < entries.size(); at += kEntryBytes) {
    frontier.append(audit::leaf_hash(entries.subspan(at, kEntryBytes)));
  }
  return {frontier.size(), frontier.root()};
}

void register_crl_actions(Ledger& ledger) {
  ledger.on_action(kCrlIssued, issued);
}

Action crl_issued_action(const CrlIssuePlan& plan, UtcMillis now) {
  Action action{kCrlIssued, {}};
  append_u16be_prefixed(action.data, as_bytes(plan.authority));
  append_u64be(action.data, plan.number);
  append_u64be(action.data, plan.entries.count);
  append_u64be(action.data, static_cast<std::uint64_t>(now.value));
  append_u64be(action.data, static_cast<std::uint64_t>(plan.next_update.value));
  return action;
}

}  // namespace keyferry::appliance
