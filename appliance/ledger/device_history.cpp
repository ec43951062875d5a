#include "appliance/ledger/device_history.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "token/receipt.h"
#include "wrap/base/text.h"

namespace keyferry::appliance {
namespace {

constexpr std::size_t kMostRecords = 10'000;

using Key = std::pair<BatchId, std::uint32_t>;

class Gatherer {
 public:
  explicit Gatherer(Ledger& ledger) : ledger_{ledger}, store_{ledger} {}

  std::vector<DeviceRow> gather(const std::vector<DeviceRow>& start) {
    add(start);
    while (!serials_to_do_.empty() || !ses_to_do_.empty()) {
      if (!serials_to_do_.empty()) {
        const std::string serial = *serials_to_do_.begin();
        serials_to_do_.erase(serials_to_do_.begin());
        add(store_.of_device(serial));
      } else {
        const auto [family, serial] = *ses_to_do_.begin();
        ses_to_do_.erase(ses_to_do_.begin());
        add(store_.of_se(family, *SeSerial::from_bytes(serial)));
      }
    }
    std::vector<DeviceRow> rows;
    for (auto& [key, row] : found_) rows.push_back(std::move(row));
    return rows;
  }

  [[nodiscard]] std::vector<std::string> serials() const { return {serials_.begin(), serials_.end()}; }

 private:
  void add(const std::vector<DeviceRow>& rows) {
    for (const DeviceRow& row : rows) {
      if (!found_.try_emplace(Key{row.batch, row.record_no}, row).second) continue;
      if (found_.size() > kMostRecords) {
        throw Error{Code::Refused, fmt::format("more than {} records hang together by device serials", kMostRecords),
                    "name one record by its certificate, and look at the inventory's device serials"};
      }
      note(row.device_serial);
      SQLite::Statement acts{ledger_.database(),
                             "SELECT device_serial FROM device_act WHERE batch_id = :batch AND record_no = :no"};
      store::bind_blob(acts, ":batch", row.batch.bytes());
      acts.bind(":no", row.record_no);
      while (acts.executeStep()) note(acts.getColumn(0).getString());
      const std::pair se{row.family, to_bytes(row.se_serial.bytes())};
      if (ses_.insert(se).second) ses_to_do_.insert(se);
    }
  }

  void note(const std::string& serial) {
    if (!serial.empty() && serials_.insert(serial).second) serials_to_do_.insert(serial);
  }

  Ledger& ledger_;
  DeviceStore store_;
  std::map<Key, DeviceRow> found_;
  std::set<std::string> serials_, serials_to_do_;
  std::set<std::pair<se::Family, Bytes>> ses_, ses_to_do_;
};

class Thread {
 public:
  Thread(Ledger& ledger, const DeviceRow& row, std::vector<ThreadEvent>& events)
      : database_{ledger.database()}, row_{row}, events_{events} {}

  void tell() {
    issued();
    receipt();
    if (row_.state == RecordState::Revoked) closed();
    in_hand();
    acts();
    crl();
  }

 private:
  ThreadEvent& add(std::int64_t time, int order, std::string event) {
    events_.push_back({UtcMillis{time}, order, std::move(event), row_.batch, row_.record_no, {}});
    return events_.back();
  }

  SQLite::Statement query(const char* sql, bool with_record = true) {
    SQLite::Statement statement{database_, sql};
    store::bind_blob(statement, ":batch", row_.batch.bytes());
    if (with_record) statement.bind(":no", row_.record_no);
    return statement;
  }

  void issued() {
    SQLite::Statement batch = query(
        "SELECT coalesce(started_ms, made_ms), coalesce((SELECT name FROM station WHERE station.station_id = "
        "batch.station_id), lower(hex(station_id))), site FROM batch WHERE batch_id = :batch",
        false);
    if (!batch.executeStep()) return;
    add(batch.getColumn(0).getInt64(), 0, "issued").fields = {
        {"family", std::string{se::family_name(row_.family)}},
        {"se", printable(se::serial_text(row_.family, row_.se_serial))},
        {"key_name", row_.key_name},
        {"device_serial", row_.device_serial},
        {"certificate_serial", to_hex(row_.shown_serial())},
        {"certificate_sha256", row_.certificate_sha256.hex()},
        {"authority", row_.authority},
        {"station", printable(batch.getColumn(1).getString())},
        {"site", printable(batch.getColumn(2).getString())}};
  }

  void receipt() {
    SQLite::Statement found = query(
        "SELECT outcome, reason, core, core_sha256, accepted_ms FROM receipt WHERE batch_id = :batch AND record_no = "
        ":no");
    if (!found.executeStep()) return;
    ThreadEvent& event = add(found.getColumn(4).getInt64(), 1, found.getColumn(0).getString());
    const auto parsed = token::parse_core(store::column_blob(found, 2));
    if (const auto* core = std::get_if<token::ReceiptCore>(&parsed)) {
      event.fields = {{"at_the_line", to_rfc3339(core->end)},
                      {"lane", fmt::format("{}", core->lane.value)},
                      {"person", fmt::format("{}", core->person_number)},
                      {"device_serial", core->device_serial},
                      {"evidence", std::string{token::name_of(core->evidence_kind)}},
                      {"chain", std::string{token::name_of(core->verdicts.chain)}},
                      {"challenge", std::string{token::name_of(core->verdicts.challenge)}},
                      {"serial_registered", std::string{token::name_of(core->verdicts.serial_registered)}},
                      {"firmware", std::string{token::name_of(core->verdicts.firmware)}}};
    }
    const std::string reason = found.getColumn(1).getString();
    if (!reason.empty()) event.fields.emplace_back("reason", reason);
    event.fields.emplace_back("receipt_sha256", to_hex(store::column_blob(found, 3)));
  }

  void closed() {
    SQLite::Statement batch = query(
        "SELECT closed_ms FROM batch WHERE batch_id = :batch AND closed_ms IS NOT NULL AND NOT EXISTS (SELECT 1 FROM "
        "device_act WHERE device_act.batch_id = batch.batch_id AND record_no = :no AND kind = 'revoked')");
    if (batch.executeStep()) add(batch.getColumn(0).getInt64(), 2, "closed");
  }

  void in_hand() {
    SQLite::Statement hand = query("SELECT noted_ms FROM se_in_hand WHERE batch_id = :batch AND record_no = :no");
    if (hand.executeStep()) add(hand.getColumn(0).getInt64(), 3, "in-hand");
  }

  void acts() {
    SQLite::Statement act = query(
        "SELECT kind, time_ms, reason, crl_reason, rma, first_person, second_person, evidence_sha256, family, "
        "se_serial, "
        "plan_digest, device_act.device_serial FROM device_act LEFT JOIN se ON se.se_id = new_se_id WHERE batch_id = "
        ":batch AND record_no = :no ORDER BY act");
    while (act.executeStep()) {
      ThreadEvent& event = add(act.getColumn(1).getInt64(), 4, act.getColumn(0).getString());
      const auto put = [&event](const char* name, std::string value) {
        if (!value.empty()) event.fields.emplace_back(name, std::move(value));
      };
      put("device_serial", act.getColumn(11).getString());
      put("rma", act.getColumn(4).getString());
      if (!act.getColumn(8).isNull()) {
        const auto family = se::family_from_name(act.getColumn(8).getString());
        const auto serial = SeSerial::from_bytes(store::column_blob(act, 9));
        put("new_family", act.getColumn(8).getString());
        if (family && serial) put("new_se", printable(se::serial_text(*family, *serial)));
      }
      if (!act.getColumn(3).isNull()) {
        put("crl_reason", std::string{crl_reason_name(static_cast<std::uint8_t>(act.getColumn(3).getUInt()))});
      }
      if (!act.getColumn(5).isNull()) {
        put("persons", fmt::format("{} and {}", act.getColumn(5).getUInt(), act.getColumn(6).getUInt()));
      }
      if (!act.getColumn(7).isNull()) put("evidence_sha256", to_hex(store::column_blob(act, 7)));
      put("reason", printable(act.getColumn(2).getString()));
      if (!act.getColumn(10).isNull()) put("plan", to_hex(store::column_blob(act, 10)));
    }
  }

  void crl() {
    SQLite::Statement entry = query(
        "SELECT crl.this_update_ms, crl.number, crl_entry.authority, reason FROM crl_entry JOIN crl ON crl.authority = "
        "crl_entry.authority AND crl.entries > position WHERE batch_id = :batch AND record_no = :no ORDER BY "
        "crl.number "
        "LIMIT 1");
    if (!entry.executeStep()) return outside_crl();
    add(entry.getColumn(0).getInt64(), 5, "on-crl").fields = {
        {"authority", entry.getColumn(2).getString()},
        {"number", fmt::format("{}", entry.getColumn(1).getInt64())},
        {"crl_reason", std::string{crl_reason_name(static_cast<std::uint8_t>(entry.getColumn(3).getUInt()))}}};
  }

  void outside_crl() {
    SQLite::Statement noted = query(
        "SELECT noted_ms, authority, outside_revoked.crl_sha256, reason, revoked_ms FROM outside_revoked JOIN "
        "outside_crl USING "
        "(crl_sha256) WHERE batch_id = :batch AND record_no = :no");
    if (!noted.executeStep()) return;
    add(noted.getColumn(0).getInt64(), 5, "on-outside-crl").fields = {
        {"authority", noted.getColumn(1).getString()},
        {"crl_sha256", row_.outside_crl ? row_.outside_crl->hex() : ""},
        {"crl_reason", std::string{crl_reason_name(static_cast<std::uint8_t>(noted.getColumn(3).getUInt()))}},
        {"revoked", to_rfc3339(UtcMillis{noted.getColumn(4).getInt64()})}};
  }

  store::Database& database_;
  const DeviceRow& row_;
  std::vector<ThreadEvent>& events_;
};

}  // namespace

DeviceThread device_thread(Ledger& ledger, const std::vector<DeviceRow>& start) {
  return store::guarded("ledger: follow a device", [&] {
    DeviceThread thread;
    Gatherer gatherer{ledger};
    thread.records = gatherer.gather(start);
    thread.device_serials = gatherer.serials();
    for (const DeviceRow& row : thread.records) Thread{ledger, row, thread.events}.tell();
    std::ranges::stable_sort(thread.events, {}, [](const ThreadEvent& event) {
      return std::pair{event.time, event.order};
    });
    return thread;
  });
}

}  // namespace keyferry::appliance
