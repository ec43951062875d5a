// `keyferry-bench lane`: devices of family atecc608 through the station's lanes.
#pragma once

#include <cstdint>
#include <filesystem>

namespace keyferry::bench {

inline constexpr const char* kLaneHelp =
    "What is measured, in alternation, at least five times, with virtual chips that take as long "
    "as\n"
    "the vendor's table says (clock divider M0) and are empty each time:\n"
    "  figure  devices/h on one lane: from reading the serial to the durable receipt, all checks, "
    "certificate, lock,\n"
    "          signatures and attestation; the station's store is on --dir's disk. The start of "
    "the "
    "program is not in it.\n"
    "  raw     devices/h if nothing but the chips' own times of the same commands passed.\n"
    "  eight   seconds for so many devices on each of --lanes lanes at the same time, as a "
    "multiple "
    "of one lane's.\n"
    "1 - ratio is the station's own share of a device's time.\n"
    "example: keyferry-bench lane --json --count 2";

struct LaneOptions {
  std::uint32_t count = 1;  // devices of each lane in each round
  std::uint32_t lanes = 8;
  std::uint32_t rounds = 5;
  std::filesystem::path folder;
  bool json = false;
};

/// The exit status.
int run_lane(const LaneOptions& options);

}  // namespace keyferry::bench
