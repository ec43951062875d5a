// Devices that passed, for a fleet inventory: read in constant memory.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "appliance/ledger/batch_store.h"
#include "appliance/ledger/ledger.h"
#include "token/receipt.h"
#include "wrap/base/clock.h"

namespace keyferry::appliance {

struct FleetDevice {
  token::ReceiptCore core;
  Bytes certificate_serial = {};  // 16
  Bytes public_key = {};          // 65
  std::string device_serial = {};  // what the receipt bound, else the inventory's; never what was refused; may be empty
  std::string authority = {}, customer = {}, site = {}, station = {};
  token::EvidenceKind evidence = token::EvidenceKind::Possession;
  UtcMillis accepted = {};
};

struct FleetCounts {
  std::uint64_t devices = 0;  // visited
  std::uint64_t revoked = 0;  // injected, but on a CRL or due for one
  std::uint64_t failed = 0;   // injected, with verdicts that do not pass: no station of ours writes that
};

class FleetStore {
 public:
  explicit FleetStore(Ledger& ledger) : ledger_{ledger} {}

  /// Injected records of a batch whose certificate is valid and whose verdicts pass (firmware may be not
  /// applicable), by record number. since: accepted then or later.
  FleetCounts visit(const BatchId& batch, const std::optional<UtcMillis>& since,
                    const std::function<void(const FleetDevice&)>& visit);

 private:
  Ledger& ledger_;
};

}  // namespace keyferry::appliance
