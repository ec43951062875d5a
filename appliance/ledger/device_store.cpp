#include "appliance/ledger/device_store.h"

#include <fmt/format.h>

#include "appliance/ledger/batch_store.h"
#include "appliance/ledger/receipt_store.h"
#include "appliance/ledger/row_columns.h"
#include "wrap/base/text.h"

namespace keyferry::appliance {
namespace {

using store::guarded;
using Answer = std::optional<Refusal>;

constexpr const char* kDeviceAct = "device-act";

constexpr const char* kColumns =
    "SELECT record.batch_id, record.record_no, se.family, se.se_serial, se.key_name, batch.authority, "
    "record.certificate_serial, record.certificate_sha256, record.state, record.revoked, record.crl_due, "
    "record.generation < se.generation, se.device_replaced, "
    "EXISTS (SELECT 1 FROM se_scrapped AS gone WHERE gone.family = se.family AND gone.se_serial = se.se_serial), "
    "EXISTS (SELECT 1 FROM se_in_hand AS hand WHERE hand.batch_id = record.batch_id AND hand.record_no = "
    "record.record_no), "
    "CASE WHEN record.device_serial_bound <> '' THEN record.device_serial_bound ELSE se.device_serial END, "
    "(SELECT min(crl.number) FROM crl_entry JOIN crl ON crl.authority = crl_entry.authority AND crl.entries > "
    "crl_entry.position WHERE crl_entry.batch_id = record.batch_id AND crl_entry.record_no = record.record_no), "
    "coalesce((SELECT rma FROM device_act AS act WHERE act.batch_id = record.batch_id AND act.record_no = "
    "record.record_no AND act.kind = 'rma'), ''), record.outside_serial, "
    "(SELECT crl_sha256 FROM outside_revoked AS noted WHERE noted.batch_id = record.batch_id AND noted.record_no = "
    "record.record_no) ";

constexpr const char* kFrom =
    "FROM record JOIN se USING (se_id) JOIN batch USING (batch_id) JOIN segment ON segment.batch_id = "
    "record.batch_id AND segment.idx = record.segment_idx AND segment.state = 'sealed' "
    // as the partial index over se_id says it
    "WHERE record.certificate_serial IS NOT NULL AND record.state <> 'never_left' AND ";

constexpr const char* kWaiting =
    "record.state IN ('quarantined', 'returned') AND record.generation >= se.generation AND se.device_replaced = 0 "
    "AND NOT EXISTS (SELECT 1 FROM se_scrapped AS gone WHERE gone.family = se.family AND gone.se_serial = "
    "se.se_serial)";

constexpr const char* kOfBatch = " AND record.batch_id = :batch";

template <typename Value>
Value known(std::optional<Value> value, std::string_view what) {
  if (!value) throw damaged(what);
  return std::move(*value);
}

DeviceRow row_of(SQLite::Statement& query) {
  const auto flag = [&query](int column) { return query.getColumn(column).getInt() != 0; };
  DeviceRow row{.batch = known(BatchId::from_bytes(store::column_blob(query, 0)), "a batch id"),
                .record_no = query.getColumn(1).getUInt(),
                .family = known(se::family_from_name(query.getColumn(2).getString()), "an SE's family"),
                .se_serial = known(SeSerial::from_bytes(store::column_blob(query, 3)), "an SE's serial")};
  row.key_name = query.getColumn(4).getString();
  row.authority = query.getColumn(5).getString();
  row.certificate_serial = store::column_blob(query, 6);
  row.certificate_sha256 = known(Digest::from_bytes(store::column_blob(query, 7)), "a certificate's hash");
  row.state = known(record_state_from_name(query.getColumn(8).getString()), "a record's state");
  row.revoked = flag(9);
  row.crl_due = flag(10);
  row.released = flag(11);
  row.replaced = flag(12);
  row.scrapped = flag(13);
  row.in_hand = flag(14);
  row.device_serial = query.getColumn(15).getString();
  if (!query.getColumn(16).isNull()) row.crl_number = static_cast<std::uint64_t>(query.getColumn(16).getInt64());
  row.rma = query.getColumn(17).getString();
  if (!query.getColumn(18).isNull()) row.outside_serial = store::column_blob(query, 18);
  if (!query.getColumn(19).isNull()) {
    row.outside_crl = known(Digest::from_bytes(store::column_blob(query, 19)), "the hash of an outside CA's CRL");
  }
  return row;
}

std::string name_of(const DeviceRow& row) {
  return fmt::format("record {} of batch {}", row.record_no, row.batch.hex());
}

std::string se_name(se::Family family, const SeSerial& serial) {
  return fmt::format("SE {} {}", se::family_name(family), printable(se::serial_text(family, serial)));
}

bool has_ended(const DeviceRow& row) {
  return row.state != RecordState::Issued;
}

Answer still_there(const DeviceRow& row) {
  if (!has_ended(row)) {
    return Refusal{
        "record-outstanding", name_of(row) + " is outstanding: nobody knows here where its key is",
        "take its receipt in (receipts import), revoke it (device revoke), or close the batch (batch close ID)"};
  }
  if (row.scrapped) {
    return Refusal{"se-scrapped", se_name(row.family, row.se_serial) + " was scrapped: nothing more is done with it"};
  }
  return std::nullopt;
}

void bind_record(SQLite::Statement& statement, const DeviceRecord& record) {
  store::bind_blob(statement, ":batch", record.batch.bytes());
  statement.bind(":no", record.record_no);
}

// --- what an act does ----------------------------------------------------------------------------------------------

struct Act {
  const char* kind;
  const DeviceRecord& record;
  std::optional<std::uint8_t> crl_reason = {};  // where it is revoked by this act
  std::string reason = {}, rma = {};
  std::uint32_t first = 0, second = 0;
  std::optional<Digest> evidence = {};
  std::optional<std::int64_t> new_se = {};
};

struct Doing {
  store::Database& database;
  const Plan& plan;
  UtcMillis now;
};

/// Marks the certificate revoked; true when this is what revokes it.
bool revoke_in(store::Database& database, const DeviceRecord& record) {
  SQLite::Statement before{database, "SELECT crl_due FROM record WHERE batch_id = :batch AND record_no = :no"};
  bind_record(before, record);
  if (!before.executeStep()) throw damaged("a record that officers decided about");
  const bool first = before.getColumn(0).getInt() == 0;
  before.reset();
  SQLite::Statement mark{database,
                         "UPDATE record SET revoked = 1, crl_due = 1 WHERE batch_id = :batch AND record_no = :no"};
  bind_record(mark, record);
  mark.exec();
  return first;
}

std::int64_t insert(const Doing& doing, const Act& act) {
  SQLite::Statement row{doing.database,
                        "INSERT INTO device_act (kind, batch_id, record_no, device_serial, crl_reason, reason, rma, "
                        "first_person, second_person, evidence_sha256, new_se_id, plan_digest, time_ms) VALUES (:kind, "
                        ":batch, :no, :device, :crl, :reason, :rma, :first, :second, :evidence, :new, :plan, :now)"};
  row.bind(":kind", act.kind);
  bind_record(row, act.record);
  row.bind(":device", act.record.device_serial);
  if (act.crl_reason) row.bind(":crl", static_cast<int>(*act.crl_reason));
  row.bind(":reason", act.reason);
  row.bind(":rma", act.rma);
  if (act.first != 0) row.bind(":first", act.first);
  if (act.second != 0) row.bind(":second", act.second);
  if (act.evidence) store::bind_blob(row, ":evidence", act.evidence->bytes());
  if (act.new_se) row.bind(":new", *act.new_se);
  store::bind_blob(row, ":plan", doing.plan.digest.bytes());
  row.bind(":now", doing.now.value);
  row.exec();
  return doing.database.getLastInsertRowid();
}

void run_for_se(store::Database& database, const char* sql, se::Family family, ByteView serial,
                const std::string& device = {}) {
  SQLite::Statement statement{database, sql};
  statement.bind(":family", std::string{se::family_name(family)});
  store::bind_blob(statement, ":serial", serial);
  if (!device.empty()) statement.bind(":device", device);
  statement.exec();
}

std::optional<std::uint8_t> reason_if(bool first, std::string_view name) {
  return first ? crl_reason_code(name) : std::nullopt;
}

/// As a closed batch's: the record ends here, and with the last one its batch.
void end_outstanding(const Doing& doing, const DeviceRecord& record) {
  static_assert(next(RecordState::Issued, RecordEvent::RevokedByQuorum) == RecordState::Revoked);
  SQLite::Statement end{doing.database,
                        "UPDATE record SET state = 'revoked' WHERE batch_id = :batch AND record_no = :no AND state = "
                        "'issued'"};
  bind_record(end, record);
  if (end.exec() != 1) throw damaged("an outstanding record that officers revoked");
  SQLite::Statement done{
      doing.database,
      "SELECT 1 FROM batch WHERE batch_id = :batch AND state = 'reconciling' AND (SELECT count(*) FROM "
      "record WHERE record.batch_id = :batch AND record.state <> 'issued') = se_count"};
  store::bind_blob(done, ":batch", record.batch.bytes());
  const bool last = done.executeStep();
  done.reset();
  if (last) BatchStore::advance_in(doing.database, record.batch, BatchEvent::NothingOutstanding, doing.now);
}

void apply(const Doing& doing, const DeviceRevokePlan& plan) {
  const bool first = revoke_in(doing.database, plan.record);
  if (plan.outstanding) end_outstanding(doing, plan.record);
  insert(doing, {.kind = "revoked",
                 .record = plan.record,
                 .crl_reason = reason_if(first, plan.crl_reason),
                 .reason = plan.reason});
}

void apply(const Doing& doing, const DeviceScrapPlan& plan) {
  const bool first = revoke_in(doing.database, plan.record);
  const std::int64_t act = insert(doing, {.kind = "scrapped",
                                          .record = plan.record,
                                          .crl_reason = reason_if(first, "cessationOfOperation"),
                                          .reason = plan.reason,
                                          .first = plan.by,
                                          .second = plan.witness,
                                          .evidence = plan.evidence_sha256});
  SQLite::Statement gone{doing.database,
                         "INSERT INTO se_scrapped (family, se_serial, act) VALUES (:family, :serial, :act)"};
  gone.bind(":family", std::string{se::family_name(plan.record.family)});
  store::bind_blob(gone, ":serial", plan.record.se_serial);
  gone.bind(":act", act);
  gone.exec();
  SQLite::Statement hand{doing.database,
                         "INSERT OR IGNORE INTO se_in_hand SELECT batch_id, record_no, :now FROM record WHERE batch_id "
                         "= :batch AND record_no = :no AND state IN ('quarantined', 'returned')"};
  bind_record(hand, plan.record);
  hand.bind(":now", doing.now.value);
  hand.exec();
}

void apply(const Doing& doing, const DeviceReworkPlan& plan) {
  const bool first = revoke_in(doing.database, plan.record);
  SQLite::Statement found{doing.database,
                          "SELECT se_id FROM se WHERE family = :family AND se_serial = :serial ORDER BY se_id LIMIT 1"};
  found.bind(":family", std::string{se::family_name(plan.new_family)});
  store::bind_blob(found, ":serial", plan.new_se_serial);
  if (!found.executeStep()) throw damaged("the inventory: an SE for a rework is gone");
  const std::int64_t se = found.getColumn(0).getInt64();
  found.reset();
  insert(doing, {.kind = "reworked",
                 .record = plan.record,
                 .crl_reason = reason_if(first, "superseded"),
                 .reason = plan.reason,
                 .new_se = se});
  run_for_se(doing.database, "UPDATE se SET device_replaced = 1 WHERE family = :family AND se_serial = :serial",
             plan.record.family, plan.record.se_serial);
  run_for_se(doing.database, "UPDATE se SET device_serial = :device WHERE family = :family AND se_serial = :serial",
             plan.new_family, plan.new_se_serial, plan.record.device_serial);
}

void apply(const Doing& doing, const DeviceRmaPlan& plan) {
  const bool first = revoke_in(doing.database, plan.record);
  insert(doing, {.kind = "rma",
                 .record = plan.record,
                 .crl_reason = reason_if(first, plan.crl_reason),
                 .reason = plan.reason,
                 .rma = plan.rma});
}

void run_act(store::Database& database, ByteView data) {
  auto parsed = parse_plan(data.subspan(8));
  const auto* plan = std::get_if<Plan>(&parsed);
  if (plan == nullptr) throw damaged("a pending plan about a device");
  const Doing doing{database, *plan, UtcMillis{static_cast<std::int64_t>(read_u64be(data))}};
  if (const auto* revoke = std::get_if<DeviceRevokePlan>(&plan->detail)) return apply(doing, *revoke);
  if (const auto* scrap = std::get_if<DeviceScrapPlan>(&plan->detail)) return apply(doing, *scrap);
  if (const auto* rework = std::get_if<DeviceReworkPlan>(&plan->detail)) return apply(doing, *rework);
  if (const auto* rma = std::get_if<DeviceRmaPlan>(&plan->detail)) return apply(doing, *rma);
  throw damaged("a pending plan about a device");
}

}  // namespace

bool same_act(const DeviceAct& act, const DeviceRevokePlan& plan) {
  return !act.crl_reason || act.crl_reason == crl_reason_code(plan.crl_reason);
}

bool same_act(const DeviceAct& act, const DeviceScrapPlan& plan) {
  return act.first == plan.by && act.second == plan.witness && act.evidence == plan.evidence_sha256;
}

bool same_act(const DeviceAct& act, const DeviceReworkPlan& plan) {
  return act.device_serial == plan.record.device_serial && act.new_family == plan.new_family &&
         act.new_se == plan.new_se_serial;
}

bool same_act(const DeviceAct& act, const DeviceRmaPlan& plan) {
  return act.rma == plan.rma && (!act.crl_reason || act.crl_reason == crl_reason_code(plan.crl_reason));
}

std::vector<DeviceRow> DeviceStore::read(const std::string& where,
                                         const std::function<void(SQLite::Statement&)>& bind,
                                         const std::string& limit) {
  return guarded("ledger: find a device", [&] {
    SQLite::Statement query{
        ledger_.database(),
        std::string{kColumns} + kFrom + where + " ORDER BY record.batch_id, record.record_no" + limit};
    if (bind) bind(query);
    std::vector<DeviceRow> rows;
    while (query.executeStep()) rows.push_back(row_of(query));
    return rows;
  });
}

std::optional<DeviceRow> DeviceStore::record(const BatchId& batch, RecordNo record) {
  auto rows = read("record.batch_id = :batch AND record.record_no = :no", [&](SQLite::Statement& query) {
    store::bind_blob(query, ":batch", batch.bytes());
    query.bind(":no", record.value);
  });
  return rows.empty() ? std::nullopt : std::optional{std::move(rows.front())};
}

std::vector<DeviceRow> DeviceStore::of_se(std::optional<se::Family> family, const SeSerial& serial) {
  const std::string families = family ? fmt::format("('{}')", se::family_name(*family))
                                      : "('pkcs11', 'atecc608', 'optiga-trust-m', 'tpm2')";  // as UNIQUE of `se`
  return read(fmt::format("record.se_id IN (SELECT se_id FROM se AS one WHERE one.family IN {} AND one.se_serial = "
                          ":serial)",
                          families),
              [&](SQLite::Statement& query) { store::bind_blob(query, ":serial", serial.bytes()); });
}

std::vector<DeviceRow> DeviceStore::of_device(const std::string& device_serial) {
  return read(
      "(record.batch_id, record.record_no) IN (SELECT batch_id, record_no FROM record AS bound WHERE "
      "bound.device_serial_bound = :device AND bound.device_serial_bound <> '' UNION SELECT batch_id, record_no FROM "
      "record AS listed JOIN se AS of_it USING (se_id) WHERE listed.state <> 'never_left' AND of_it.device_serial = "
      ":device AND of_it.device_serial <> "
      "'' "
      "UNION SELECT batch_id, record_no FROM device_act AS act WHERE act.device_serial = :device AND act.device_serial "
      "<> '')",
      [&](SQLite::Statement& query) { query.bind(":device", device_serial); });
}

std::optional<DeviceRow> DeviceStore::of_certificate(ByteView certificate_serial) {
  auto rows = read("record.certificate_serial = :serial",
                   [&](SQLite::Statement& query) { store::bind_blob(query, ":serial", certificate_serial); });
  return rows.empty() ? std::nullopt : std::optional{std::move(rows.front())};
}

std::vector<DeviceRow> DeviceStore::of_outside_serial(ByteView serial) {
  return read("record.outside_serial IS NOT NULL AND ltrim(hex(record.outside_serial), '0') = ltrim(hex(:serial), '0')",
              [&](SQLite::Statement& query) { store::bind_blob(query, ":serial", serial); });
}

std::vector<DeviceRow> DeviceStore::waiting(const std::optional<BatchId>& batch, std::uint32_t limit) {
  return read(
      std::string{kWaiting} + (batch ? kOfBatch : ""),
      [&](SQLite::Statement& query) {
        query.bind(":limit", limit);
        if (batch) store::bind_blob(query, ":batch", batch->bytes());
      },
      " LIMIT :limit");
}

std::uint64_t DeviceStore::count_waiting(const std::optional<BatchId>& batch) {
  return guarded("ledger: count what waits in quarantine", [&] {
    SQLite::Statement query{ledger_.database(),
                            std::string{"SELECT count(*) "} + kFrom + kWaiting + (batch ? kOfBatch : "")};
    if (batch) store::bind_blob(query, ":batch", batch->bytes());
    query.executeStep();
    return static_cast<std::uint64_t>(query.getColumn(0).getInt64());
  });
}

std::optional<DeviceAct> DeviceStore::act(const DeviceRow& row, const std::string& kind) {
  return guarded("ledger: look for an act about a device", [&]() -> std::optional<DeviceAct> {
    SQLite::Statement query{
        ledger_.database(),
        "SELECT device_act.device_serial, rma, crl_reason, coalesce(first_person, 0), coalesce(second_person, 0), "
        "evidence_sha256, family, se_serial FROM device_act LEFT JOIN se ON se.se_id = new_se_id WHERE batch_id = "
        ":batch AND record_no = :no AND kind = :kind"};
    store::bind_blob(query, ":batch", row.batch.bytes());
    query.bind(":no", row.record_no);
    query.bind(":kind", kind);
    if (!query.executeStep()) return std::nullopt;
    DeviceAct act{.device_serial = query.getColumn(0).getString(), .rma = query.getColumn(1).getString()};
    if (!query.getColumn(2).isNull()) act.crl_reason = static_cast<std::uint8_t>(query.getColumn(2).getUInt());
    act.first = query.getColumn(3).getUInt();
    act.second = query.getColumn(4).getUInt();
    if (!query.getColumn(5).isNull()) {
      act.evidence = known(Digest::from_bytes(store::column_blob(query, 5)), "an act's evidence");
    }
    if (!query.getColumn(6).isNull()) {
      act.new_family = known(se::family_from_name(query.getColumn(6).getString()), "an SE's family");
      act.new_se = store::column_blob(query, 7);
    }
    return act;
  });
}

bool DeviceStore::is_scrapped(se::Family family, const SeSerial& serial) {
  return guarded("ledger: look for a scrapped SE", [&] {
    SQLite::Statement query{ledger_.database(),
                            "SELECT 1 FROM se_scrapped WHERE family = :family AND se_serial = :serial"};
    query.bind(":family", std::string{se::family_name(family)});
    store::bind_blob(query, ":serial", serial.bytes());
    return query.executeStep();
  });
}

std::variant<DeviceRow, Refusal> DeviceStore::same_record(const DeviceRecord& planned) {
  auto row = record(planned.batch, RecordNo{planned.record_no});
  if (!row) {
    return Refusal{"record-unknown",
                   fmt::format("there is no record {} of batch {}", planned.record_no, planned.batch.hex())};
  }
  const bool same = row->certificate_serial == planned.certificate_serial && row->family == planned.family &&
                    equal(row->se_serial.bytes(), planned.se_serial) &&
                    (row->device_serial.empty() || row->device_serial == planned.device_serial) &&
                    (planned.outside_serial.empty() || row->outside_serial == planned.outside_serial);
  if (same) return std::move(*row);
  return Refusal{"record-changed", name_of(*row) + " has another certificate, SE or device serial than the plan says",
                 "make the plan again"};
}

Answer DeviceStore::no_other_certificate(const DeviceRow& row) {
  for (const DeviceRow& other : of_se(row.family, row.se_serial)) {
    if (other.batch == row.batch && other.record_no == row.record_no) continue;
    if (other.revoked || other.crl_due) continue;
    return Refusal{"se-other-certificate",
                   fmt::format("{} holds another certificate that is not revoked: {} (key name {}, serial {})",
                               se_name(row.family, row.se_serial), name_of(other), other.key_name,
                               to_hex(other.shown_serial())),
                   "that record is the SE's newest: decide about it first"};
  }
  return std::nullopt;
}

Answer DeviceStore::not_reserved(se::Family family, const SeSerial& serial, UtcMillis now) {
  return guarded("ledger: look for a batch that waits", [&]() -> Answer {
    SQLite::Statement query{
        ledger_.database(),
        "SELECT b.batch_id FROM se JOIN se_list_entry x USING (se_id) JOIN batch b USING (list_id) WHERE se.family = "
        ":family AND se.se_serial = :serial AND (b.state = 'generating' OR (b.state = 'approved' AND b.expires_ms > "
        ":now)) ORDER BY b.batch_id LIMIT 1"};
    query.bind(":family", std::string{se::family_name(family)});
    store::bind_blob(query, ":serial", serial.bytes());
    query.bind(":now", now.value);
    if (!query.executeStep()) return std::nullopt;
    return Refusal{"se-reserved",
                   fmt::format("{} is in batch {}, which is approved", se_name(family, serial),
                               to_hex(store::column_blob(query, 0))),
                   "run that batch first, or wait until its approval ends"};
  });
}

Answer DeviceStore::no_other_se_of_device(const DeviceReworkPlan& plan, const std::string& key_name) {
  return guarded("ledger: look for a device's SE", [&]() -> Answer {
    SQLite::Statement query{
        ledger_.database(),
        "SELECT family, se_serial FROM inventory WHERE device_serial = :device AND device_serial <> '' AND key_name = "
        ":key_name AND device_replaced = 0 AND NOT (family = :old_family AND se_serial = :old_serial) AND NOT (family "
        "= :new_family AND se_serial = :new_serial) ORDER BY se_id LIMIT 1"};
    query.bind(":device", plan.record.device_serial);
    query.bind(":key_name", key_name);
    query.bind(":old_family", std::string{se::family_name(plan.record.family)});
    store::bind_blob(query, ":old_serial", plan.record.se_serial);
    query.bind(":new_family", std::string{se::family_name(plan.new_family)});
    store::bind_blob(query, ":new_serial", plan.new_se_serial);
    if (!query.executeStep()) return std::nullopt;
    const auto family = known(se::family_from_name(query.getColumn(0).getString()), "an SE's family");
    const auto serial = known(SeSerial::from_bytes(store::column_blob(query, 1)), "an SE's serial");
    return Refusal{"device-serial",
                   fmt::format("device {} is in the inventory with {}", plan.record.device_serial,
                               se_name(family, serial)),
                   "take that one as the new SE, or find out which SE the device has"};
  });
}

Answer DeviceStore::no_import() {
  if (!ReceiptStore{ledger_}.staged_import()) return std::nullopt;
  return Refusal{"import-unfinished", "an import of receipts was cut off, and may have this record's",
                 "finish it first: keyferry-appliance receipts import DIR"};
}

Answer DeviceStore::check(const DeviceRevokePlan& plan) {
  const auto found = same_record(plan.record);
  if (const auto* refusal = std::get_if<Refusal>(&found)) return *refusal;
  const auto& row = std::get<DeviceRow>(found);
  if (plan.outstanding && !row.outstanding()) {
    return Refusal{
        "record-state",
        fmt::format("{} is {} by now, and the plan is for an outstanding record", name_of(row), state_name(row.state)),
        row.in_use() ? "make the plan again: keyferry-appliance device revoke" : ""};
  }
  if (plan.outstanding) return no_import();
  if (auto no = still_there(row)) return no;
  if (row.in_use()) return std::nullopt;
  return Refusal{"certificate-revoked",
                 fmt::format("the certificate of {} ({}) is revoked already, {}", name_of(row), state_name(row.state),
                             row.crl_number    ? fmt::format("on CRL {} of kf-ca/{}", *row.crl_number, row.authority)
                             : row.outside_crl ? fmt::format("on the CRL of {} with SHA-256 {}", row.authority,
                                                             row.outside_crl->hex())
                             : row.outside()   ? fmt::format("the outside CA {} must revoke certificate {}",
                                                             row.authority, to_hex(row.outside_serial))
                                               : "due for the next CRL"),
                 row.crl_number || row.outside_crl ? ""
                 : row.outside() ? fmt::format("keyferry-appliance crl due --ca {} --list FILE", row.authority)
                                 : "keyferry-appliance crl issue --ca " + row.authority};
}

Answer DeviceStore::check(const DeviceScrapPlan& plan, UtcMillis now) {
  const auto found = same_record(plan.record);
  if (const auto* refusal = std::get_if<Refusal>(&found)) return *refusal;
  const auto& row = std::get<DeviceRow>(found);
  if (auto no = still_there(row)) return no;
  if (row.in_use()) {
    return Refusal{"record-state", fmt::format("{} is injected and its certificate is valid", name_of(row)),
                   "first: keyferry-appliance device revoke, or device rma"};
  }
  if (auto no = no_other_certificate(row)) return no;
  return not_reserved(row.family, row.se_serial, now);
}

Answer DeviceStore::check(const DeviceReworkPlan& plan, UtcMillis now) {
  const auto found = same_record(plan.record);
  if (const auto* refusal = std::get_if<Refusal>(&found)) return *refusal;
  const auto& row = std::get<DeviceRow>(found);
  // Its chip may be destroyed already: the device still gets another.
  if (!has_ended(row)) return still_there(row);
  if (row.replaced) return Refusal{"se-replaced", name_of(row) + ": its device has got another SE before"};
  if (row.released) {
    return Refusal{"se-released", name_of(row) + ": its SE was released for a new record, so the device keeps it",
                   "nothing is to be reworked"};
  }
  if (auto no = no_other_certificate(row)) return no;
  if (auto no = not_reserved(row.family, row.se_serial, now)) return no;
  for (const DeviceRow& other : of_device(plan.record.device_serial)) {
    const bool same = other.batch == row.batch && other.record_no == row.record_no;
    if (same || !other.in_use() || other.key_name != row.key_name) continue;
    return Refusal{"device-serial",
                   fmt::format("device {} is in use with {}", plan.record.device_serial, name_of(other)),
                   "revoke that one first, or find out which SE the device has"};
  }
  if (auto no = no_other_se_of_device(plan, row.key_name)) return no;
  const auto serial = *SeSerial::from_bytes(plan.new_se_serial);
  const std::string name = se_name(plan.new_family, serial);
  if (is_scrapped(plan.new_family, serial)) return Refusal{"se-scrapped", name + " was scrapped"};
  if (auto no = not_reserved(plan.new_family, serial, now)) return no;
  return guarded("ledger: look at an SE", [&]() -> Answer {
    SQLite::Statement query{
        ledger_.database(),
        "SELECT device_serial, device_replaced, EXISTS (SELECT 1 FROM record AS r WHERE r.se_id = one.se_id AND "
        "r.state "
        "<> 'never_left' AND (r.revoked = 0 OR r.generation >= one.generation)) FROM inventory AS one WHERE family = "
        ":family AND se_serial = :serial ORDER BY key_name"};
    query.bind(":family", std::string{se::family_name(plan.new_family)});
    store::bind_blob(query, ":serial", serial.bytes());
    bool any = false;
    while (query.executeStep()) {
      any = true;
      const std::string bears = query.getColumn(0).getString();
      if (!bears.empty() && bears != plan.record.device_serial) {
        return Refusal{"device-serial", fmt::format("{} is in the inventory for device {}", name, printable(bears)),
                       "take an SE that is for no device"};
      }
      if (query.getColumn(1).getInt() != 0 || query.getColumn(2).getInt() != 0) {
        return Refusal{"se-in-use", name + " has a key already, or was taken out of a device", "take another SE"};
      }
    }
    if (any) return std::nullopt;
    return Refusal{"se-unknown", name + " is not in the inventory", "first: keyferry-appliance se import FILE"};
  });
}

Answer DeviceStore::check(const DeviceRmaPlan& plan) {
  const auto found = same_record(plan.record);
  if (const auto* refusal = std::get_if<Refusal>(&found)) return *refusal;
  const auto& row = std::get<DeviceRow>(found);
  if (auto no = still_there(row)) return no;
  if (!row.rma.empty())
    return Refusal{"rma-open", fmt::format("{} came back before, return number {}", name_of(row), row.rma)};
  if (row.state == RecordState::Injected) return std::nullopt;
  return Refusal{"record-state",
                 fmt::format("{} is {}: it never left the line as a device", name_of(row), state_name(row.state)),
                 "see keyferry-appliance quarantine show"};
}

Answer DeviceStore::refusal(const Plan& plan, UtcMillis now) {
  if (const auto* revoke = std::get_if<DeviceRevokePlan>(&plan.detail)) return check(*revoke);
  if (const auto* scrap = std::get_if<DeviceScrapPlan>(&plan.detail)) return check(*scrap, now);
  if (const auto* rework = std::get_if<DeviceReworkPlan>(&plan.detail)) return check(*rework, now);
  if (const auto* rma = std::get_if<DeviceRmaPlan>(&plan.detail)) return check(*rma);
  return std::nullopt;
}

void register_device_actions(Ledger& ledger) {
  ledger.on_action(kDeviceAct, run_act);
}

std::optional<Action> device_action(const Plan& plan, UtcMillis now) {
  const bool of_device =
      std::holds_alternative<DeviceRevokePlan>(plan.detail) || std::holds_alternative<DeviceScrapPlan>(plan.detail) ||
      std::holds_alternative<DeviceReworkPlan>(plan.detail) || std::holds_alternative<DeviceRmaPlan>(plan.detail);
  if (!of_device) return std::nullopt;
  Action action{kDeviceAct, {}};
  append_u64be(action.data, static_cast<std::uint64_t>(now.value));
  append(action.data, plan.octets);
  return action;
}

void add_release_in(store::Database& database, const BatchId& batch, std::uint32_t record_no, const std::string& reason,
                    UtcMillis now) {
  SQLite::Statement row{
      database,
      "INSERT OR IGNORE INTO device_act (kind, batch_id, record_no, device_serial, reason, time_ms) SELECT "
      "'released', batch_id, record_no, device_serial_bound, :reason, :now FROM record WHERE batch_id = "
      ":batch AND record_no = :no"};
  store::bind_blob(row, ":batch", batch.bytes());
  row.bind(":no", record_no);
  row.bind(":reason", reason);
  row.bind(":now", now.value);
  row.exec();
}

}  // namespace keyferry::appliance
