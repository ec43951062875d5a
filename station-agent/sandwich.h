// One key of one SE, from intent to receipt (design section 8): note the intent, act, ask, note.
// What the crash of any process at any line means stands beside that line in sandwich.cpp. Recovery
// runs the same code as the first try.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "station-agent/admission.h"
#include "station-agent/chip.h"
#include "station-agent/store.h"

namespace keyferry::station {

/// What the technician sees.
enum class DeviceColour {
  Green,   // injected and proved, now or before
  Yellow,  // nothing wrong, nothing done: the line has reached its target
  Red,     // set it aside, or put another one in; see `reason` and `text`
};

struct DeviceOutcome {
  DeviceColour colour = DeviceColour::Red;
  std::string result;  // injected, already-injected, spare, quarantined, refused, lost
  std::string reason;  // `a-z-`, empty when green
  std::string text;    // for people
  std::string hint;
  LaneNo lane;
  token::Family family = token::Family::Pkcs11;
  std::optional<SeSerial> se_serial;
  std::optional<RecordKey> record;
  std::string key_name;
  std::string device_serial;
  std::int64_t duration_ms = 0;
};

/// Where a sandwich happens. All references must outlive it.
struct LinePlace {
  const StationFacts& station;
  Store& store;
  const Clock& clock;
  Hand hand;
  Admission& admission;
  const FirmwareImage* firmware = nullptr;  // that this lane's devices run, if it was named
};

/// Takes the record as far as it goes; every answer of the chip ends in an outcome. Only what stops
/// the whole station (disk, database) leaves as an Error.
[[nodiscard]] DeviceOutcome run_sandwich(const LinePlace& place, Chip& chip, StoredRecord stored);

/// Of a record that no check has come to: all but outcome and times comes from record and batch.
[[nodiscard]] token::ReceiptCore core_for(const StoredRecord& stored,
                                          const BatchFacts& batch,
                                          const StationFacts& station,
                                          const Hand& hand,
                                          UtcMillis start,
                                          UtcMillis end);

}  // namespace keyferry::station
