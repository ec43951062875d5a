// Conservation (I3), counted from the ledger: what was issued and where each of it ended. Reads
// only.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "appliance/ledger/batch_store.h"
#include "appliance/ledger/ledger.h"

namespace keyferry::appliance {

/// The terms of I3: issued = injected + quarantined + returned + never_left + revoked +
/// outstanding.
struct Sums {
  std::uint64_t issued = 0;  // entries of the list of a batch that has started
  std::uint64_t injected = 0, quarantined = 0, returned = 0, never_left = 0, revoked = 0;
  std::uint64_t outstanding = 0;

  [[nodiscard]] bool agree() const {
    return issued == injected + quarantined + returned + never_left + revoked + outstanding;
  }

  Sums& operator+=(const Sums& more);
  friend bool operator==(const Sums&, const Sums&) = default;
};

struct OutstandingSe {
  std::uint32_t record_no = 0;
  std::string family = {};
  Bytes se_serial = {};
  std::string key_name = {};
  std::string device_serial = {};  // of the inventory; may be empty
  bool sealed = false;             // its key is in a sealed segment
};

class ReconcileStore {
 public:
  explicit ReconcileStore(Ledger& ledger) : ledger_{ledger} {}

  /// From the records' states and the list; `outstanding` by counting the names, not by taking the
  /// others from issued.
  [[nodiscard]] Sums sums(const BatchRow& batch);

  /// The same from other rows: `issued` from the batch, ended ones from receipts, outstanding from
  /// what has no end.
  [[nodiscard]] Sums cross_check(const BatchRow& batch);

  /// Entries of the list that have not ended, by record number, in constant memory.
  void visit_outstanding(const BatchRow& batch,
                         const std::function<void(const OutstandingSe&)>& visit);

 private:
  Ledger& ledger_;
};

}  // namespace keyferry::appliance
