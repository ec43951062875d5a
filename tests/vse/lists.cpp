#include "tests/vse/lists.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace keyferry::vse {
namespace {

constexpr std::size_t kFlushBytes = 64 * 1024;

/// A TOML basic string; the texts that come here are printable.
std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + '"';
}

}  // namespace

InventoryWriter::InventoryWriter(const std::filesystem::path& file, AttestationColumn attestation)
    : file_{file},
      attestation_{attestation},
      pending_{"family,se_serial,part_number,lot,key_name,device_serial,transport,transport_data"} {
  if (attestation_ == AttestationColumn::Present) pending_ += ",attestation_key";
  pending_ += '\n';
}

void InventoryWriter::add(const InventoryRow& row) {
  fmt::format_to(std::back_inserter(pending_),
                 "{},{},{},{},{},{},{}:{},",
                 row.family,
                 to_hex(row.serial),
                 row.part,
                 row.lot,
                 row.key_name,
                 row.device_serial,
                 row.delivered ? "delivered" : "derived",
                 row.master);
  if (attestation_ == AttestationColumn::Present) pending_ += ',' + to_hex(row.attestation_key);
  pending_ += '\n';
  if (pending_.size() >= kFlushBytes) flush();
}

void InventoryWriter::flush() {
  file_.write(as_bytes(pending_));
  pending_.clear();
}

void InventoryWriter::commit() {
  flush();
  file_.commit();
}

void write_lanes(const std::filesystem::path& file,
                 const std::string& family,
                 const std::vector<LaneChip>& chips,
                 std::uint32_t lane_count) {
  const std::size_t lanes = std::min<std::size_t>(lane_count, chips.size());
  std::string text = "# lanes of keyferry-station, made by keyferry-vse: the SEs are virtual\n";
  for (std::size_t lane = 0; lane < lanes; ++lane) {
    text +=
        fmt::format("\n[[lane]]\nnumber = {0}\nfamily = \"{1}\"\nperson = {0}\n", lane + 1, family);
    for (std::size_t i = lane; i < chips.size(); i += lanes) {
      text += "[[lane.se]]\n";
      for (const auto& [key, value] : chips[i].place)
        text += fmt::format("{} = {}\n", key, quoted(value));
      if (!chips[i].device_serial.empty())
        text += fmt::format("device_serial = {}\n", quoted(chips[i].device_serial));
    }
  }
  write_file_durably(file, as_bytes(text), Overwrite::Replace);
}

}  // namespace keyferry::vse
