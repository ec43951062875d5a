#include "appliance/ledger/plan_store.h"

#include "wrap/base/cut.h"
#include "wrap/base/error.h"

namespace keyferry::appliance {
namespace {

using store::guarded;

constexpr const char* kPlanRun = "plan-run";

PlanState state_of(const std::string& text) {
  if (text == "run") return PlanState::Run;
  return text == "approved" ? PlanState::Approved : PlanState::Made;
}

std::optional<StoredPlan> read_plan(SQLite::Statement& query) {
  if (!query.executeStep()) return std::nullopt;
  const auto digest = Digest::from_bytes(store::column_blob(query, 0));
  if (!digest) throw Error{Code::Storage, "ledger: a plan in it is damaged"};
  return StoredPlan{.digest = *digest,
                    .number = static_cast<std::uint64_t>(query.getColumn(1).getInt64()),
                    .operation = query.getColumn(2).getString(),
                    .octets = store::column_blob(query, 3),
                    .state = state_of(query.getColumn(4).getString())};
}

std::uint64_t read_number(store::Database& database, const char* sql) {
  SQLite::Statement query{database, sql};
  query.executeStep();
  return static_cast<std::uint64_t>(query.getColumn(0).getInt64());
}

void insert_batch(store::Database& database, const Plan& plan, ListId list, UtcMillis now) {
  const BatchPlan& batch = plan.batch();
  SQLite::Statement insert{
      database,
      "INSERT OR IGNORE INTO batch (batch_id, plan_digest, state, list_id, site, customer, "
      "station_id, authority, se_count, target_count, segment_count, segment_size, due_ms, "
      "expires_ms, made_ms) VALUES (:id, :digest, 'planned', :list, :site, :customer, :station, "
      ":authority, :se_count, :target_count, :segment_count, :segment_size, :due, :expires, :now)"};
  const BatchId id = plan.batch_id();
  store::bind_blob(insert, ":id", id.bytes());
  store::bind_blob(insert, ":digest", plan.digest.bytes());
  insert.bind(":list", list.value);
  insert.bind(":site", batch.site);
  insert.bind(":customer", batch.customer);
  store::bind_blob(insert, ":station", batch.station.bytes());
  insert.bind(":authority", batch.certificate_authority);
  insert.bind(":se_count", static_cast<std::int64_t>(batch.se_count));
  insert.bind(":target_count", static_cast<std::int64_t>(batch.target_count));
  insert.bind(":segment_count", static_cast<std::int64_t>(batch.segment_count()));
  insert.bind(":segment_size", static_cast<std::int64_t>(batch.segment_size));
  insert.bind(":due", batch.due.value);
  insert.bind(":expires", plan.expires.value);
  insert.bind(":now", now.value);
  insert.exec();
}

}  // namespace

void PlanStore::keep(const Plan& plan, std::optional<ListId> list, UtcMillis now) {
  guarded("ledger: keep a plan", [&] {
    store::Database& database = ledger_.database();
    store::WriteTransaction transaction{database};
    SQLite::Statement insert{
        database,
        "INSERT OR IGNORE INTO plan (digest, number, operation, octets, state, expires_ms, "
        "made_ms) VALUES (:digest, :number, :operation, :octets, 'made', :expires, :now)"};
    store::bind_blob(insert, ":digest", plan.digest.bytes());
    insert.bind(":number", static_cast<std::int64_t>(plan.number));
    insert.bind(":operation", std::string{operation_name(plan.operation)});
    store::bind_blob(insert, ":octets", plan.octets);
    insert.bind(":expires", plan.expires.value);
    insert.bind(":now", now.value);
    insert.exec();
    if (plan.operation == Operation::Batch && list) insert_batch(database, plan, *list, now);
    transaction.commit();
  });
  KF_CUT("front.plan.kept");
}

std::optional<StoredPlan> PlanStore::find(const Digest& digest) {
  return guarded("ledger: look for a plan", [&] {
    SQLite::Statement query{
        ledger_.database(),
        "SELECT digest, number, operation, octets, state FROM plan WHERE digest = :digest"};
    store::bind_blob(query, ":digest", digest.bytes());
    return read_plan(query);
  });
}

std::optional<StoredPlan> PlanStore::find_batch(const BatchId& batch) {
  return guarded("ledger: look for a batch's plan", [&] {
    SQLite::Statement query{
        ledger_.database(),
        "SELECT p.digest, p.number, p.operation, p.octets, p.state FROM plan p JOIN batch b ON "
        "b.plan_digest = p.digest WHERE b.batch_id = :batch"};
    store::bind_blob(query, ":batch", batch.bytes());
    return read_plan(query);
  });
}

void PlanStore::approve(const Digest& digest,
                        const KeyId& officer,
                        ByteView signed_bytes,
                        UtcMillis now) {
  guarded("ledger: keep an approval", [&] {
    store::Database& database = ledger_.database();
    store::WriteTransaction transaction{database};
    SQLite::Statement insert{
        database,
        "INSERT OR REPLACE INTO plan_approval (plan_digest, officer_key_id, signed_bytes, "
        "approved_ms) VALUES (:digest, :officer, :signed, :now)"};
    store::bind_blob(insert, ":digest", digest.bytes());
    store::bind_blob(insert, ":officer", officer.bytes());
    store::bind_blob(insert, ":signed", signed_bytes);
    insert.bind(":now", now.value);
    insert.exec();
    SQLite::Statement plan{
        database, "UPDATE plan SET state = 'approved' WHERE digest = :digest AND state = 'made'"};
    store::bind_blob(plan, ":digest", digest.bytes());
    plan.exec();
    SQLite::Statement batch{database,
                            "UPDATE batch SET state = 'approved' WHERE plan_digest = :digest AND "
                            "state = 'planned'"};
    store::bind_blob(batch, ":digest", digest.bytes());
    batch.exec();
    transaction.commit();
  });
  KF_CUT("front.plan.approved");
}

std::vector<Bytes> PlanStore::approvals(const Digest& digest) {
  return guarded("ledger: read a plan's approvals", [&] {
    SQLite::Statement query{ledger_.database(),
                            "SELECT signed_bytes FROM plan_approval WHERE plan_digest = :digest "
                            "ORDER BY officer_key_id"};
    store::bind_blob(query, ":digest", digest.bytes());
    std::vector<Bytes> found;
    while (query.executeStep()) found.push_back(store::column_blob(query, 0));
    return found;
  });
}

std::vector<Bytes> PlanStore::run_plans(Operation operation) {
  return guarded("ledger: read plans", [&] {
    SQLite::Statement query{ledger_.database(),
                            "SELECT octets FROM plan WHERE state = 'run' AND operation = :operation ORDER BY number"};
    query.bind(":operation", std::string{operation_name(operation)});
    std::vector<Bytes> plans;
    while (query.executeStep()) plans.push_back(store::column_blob(query, 0));
    return plans;
  });
}

std::uint64_t PlanStore::highest_run_number() {
  return guarded("ledger: read plan numbers", [&] {
    return read_number(ledger_.database(),
                       "SELECT coalesce(max(number), 0) FROM plan WHERE state = 'run'");
  });
}

std::uint64_t PlanStore::highest_number() {
  return guarded("ledger: read plan numbers", [&] {
    return read_number(ledger_.database(), "SELECT coalesce(max(number), 0) FROM plan");
  });
}

void register_plan_actions(Ledger& ledger) {
  ledger.on_action(kPlanRun, [&ledger](store::Database& database, ByteView data) {
    SQLite::Statement update{database, "UPDATE plan SET state = 'run' WHERE digest = :digest"};
    store::bind_blob(update, ":digest", data.first(Digest::kSizeBytes));
    update.exec();
    const ByteView further = data.subspan(Digest::kSizeBytes);
    if (further.empty()) return;
    const std::size_t length = read_u16be(further);
    ledger.apply_in_transaction(
        Action{to_string(further.subspan(2, length)), to_bytes(further.subspan(2 + length))});
  });
}

Action plan_run_action(const Digest& digest, const std::optional<Action>& further) {
  Action action{kPlanRun, to_bytes(digest.bytes())};
  if (further) {
    append_u16be_prefixed(action.data, as_bytes(further->name));
    append(action.data, further->data);
  }
  return action;
}

}  // namespace keyferry::appliance
