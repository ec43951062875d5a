// The thread of a device: every record of every SE that it ever had, and what became of each. Reads only.
#pragma once

#include <string>
#include <vector>

#include "appliance/ledger/device_store.h"

namespace keyferry::appliance {

/// One thing that happened, in plain words, with what names it. `order`: of things of one moment.
struct ThreadEvent {
  UtcMillis time = {};
  int order = 0;
  std::string event = {};  // "issued", "injected", "quarantined", "returned", "closed", "in-hand", "released",
                           // "revoked", "on-crl", "scrapped", "reworked", "rma"
  BatchId batch = {};
  std::uint32_t record_no = 0;
  std::vector<std::pair<std::string, std::string>> fields = {};  // in the order in which they are shown
};

struct DeviceThread {
  std::vector<DeviceRow> records;           // by batch and number
  std::vector<std::string> device_serials;  // ascending
  std::vector<ThreadEvent> events;          // by time
};

/// Follows device serials and SEs from `start` until nothing is added: a reworked device has two SEs, a released SE
/// several records. Error{Refused} beyond 10,000 records: then the ledger's serials are no serials.
[[nodiscard]] DeviceThread device_thread(Ledger& ledger, const std::vector<DeviceRow>& start);

}  // namespace keyferry::appliance
