// All lanes at the same time: a thread for each, since chips block, and one event loop on the
// calling thread that hears how each device ended. One lane's failure does not stop the others;
// what stops the station (disk, database) lets each lane end the device in its hands.
//
// SIGINT and SIGTERM: no new device is begun and those in work are finished; a second one ends the
// process at once, which every step survives (sandwich.h).
#pragma once

#include <functional>
#include <vector>

#include "station-agent/lane.h"

namespace keyferry::station {

struct LaneSummary {
  LaneNo lane;
  std::uint64_t devices = 0;
  std::int64_t duration_ms = 0;  // from the lane's start to its last device's end
};

struct CrewReport {
  std::vector<std::vector<DeviceOutcome>> outcomes;  // of each lane, in the order of its places
  std::vector<LaneSummary> lanes;
  std::int64_t duration_ms = 0;
  bool stopped = false;  // by a signal: some places were not come to
};

/// tell: called on the calling thread, as devices end; `stopping` likewise, when a signal came.
/// parts and firmware must outlive the call. firmware: of each plan, null where there is none.
[[nodiscard]] CrewReport run_lanes(const std::vector<LanePlan>& plans,
                                   const std::vector<const FirmwareImage*>& firmware,
                                   const LaneParts& parts,
                                   const std::function<void(const DeviceOutcome&)>& tell,
                                   const std::function<void()>& stopping);

}  // namespace keyferry::station
