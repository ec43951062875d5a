// One fixture: reads the SE's serial, finds its records, and takes each through the sandwich. Lanes
// run at the same time, each on a thread of its own (crew.h): a Lane owns its own state, and
// touches the store only through whole steps.
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

/// What all lanes share. All references must outlive the lanes.
struct LaneParts {
  const StationFacts& station;
  Store& store;
  const Clock& clock;
  Admission& admission;
  OpenChip open_chip;  // called from each lane's thread
};

class Lane {
 public:
  /// All references must outlive the lane. firmware: that its devices run; may be null.
  Lane(const LanePlan& plan, const LaneParts& parts, const FirmwareImage* firmware = nullptr);

  /// One SE: one outcome for each key that it has a record for, at least one outcome. A bad chip is
  /// an outcome; only what stops the whole station (disk, database) leaves as an Error.
  [[nodiscard]] std::vector<DeviceOutcome> handle(const SePlace& place);

 private:
  [[nodiscard]] std::vector<DeviceOutcome> handle_chip(const SePlace& place, DeviceOutcome none);
  [[nodiscard]] DeviceOutcome refused(DeviceOutcome none, const ChipRefusal& refusal) const;

  const LanePlan& plan_;
  const LaneParts& parts_;
  const FirmwareImage* firmware_;
};

}  // namespace keyferry::station
