// What the secure room hands out: the inventory (CSV) for the appliance and the lanes file (TOML)
// for the station.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "wrap/base/bytes.h"
#include "wrap/base/durable_file.h"

namespace keyferry::vse {

/// A row of the inventory. Every text has the pattern of its place (wrap/base/text.h), so no CSV
/// cell needs quotes.
struct InventoryRow {
  std::string family;
  Bytes serial;
  std::string part;
  std::string lot;
  std::string key_name;
  std::string device_serial;
  std::string master;
  bool delivered = false;      // delivered:MASTER; the vendor fills transport_data in
  Bytes attestation_key = {};  // 65 octets, or empty
};

/// Whether the inventory has the column attestation_key.
enum class AttestationColumn { Absent, Present };

/// Writes the inventory row by row, in constant memory; it gets its name in commit().
class InventoryWriter {
 public:
  InventoryWriter(const std::filesystem::path& file, AttestationColumn attestation);
  void add(const InventoryRow& row);
  void commit();

 private:
  void flush();

  DurableWriter file_;
  AttestationColumn attestation_;
  std::string pending_;
};

/// Where the station finds one SE.
struct LaneChip {
  std::vector<std::pair<std::string, std::string>> place;  // the family's keys of [[lane.se]]
  std::string device_serial;                               // empty: the record has it, or nobody
};

/// `chips` in their order over lanes 1 to `lane_count`, in turn; as many lanes as there are chips
/// at most.
void write_lanes(const std::filesystem::path& file,
                 const std::string& family,
                 const std::vector<LaneChip>& chips,
                 std::uint32_t lane_count);

}  // namespace keyferry::vse
