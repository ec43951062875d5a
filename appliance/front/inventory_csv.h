// SE inventory files: CSV with the columns family, se_serial, part_number, lot, key_name,
// device_serial, transport, transport_data in any order, all in the header, and attestation_key,
// which may be left out. se_serial and transport_data are hex; key_name empty = "dac";
// device_serial may be empty; transport is derived:MASTER, delivered:VENDOR or public;
// attestation_key is empty or an uncompressed point of P-256 in hex (130 digits).
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <variant>
#include <vector>

#include "appliance/front/csv_reader.h"
#include "appliance/ledger/registry.h"
#include "wrap/se/entry.h"

namespace keyferry::appliance {

struct InventoryLine {
  std::uint64_t line = 0;
  se::Entry entry;
};

class InventoryCsv {
 public:
  /// Names in `registry` decide which masters and vendor keys are known.
  InventoryCsv(CsvReader::Source source, const Registry& registry);

  /// Nothing at the end. A problem of one line's fields does not stop the reader; one of the form
  /// does.
  [[nodiscard]] std::variant<std::monostate, InventoryLine, CsvProblem> next();

 private:
  [[nodiscard]] std::optional<CsvProblem> read_header();
  [[nodiscard]] std::variant<InventoryLine, CsvProblem> convert(const CsvRecord& record) const;

  CsvReader reader_;
  const Registry& registry_;
  std::vector<std::size_t> place_;  // of each known column in a record
  std::size_t width_ = 0;
  bool begun_ = false;
  bool done_ = false;
};

}  // namespace keyferry::appliance
