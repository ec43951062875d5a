// The fleet registration file: devices that passed, of reconciled batches. Reads only.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace keyferry::appliance {

class Context;

struct FleetOptions {
  std::optional<std::string> batch, since;  // or, with neither:
  bool all = false;
  std::filesystem::path to;           // a file, or a folder that gets fleet.csv and fleet.jsonl
  std::optional<std::string> format;  // "csv" or "jsonl"
};

/// The same octets for the same ledger. Status 1 when batches were left out because they are not reconciled.
int fleet_export(Context& context, const FleetOptions& options);

/// A cell of CSV (RFC 4180): a leading = + - @ gets an apostrophe in front, so that no spreadsheet computes it.
[[nodiscard]] std::string csv_cell(std::string_view text);

}  // namespace keyferry::appliance
