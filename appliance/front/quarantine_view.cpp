#include "appliance/front/quarantine_view.h"

#include <fmt/format.h>

#include "appliance/front/context.h"
#include "appliance/front/devices.h"
#include "appliance/front/internal/end_words.h"
#include "token/reason_words.h"
#include "token/receipt.h"
#include "wrap/base/error.h"
#include "wrap/base/text.h"
#include "wrap/label/quarantine.h"

namespace keyferry::appliance {
namespace {

/// What a quarantined or returned record's receipt says.
struct Aside {
  std::string reason, device_serial;
  UtcMillis at_line, accepted;
  std::uint32_t lane = 0, person = 0;
};

Aside aside_of(Context& context, const DeviceRow& row) {
  SQLite::Statement query{context.ledger().database(),
                          "SELECT core, accepted_ms FROM receipt WHERE batch_id = :batch AND record_no = :no"};
  store::bind_blob(query, ":batch", row.batch.bytes());
  query.bind(":no", row.record_no);
  if (!query.executeStep()) throw Error{Code::Storage, "ledger: a record has ended without its receipt"};
  const auto parsed = token::parse_core(store::column_blob(query, 0));
  const auto* core = std::get_if<token::ReceiptCore>(&parsed);
  if (core == nullptr) throw Error{Code::Storage, "ledger: a receipt is damaged"};
  return {core->reason,     row.device_serial.empty() ? core->device_serial : row.device_serial,
          core->end,        UtcMillis{query.getColumn(1).getInt64()},
          core->lane.value, core->person_number};
}

DeviceRow aside_record(Context& context, const std::string& batch, std::uint32_t record) {
  const BatchId id = ended_batch(context, batch).id;
  auto row = DeviceStore{context.ledger()}.record(id, RecordNo{record});
  if (!row) throw Error{Code::NotFound, fmt::format("there is no record {} of batch {}", record, id.hex())};
  if (row->state == RecordState::Quarantined || row->state == RecordState::Returned) return *row;
  throw Error{Code::Refused,
              fmt::format("record {} of batch {} is {}, not quarantined", record, id.hex(), state_name(row->state)),
              "keyferry-appliance device history tells what became of it"};
}

std::string words_of(const DeviceRow& row, const Aside& aside) {
  return row.state == RecordState::Returned ? "It was not used at the line and came back."
                                            : token::reason_words(aside.reason);
}

std::string crl_text(const DeviceRow& row) {
  if (row.crl_number) return fmt::format("on CRL {} of kf-ca/{}", *row.crl_number, row.authority);
  if (row.crl_due && row.outside()) return fmt::format("due: the outside CA {} must revoke it", row.authority);
  return row.crl_due ? "due for the next CRL of kf-ca/" + row.authority : std::string{"valid"};
}

std::string end_text(const DeviceRow& row) {
  if (row.scrapped) return "scrapped";
  if (row.replaced) return "its device has another SE";
  return row.released ? "released" : "waiting";
}

Json aside_json(const DeviceRow& row, const Aside& aside) {
  return Json{{"batch", row.batch.hex()},
              {"record_no", row.record_no},
              {"state", state_name(row.state)},
              {"family", se::family_name(row.family)},
              {"se_serial", printable(se::serial_text(row.family, row.se_serial))},
              {"device_serial", aside.device_serial},
              {"key_name", row.key_name},
              {"reason", aside.reason},
              {"words", words_of(row, aside)},
              {"since", to_rfc3339(aside.at_line)},
              {"in_hand", row.in_hand},
              {"now", end_text(row)},
              {"certificate_serial", to_hex(row.shown_serial())},
              {"crl", crl_text(row)}};
}

std::string aside_line(const DeviceRow& row, const Aside& aside) {
  return fmt::format("{}/{}  {}  SE {}  device {}  {}  {}{}", row.batch.hex(), row.record_no, state_name(row.state),
                     se_text(row), aside.device_serial.empty() ? "-" : aside.device_serial,
                     aside.reason.empty() ? "-" : aside.reason, to_rfc3339(aside.at_line),
                     row.in_hand ? "  in hand" : "");
}

}  // namespace

int quarantine_list(Context& context, const std::optional<std::string>& batch, std::uint32_t limit) {
  std::optional<BatchId> id;
  if (batch) id = ended_batch(context, *batch).id;
  Json list = Json::array();
  std::vector<std::string> lines;
  DeviceStore store{context.ledger()};
  const std::uint64_t all = store.count_waiting(id);
  for (const DeviceRow& row : store.waiting(id, limit)) {
    const Aside aside = aside_of(context, row);
    list.push_back(aside_json(row, aside));
    lines.push_back(aside_line(row, aside));
    if (!aside.reason.empty()) lines.push_back("    " + words_of(row, aside));
  }
  if (lines.empty()) lines.emplace_back("nothing waits in quarantine");
  if (list.size() < all) {
    lines.push_back(
        fmt::format("{} of {}: name a batch (--batch ID), or list more of them (--limit N)", list.size(), all));
  }
  context.out().result("quarantine-list", Json{{"waiting", list}, {"all", all}}, lines);
  return 0;
}

int quarantine_show(Context& context, const std::string& batch, std::uint32_t record) {
  const DeviceRow row = aside_record(context, batch, record);
  const Aside aside = aside_of(context, row);
  Json json = aside_json(row, aside);
  json["lane"] = aside.lane;
  json["person"] = aside.person;
  json["receipt_accepted"] = to_rfc3339(aside.accepted);
  std::vector<std::string> lines{
      aside_line(row, aside), words_of(row, aside),
      fmt::format("lane {}, person {}, receipt taken in {}", aside.lane, aside.person, to_rfc3339(aside.accepted)),
      fmt::format("certificate {}: {}", to_hex(row.shown_serial()), crl_text(row)), "now: " + end_text(row)};
  if (end_text(row) == "waiting") {
    const std::string place = fmt::format("{} {}", row.batch.hex().substr(0, 8), row.record_no);
    lines.push_back(
        fmt::format("next: quarantine release {0} (a new record in a new batch), device rework (the device gets "
                    "another SE), or device scrap --batch {1} --record {2}",
                    place, row.batch.hex().substr(0, 8), row.record_no));
  }
  context.out().result("quarantine-show", json, lines);
  return 0;
}

int quarantine_label(Context& context, const std::string& batch, std::uint32_t record, const LabelFiles& files) {
  const DeviceRow row = aside_record(context, batch, record);
  const Aside aside = aside_of(context, row);
  const label::QuarantineLabel sticker{.family = std::string{se::family_name(row.family)},
                                       .se_serial = printable(se::serial_text(row.family, row.se_serial)),
                                       .device_serial = aside.device_serial,
                                       .reason = row.state == RecordState::Returned ? "returned" : aside.reason,
                                       .words = words_of(row, aside),
                                       .batch = row.batch.hex(),
                                       .record_no = row.record_no,
                                       .time = aside.at_line};
  auto lines = label::text_lines(sticker);
  if (files.text)
    write_file_durably(*files.text, as_bytes(fmt::format("{}\n", fmt::join(lines, "\n"))), Overwrite::Replace);
  if (files.png) write_file_durably(*files.png, label::picture(sticker), Overwrite::Replace);
  Json json{{"batch", row.batch.hex()},
            {"record_no", row.record_no},
            {"qr", label::qr_text(sticker)},
            {"lines", lines},
            {"text", files.text ? files.text->string() : ""},
            {"png", files.png ? files.png->string() : ""}};
  if (files.text || files.png) {
    lines.clear();
    if (files.text) lines.push_back("label as text: " + files.text->string());
    if (files.png) lines.push_back("label as picture: " + files.png->string());
  }
  context.out().result("quarantine-label", json, lines);
  return 0;
}

}  // namespace keyferry::appliance
