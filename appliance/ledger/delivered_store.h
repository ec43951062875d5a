// Delivered transport keys of an import: their rows in the file's order, and the check values that
// may occur once in history.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "appliance/ledger/inventory_store.h"

namespace keyferry::appliance {

struct DeliveredRow {
  SeId id;
  std::uint64_t line = 0;
  se::Entry entry;
};

struct CheckedRow {
  SeId id;
  std::uint64_t line = 0;
  Bytes check_value;  // 16
};

/// A check value that was there before.
struct DoubledKey {
  std::uint64_t line = 0;
  std::uint64_t earlier_line = 0;  // of the same file; 0: an SE that was there before
  std::string earlier_se;          // "pkcs11 01ab...", when it was there before
};

class DeliveredStore {
 public:
  static constexpr std::size_t kRowsPerTransaction = InventoryStore::kRowsPerTransaction;

  explicit DeliveredStore(Ledger& ledger) : ledger_{ledger} {}

  /// Rows of the import behind `after` (SeId{0}: from the first), in the file's order, at most
  /// `count`.
  [[nodiscard]] std::vector<DeliveredRow> rows(ImportId import, SeId after, std::size_t count);

  /// Notes the check values in one transaction, sorted; those that were there before are told and
  /// not stored. They count as seen from now on and go with the import if it never becomes final.
  [[nodiscard]] std::vector<DoubledKey> add(ImportId import, std::vector<CheckedRow> rows);

 private:
  Ledger& ledger_;
};

}  // namespace keyferry::appliance
