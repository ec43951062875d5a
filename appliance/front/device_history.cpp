// devices.h: the thread of a device, as text and JSON.
#include "appliance/ledger/device_history.h"

#include <fmt/format.h>

#include "appliance/front/context.h"
#include "appliance/front/devices.h"
#include "token/reason_words.h"

namespace keyferry::appliance {

int device_history(Context& context, const DeviceChoice& choice) {
  const DeviceThread thread = device_thread(context.ledger(), chosen_records(context, choice));
  Json json{{"device_serials", thread.device_serials}, {"records", Json::array()}, {"events", Json::array()}};
  std::vector<std::string> lines;
  for (const std::string& serial : thread.device_serials) lines.push_back("device " + serial);
  for (const DeviceRow& row : thread.records) {
    const bool valid = row.in_use();
    json["records"].push_back(Json{{"batch", row.batch.hex()},
                                   {"record_no", row.record_no},
                                   {"se", se_text(row)},
                                   {"key_name", row.key_name},
                                   {"state", state_name(row.state)},
                                   {"certificate_serial", to_hex(row.shown_serial())},
                                   {"certificate_valid", valid},
                                   {"scrapped", row.scrapped},
                                   {"replaced", row.replaced}});
    lines.push_back(fmt::format("record {} of batch {}  SE {}  {}{}{}", row.record_no, row.batch.hex(), se_text(row),
                                state_name(row.state), valid || row.state == RecordState::Issued ? "" : ", revoked",
                                row.scrapped ? ", scrapped" : ""));
  }
  for (const ThreadEvent& event : thread.events) {
    Json one{{"time", to_rfc3339(event.time)},
             {"event", event.event},
             {"batch", event.batch.hex()},
             {"record_no", event.record_no}};
    std::string text = fmt::format("{}  {}/{}  {}", to_rfc3339(event.time), event.batch.hex().substr(0, 8),
                                   event.record_no, event.event);
    for (const auto& [name, value] : event.fields) {
      one[name] = value;
      if (value.empty()) continue;
      text += fmt::format("  {}={}", name, value);
      if (name == "reason" && event.event == "quarantined") {
        one["words"] = token::reason_words(value);
        text += fmt::format(" ({})", token::reason_words(value));
      }
    }
    json["events"].push_back(std::move(one));
    lines.push_back(std::move(text));
  }
  context.out().result("device-history", json, lines);
  return 0;
}

}  // namespace keyferry::appliance
