#include <fmt/format.h>

#include <cstdlib>

#include "station-agent/commands.h"
#include "station-agent/desk.h"
#include "station-agent/load.h"
#include "station-agent/unload.h"
#include "token/medium.h"

namespace keyferry::station {
namespace {

namespace fs = std::filesystem;

Json load_json(const LoadReport& report) {
  Json batches = Json::array();
  for (const BatchLoad& batch : report.batches) {
    batches.push_back({{"batch", batch.batch_id.hex()},
                       {"segments_total", batch.segments_total},
                       {"segments_here", batch.segments_here},
                       {"segments_new", batch.segments_new},
                       {"absent", batch.absent},
                       {"records", batch.records_here},
                       {"records_new", batch.records_new}});
  }
  Json refused = Json::array();
  for (const RefusedFile& file : report.refused) {
    refused.push_back(
        {{"file", file.file}, {"reason", file.refusal.reason}, {"text", file.refusal.text}});
  }
  return Json{{"schema", "keyferry.station.load.v1"},
              {"ok", report.good()},
              {"batches", batches},
              {"revocations", report.revocations},
              {"refused", refused}};
}

}  // namespace

int command_load(const CommonOptions& common, const fs::path& token) {
  OpenHome home{common};
  const PinnedAppliance appliance = home.pinned();
  token::FolderMedium medium{token};
  const auto identity = login(common, home);
  const auto result = load_token(
      {home.store, *home.station, appliance, identity->agreement(), medium, home.home, progress});
  if (const auto* refusal = std::get_if<Refusal>(&result)) throw to_error(*refusal);
  const auto& report = std::get<LoadReport>(result);
  for (const RefusedFile& file : report.refused) {
    progress("refused " + file.file + " (" + file.refusal.reason + "): " + file.refusal.text);
    if (!file.refusal.hint.empty()) progress("hint: " + file.refusal.hint);
  }
  for (const std::string& name : report.strange) progress("not ours, left alone: " + name);
  if (common.json) {
    print_json(load_json(report));
  } else {
    if (report.revocations > 0) print(fmt::format("revocation list {} is in force", report.revocations));
    for (const BatchLoad& batch : report.batches) {
      print(fmt::format("batch {}: {} of {} segments, {} records ({} new)",
                        batch.batch_id.hex(),
                        batch.segments_here,
                        batch.segments_total,
                        batch.records_here,
                        batch.records_new));
    }
  }
  return report.good() ? EXIT_SUCCESS : exit_status(Code::Refused);
}

int command_unload(const CommonOptions& common, const fs::path& token, std::optional<std::uint64_t> from) {
  OpenHome home{common};
  const PinnedAppliance appliance = home.pinned();
  token::FolderMedium medium{token};
  const auto identity = login(common, home);
  SystemRandom random;
  const UnloadReport report = unload({home.store,
                                      *home.station,
                                      appliance,
                                      identity->signer(),
                                      medium,
                                      home.home,
                                      random,
                                      home.clock,
                                      from});
  if (common.json) {
    print_json({{"schema", "keyferry.station.unload.v1"},
                {"ok", true},
                {"file", report.file},
                {"generation", report.generation},
                {"from", report.from_size},
                {"to", report.to_size},
                {"size_bytes", report.size_bytes},
                {"was_there", report.was_there}});
  } else if (report.file.empty()) {
    print("nothing to unload: the appliance has everything");
  } else {
    print(fmt::format("receipts written and read back: {} ({} entries)",
                      report.file,
                      report.to_size - report.from_size));
    print("unmount the token; it is then safe to remove");
  }
  return EXIT_SUCCESS;
}

}  // namespace keyferry::station
