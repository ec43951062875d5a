#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <map>
#include <utility>

#include "station-agent/atecc608_chip.h"
#include "station-agent/commands.h"
#include "station-agent/crew.h"
#include "station-agent/desk.h"
#include "station-agent/firmware.h"
#include "station-agent/pkcs11_chip.h"
#include "station-agent/revocations.h"
#include "station-agent/unload.h"
#include "token/reason_words.h"
#include "wrap/base/process.h"
#include "wrap/base/text.h"
#include "wrap/base/words.h"
#include "wrap/crypto/hash.h"
#include "wrap/se/family.h"

namespace keyferry::station {
namespace {

std::string record_text(const DeviceOutcome& outcome) {
  std::string text = fmt::format("lane {}", outcome.lane.value);
  if (outcome.se_serial) {
    const auto family = se::family_from_name(token::name_of(outcome.family));
    text += " se " + printable(se::serial_text(family.value_or(se::Family::Pkcs11),
                                               *outcome.se_serial));
  }
  if (outcome.record) {
    text += fmt::format(" batch {} record {}",
                        outcome.record->batch_id.hex().substr(0, 8),
                        outcome.record->record_no.value);
  }
  return text;
}

std::string_view colour_name(DeviceColour colour) {
  switch (colour) {
    case DeviceColour::Green:
      return "green";
    case DeviceColour::Yellow:
      return "yellow";
    case DeviceColour::Red:
      return "red";
  }
  return {};
}

Json outcome_json(const DeviceOutcome& outcome) {
  return Json{{"lane", outcome.lane.value},
              {"colour", colour_name(outcome.colour)},
              {"result", outcome.result},
              {"reason", outcome.reason},
              {"text", outcome.text},
              {"se_serial", outcome.se_serial ? outcome.se_serial->hex() : ""},
              {"batch", outcome.record ? outcome.record->batch_id.hex() : ""},
              {"record_no", outcome.record ? Json(outcome.record->record_no.value) : Json(nullptr)},
              {"key_name", outcome.key_name},
              {"device_serial", outcome.device_serial},
              {"ms", outcome.duration_ms}};
}

void show(const DeviceOutcome& outcome) {
  progress(fmt::format("{} {}: {}{}{}",
                       colour_name(outcome.colour),
                       record_text(outcome),
                       outcome.result,
                       outcome.reason.empty() ? "" : " (" + outcome.reason + ")",
                       outcome.text.empty() ? "" : ": " + outcome.text));
  if (!outcome.hint.empty()) progress("  hint: " + outcome.hint);
}

/// A device takes fewer answers than this.
constexpr int kMostAnswers = 40;

std::unique_ptr<Chip> open_chip(const SePlace& place, const HelperSettings& helper) {
  if (!place.chip) return std::make_unique<Pkcs11Chip>(place, helper);
  return std::make_unique<Atecc608Chip>(
      [address = *place.chip] { return atecc608::open_wire(address); });
}

/// One image for all lanes that name the same files is read once.
std::vector<std::optional<FirmwareImage>> read_images(const std::vector<LanePlan>& plans) {
  std::map<std::pair<std::string, std::string>, FirmwareImage> known;
  std::vector<std::optional<FirmwareImage>> images;
  for (const LanePlan& plan : plans) {
    if (!plan.firmware) {
      images.emplace_back();
      continue;
    }
    const auto& [image, signature] = *plan.firmware;
    const std::pair files{image.string(), signature.string()};
    if (!known.contains(files)) known.emplace(files, read_firmware(image, signature));
    images.emplace_back(known.at(files));
  }
  return images;
}

constexpr std::array kResults{
    "injected", "already-injected", "spare", "quarantined", "refused", "lost"};

/// Status 1 when a device is red, or when places were not come to.
int tell_report(const CrewReport& report, bool as_json) {
  std::map<std::string, std::uint64_t> sums;
  Json devices = Json::array();
  bool good = !report.stopped;
  for (const auto& lane : report.outcomes) {
    for (const DeviceOutcome& outcome : lane) {
      ++sums[outcome.result];
      good = good && outcome.colour != DeviceColour::Red;
      if (as_json) devices.push_back(outcome_json(outcome));
    }
  }
  if (as_json) {
    Json json{{"schema", "keyferry.station.run.v1"}, {"ok", good}, {"stopped", report.stopped}};
    for (const char* result : kResults) json[result] = sums[result];
    json["ms"] = report.duration_ms;
    json["lanes"] = Json::array();
    for (const LaneSummary& lane : report.lanes) {
      json["lanes"].push_back(
          {{"lane", lane.lane.value}, {"devices", lane.devices}, {"ms", lane.duration_ms}});
    }
    json["devices"] = std::move(devices);
    print_json(json);
  } else {
    for (const LaneSummary& lane : report.lanes) {
      print(fmt::format(
          "lane {}: {} devices in {} ms", lane.lane.value, lane.devices, lane.duration_ms));
    }
    std::string line;
    for (const char* result : kResults)
      line += fmt::format("{}{} {}", line.empty() ? "" : ", ", result, sums[result]);
    print(line);
  }
  return good ? EXIT_SUCCESS : exit_status(Code::Refused);
}

Json batch_json(const Store& store, const BatchId& id) {
  const BatchFacts batch = *store.batch(id);
  const auto segments = store.segments(id);
  const auto here = static_cast<std::uint64_t>(std::count_if(
      segments.begin(), segments.end(), [](const SegmentFacts& one) { return one.loaded; }));
  const StateCounts counts = store.counts(id);
  Json json{{"batch", id.hex()},
            {"revoked", store.is_revoked(id)},
            {"site", batch.site},
            {"customer", batch.customer},
            {"key_name", batch.key_name},
            {"se_count", batch.se_count},
            {"target_count", batch.target_count},
            {"segments_total", segments.size()},
            {"segments_here", here}};
  const auto declaration = store.declaration(id);
  json["declaration_sha256"] = declaration ? crypto::sha256(declaration->cms).hex() : "";
  for (const RecordState state : kAllRecordStates)
    json[std::string{record_state_name(state)}] = counts.of(state);
  return json;
}

}  // namespace

int command_run(const CommonOptions& common, const RunOptions& options) {
  OpenHome home{common};
  static_cast<void>(home.pinned());
  if (const auto refusal = retired_refusal(home.store)) {
    home.store.note_refusal("run", refusal->reason);
    throw to_error(*refusal);
  }
  const std::vector<LanePlan> plans = read_lanes_file(options.lanes);
  const std::vector<std::optional<FirmwareImage>> images = read_images(plans);
  std::vector<const FirmwareImage*> firmware;
  for (const auto& image : images) firmware.push_back(image ? &*image : nullptr);
  const std::chrono::seconds deadline{options.deadline_s};
  const HelperSettings helper{sibling_program("keyferry-lane-p11"), deadline};
  Admission admission{home.store, kMostAnswers * deadline};
  const LaneParts parts{*home.station, home.store, home.clock, admission,
                        [&](const SePlace& place) { return open_chip(place, helper); }};
  const CrewReport report = run_lanes(
      plans,
      firmware,
      parts,
      [&](const DeviceOutcome& outcome) {
        show(outcome);
        if (outcome.result == "refused" || outcome.result == "lost")
          home.store.note_refusal(fmt::format("lane {}", outcome.lane.value), outcome.reason);
      },
      [] {
        progress("stopping: the devices in work are finished; once more ends at once");
      });
  return tell_report(report, common.json);
}

int command_return(const CommonOptions& common, const ReturnOptions& options) {
  OpenHome home{common};
  const auto batch_id = BatchId::from_hex(options.batch);
  if (!batch_id)
    throw Error{Code::Usage, "a batch id is 32 hex digits", "keyferry-station status lists them"};
  if (!home.store.batch(*batch_id)) {
    throw Error{Code::NotFound,
                "no batch " + batch_id->hex() + " at this station",
                "keyferry-station status lists them"};
  }
  const std::string typed =
      !options.confirm.empty()
          ? options.confirm
          : ask_on_terminal(
                "what is returned cannot be used any more; type the batch id to go on: ",
                "type it on the command line: --confirm BATCH");
  if (BatchId::from_hex(typed) != batch_id) {
    throw Error{Code::Refused, "the batch id was not confirmed; nothing was returned"};
  }
  const ReturnReport report =
      return_batch(home.store,
                   *home.station,
                   *batch_id,
                   options.person,
                   options.quarantine_doubtful ? InDoubt::Quarantine : InDoubt::Refuse,
                   home.clock);
  if (common.json) {
    Json json = batch_json(home.store, *batch_id);
    print_json({{"schema", "keyferry.station.return.v1"},
                {"ok", true},
                {"batch", batch_id->hex()},
                {"returned", report.returned},
                {"quarantined", report.quarantined},
                {"state", std::move(json)}});
  } else {
    print(fmt::format("batch {}: {} returned, {} quarantined",
                      batch_id->hex(),
                      report.returned,
                      report.quarantined));
  }
  return EXIT_SUCCESS;
}

int command_status(const CommonOptions& common) {
  const OpenHome home{common, store::Role::Reader};
  const auto appliance = home.store.appliance();
  const LogState log = home.store.log_state();
  const auto revocations = home.store.revocation_state();
  Json batches = Json::array();
  Json quarantine = Json::array();
  for (const BatchId& id : home.store.batches()) {
    batches.push_back(batch_json(home.store, id));
    for (const RecordKey& key : home.store.records_in(id, RecordState::Quarantined)) {
      const auto stored = home.store.record(key);
      quarantine.push_back({{"batch", id.hex()},
                            {"record_no", key.record_no.value},
                            {"se_serial", stored->record.se_serial.hex()},
                            {"key_name", stored->record.key_name},
                            {"reason", stored->reason},
                            {"words", token::reason_words(stored->reason)}});
    }
  }
  Json incidents = Json::array();
  for (const Incident& one : home.store.incidents()) {
    incidents.push_back(
        {{"time", to_rfc3339(one.time)}, {"kind", one.kind}, {"subject", one.subject}});
  }
  if (common.json) {
    print_json({{"schema", "keyferry.station.status.v1"},
                {"ok", true},
                {"station", station_json(*home.station)},
                {"enrolled", appliance.has_value()},
                {"appliance", appliance ? appliance->appliance_id.hex() : ""},
                {"appliance_words", appliance ? key_words(appliance->appliance_id.bytes()) : ""},
                {"batches", batches},
                {"log",
                 {{"generation", log.generation},
                  {"size", log.frontier.size()},
                  {"root", log.frontier.root().hex()},
                  {"acknowledged", home.store.acknowledged()}}},
                {"revocations", revocations ? revocations->number : 0},
                {"retired", revocations && revocations->retired},
                {"quarantine", quarantine},
                {"incidents", incidents},
                {"refusals", home.store.refusals()}});
    return EXIT_SUCCESS;
  }
  print(fmt::format("station {} at {} ({}), {}",
                    home.station->name,
                    home.station->site,
                    token::name_of(home.station->environment),
                    appliance ? "enrolled with " + appliance->name : "not enrolled"));
  for (const Json& batch : batches) {
    print(
        fmt::format("batch {}: {} of {} segments; target {}; loaded {}, injecting {}, doubtful {}, "
                    "injected {}, "
                    "quarantined {}, returned {}",
                    batch["batch"].get<std::string>(),
                    batch["segments_here"].dump(),
                    batch["segments_total"].dump(),
                    batch["target_count"].dump(),
                    batch["loaded"].dump(),
                    batch["injecting"].dump(),
                    batch["doubtful"].dump(),
                    batch["injected"].dump(),
                    batch["quarantined"].dump(),
                    batch["returned"].dump()));
    if (batch["declaration_sha256"] != "") {
      print(fmt::format("  Certification Declaration, SHA-256 {}: keyferry-station declaration",
                        batch["declaration_sha256"].get<std::string>()));
    }
  }
  if (revocations) {
    print(fmt::format("revocation list {}{}", revocations->number,
                      revocations->retired ? ": this station is retired" : ""));
  }
  for (const Json& one : quarantine) {
    print(fmt::format("quarantine: se {} record {} ({}): {}",
                      one["se_serial"].get<std::string>(),
                      one["record_no"].dump(),
                      one["reason"].get<std::string>(),
                      one["words"].get<std::string>()));
  }
  for (const Json& one : incidents) {
    print(fmt::format("incident: {} {} {}",
                      one["time"].get<std::string>(),
                      one["kind"].get<std::string>(),
                      one["subject"].get<std::string>()));
  }
  print(fmt::format(
      "log: {} leaves, the appliance has {}", log.frontier.size(), home.store.acknowledged()));
  return EXIT_SUCCESS;
}

}  // namespace keyferry::station
