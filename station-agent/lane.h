// One fixture: reads the SE's serial, finds its records, and takes each through the sandwich. A
// Lane owns its own state and touches the store only through whole steps, so lanes can run at the
// same time once each has a strand.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "station-agent/chip.h"
#include "station-agent/lanes_file.h"
#include "station-agent/sandwich.h"
#include "station-agent/store.h"

namespace keyferry::station {

using OpenChip = std::function<std::unique_ptr<Chip>(const SePlace&)>;

class Lane {
 public:
  /// All references must outlive the lane.
  Lane(const LanePlan& plan,
       const StationFacts& station,
       Store& store,
       const Clock& clock,
       OpenChip open_chip);

  /// One SE: one outcome for each key that it has a record for, at least one outcome. A bad chip is
  /// an outcome; only what stops the whole station (disk, database) leaves as an Error.
  [[nodiscard]] std::vector<DeviceOutcome> handle(const SePlace& place);

 private:
  const LanePlan& plan_;
  const StationFacts& station_;
  Store& store_;
  const Clock& clock_;
  OpenChip open_chip_;
};

}  // namespace keyferry::station
