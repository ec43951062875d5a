#include "appliance/ledger/revocation_store.h"

#include <fmt/format.h>

#include "token/audit/merkle.h"
#include "wrap/base/error.h"
#include "wrap/crypto/hash.h"
#include "wrap/x509/serial.h"

namespace keyferry::appliance {
namespace {

using store::guarded;

constexpr const char* kCaRevoked = "ca-revoked";
constexpr const char* kOutsideCrl = "outside-crl";

constexpr const char* kDueOutside =
    "SELECT record.batch_id, record.record_no, certificate_serial, outside_serial FROM batch JOIN record USING "
    "(batch_id) "
    "WHERE batch.authority = :authority AND crl_due = 1 AND outside_serial IS NOT NULL AND NOT EXISTS (SELECT 1 FROM "
    "outside_revoked AS noted WHERE noted.batch_id = record.batch_id AND noted.record_no = record.record_no) "
    "ORDER BY record.batch_id, record.record_no";

constexpr const char* kNotDueOutside =
    "SELECT record.batch_id, record.record_no, certificate_serial, outside_serial FROM batch JOIN record USING "
    "(batch_id) "
    "WHERE batch.authority = :authority AND crl_due = 0 AND outside_serial IS NOT NULL "
    "ORDER BY record.batch_id, record.record_no";

Error damaged(std::string_view what) {
  return Error{Code::Storage, fmt::format("ledger: {} is damaged", what), "restore the ledger from its newest backup"};
}

struct Match {
  OutsideRecord record;
  Bytes certificate_serial;  // 16
  const x509::CrlEntry* entry = nullptr;
};

/// The records of the query that stand on the list, in the query's order.
void visit_matches(store::Database& database, const char* sql, const std::string& authority,
                   const x509::CrlContents& crl, const std::function<void(const Match&)>& visit) {
  SQLite::Statement query{database, sql};
  query.bind(":authority", authority);
  while (query.executeStep()) {
    Bytes serial = store::column_blob(query, 3);
    const auto stored = x509::stored_serial(serial);
    const x509::CrlEntry* entry = stored ? crl.find(*stored) : nullptr;
    if (entry == nullptr) continue;
    const auto batch = BatchId::from_bytes(store::column_blob(query, 0));
    if (!batch) throw damaged("a batch id");
    visit({{*batch, query.getColumn(1).getUInt(), std::move(serial)}, store::column_blob(query, 2), entry});
  }
}

void append_leaf(audit::Frontier& frontier, const Match& match) {
  Bytes leaf = to_bytes(match.record.batch.bytes());
  append_u32be(leaf, match.record.record_no);
  append(leaf, match.certificate_serial);
  frontier.append(audit::leaf_hash(leaf));
}

Plan plan_in(ByteView octets) {
  auto parsed = parse_plan(octets);
  auto* plan = std::get_if<Plan>(&parsed);
  if (plan == nullptr) throw damaged("a pending revocation");
  return std::move(*plan);
}

std::int64_t time_in(ByteView data) {
  return static_cast<std::int64_t>(read_u64be(data));
}

void revoke_ca(store::Database& database, ByteView data) {
  const Plan plan = plan_in(data.subspan(8));
  const auto* detail = std::get_if<CaRevokePlan>(&plan.detail);
  const auto code = detail == nullptr ? std::nullopt : ca_crl_reason_code(detail->crl_reason);
  if (!code) throw damaged("a pending revocation of a CA");
  SQLite::Statement row{database,
                        "INSERT INTO ca_revoked (name, issuer, certificate_serial, crl_reason, reason, plan_digest, "
                        "revoked_ms) VALUES (:name, :issuer, :serial, :crl, :reason, :plan, :now)"};
  row.bind(":name", detail->name);
  row.bind(":issuer", detail->issuer);
  store::bind_blob(row, ":serial", detail->certificate_serial);
  row.bind(":crl", static_cast<int>(*code));
  row.bind(":reason", detail->reason);
  store::bind_blob(row, ":plan", plan.digest.bytes());
  row.bind(":now", time_in(data));
  row.exec();
}

void note_outside_crl(store::Database& database, ByteView data) {
  const std::uint32_t length = read_u32be(data.subspan(8));
  const Plan plan = plan_in(data.subspan(12, length));
  const ByteView der = data.subspan(12 + length);
  const auto* detail = std::get_if<CrlImportPlan>(&plan.detail);
  const auto parsed = x509::parse_crl(der);
  const auto* crl = std::get_if<x509::CrlContents>(&parsed);
  if (detail == nullptr || crl == nullptr) throw damaged("a pending CRL of an outside CA");
  SQLite::Statement row{database,
                        "INSERT INTO outside_crl (crl_sha256, authority, this_update_ms, records, der, plan_digest, "
                        "noted_ms) VALUES (:sha256, :authority, :this, :records, :der, :plan, :now) ON CONFLICT "
                        // the same list again, after more of what is on it became due
                        "(crl_sha256) DO UPDATE SET records = records + excluded.records"};
  store::bind_blob(row, ":sha256", crl->sha256.bytes());
  row.bind(":authority", detail->authority);
  row.bind(":this", crl->this_update.value);
  row.bind(":records", static_cast<std::int64_t>(detail->records.count));
  store::bind_blob(row, ":der", der);
  store::bind_blob(row, ":plan", plan.digest.bytes());
  row.bind(":now", time_in(data));
  row.exec();
  std::vector<Match> matches;
  audit::Frontier frontier;
  visit_matches(database, kDueOutside, detail->authority, *crl, [&](const Match& match) {
    append_leaf(frontier, match);
    matches.push_back(match);
  });
  if (frontier.size() != detail->records.count || frontier.root() != detail->records.root) {
    throw Error{Code::Storage, "ledger: other records are due and on the outside CA's CRL than officers approved",
                "the ledger was changed meanwhile: restore it from its newest backup"};
  }
  SQLite::Statement noted{database,
                          "INSERT INTO outside_revoked (batch_id, record_no, crl_sha256, revoked_ms, reason) VALUES "
                          "(:batch, :no, :sha256, :revoked, :reason)"};
  for (const Match& match : matches) {
    store::bind_blob(noted, ":batch", match.record.batch.bytes());
    noted.bind(":no", match.record.record_no);
    store::bind_blob(noted, ":sha256", crl->sha256.bytes());
    noted.bind(":revoked", match.entry->revoked.value);
    noted.bind(":reason", static_cast<int>(match.entry->reason));
    noted.exec();
    noted.reset();
  }
}

std::optional<OutsideCrlRow> row_of(SQLite::Statement& query) {
  if (!query.executeStep()) return std::nullopt;
  const auto sha256 = Digest::from_bytes(store::column_blob(query, 0));
  if (!sha256) throw damaged("the hash of an outside CA's CRL");
  return OutsideCrlRow{*sha256, UtcMillis{query.getColumn(1).getInt64()},
                       static_cast<std::uint64_t>(query.getColumn(2).getInt64())};
}

}  // namespace

std::optional<OutsideCrlRow> RevocationStore::outside_crl(const Digest& sha256) {
  return guarded("ledger: look for an outside CA's CRL", [&] {
    SQLite::Statement query{ledger_.database(),
                            "SELECT crl_sha256, this_update_ms, records FROM outside_crl WHERE crl_sha256 = :sha256"};
    store::bind_blob(query, ":sha256", sha256.bytes());
    return row_of(query);
  });
}

std::optional<OutsideCrlRow> RevocationStore::newest_outside_crl(const std::string& authority) {
  return guarded("ledger: look for an outside CA's CRL", [&] {
    SQLite::Statement query{ledger_.database(),
                            "SELECT crl_sha256, this_update_ms, records FROM outside_crl WHERE authority = :authority "
                            "ORDER BY this_update_ms DESC, noted_ms DESC LIMIT 1"};
    query.bind(":authority", authority);
    return row_of(query);
  });
}

RecordSet RevocationStore::due_and_on(const std::string& authority, const x509::CrlContents& crl) {
  return guarded("ledger: compare what is due with a CRL", [&] {
    audit::Frontier frontier;
    visit_matches(ledger_.database(), kDueOutside, authority, crl,
                  [&](const Match& match) { append_leaf(frontier, match); });
    return RecordSet{frontier.size(), frontier.root()};
  });
}

void RevocationStore::visit_unasked(const std::string& authority,
                                    const x509::CrlContents& crl,
                                    const std::function<void(const OutsideRecord&)>& visit) {
  guarded("ledger: compare certificates with a CRL", [&] {
    visit_matches(ledger_.database(), kNotDueOutside, authority, crl, [&](const Match& match) { visit(match.record); });
  });
}

void register_revocation_actions(Ledger& ledger) {
  ledger.on_action(kCaRevoked, revoke_ca);
  ledger.on_action(kOutsideCrl, note_outside_crl);
}

std::optional<Action> ca_revoked_action(const Plan& plan, UtcMillis now) {
  if (!std::holds_alternative<CaRevokePlan>(plan.detail)) return std::nullopt;
  Action action{kCaRevoked, {}};
  append_u64be(action.data, static_cast<std::uint64_t>(now.value));
  append(action.data, plan.octets);
  return action;
}

Action outside_crl_action(const Plan& plan, ByteView crl, UtcMillis now) {
  Action action{kOutsideCrl, {}};
  append_u64be(action.data, static_cast<std::uint64_t>(now.value));
  append_u32be(action.data, static_cast<std::uint32_t>(plan.octets.size()));
  append(action.data, plan.octets);
  append(action.data, crl);
  return action;
}

}  // namespace keyferry::appliance
