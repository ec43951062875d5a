// Power goes at every command boundary of an injection, and at each command between the chip's
// EEPROM write and its reply. Afterwards the same run is given again: the key proves itself (done),
// or the slot was provably empty and the same octets went in once more (again), or the device is in
// quarantine, which is lost yield. The table of outcomes is printed.
#include <gtest/gtest.h>

#include <cstdio>
#include <map>

#include "tests/station-agent/atecc608/chip_place.h"

namespace keyferry::station::test {
namespace {

struct Cut {
  const char* when;  // of the fault script
  std::uint64_t command;
};

struct Count {
  int done = 0;
  int again = 0;
  int quarantined = 0;
};

/// How many commands one injection takes from the first to the last.
std::uint64_t commands_of_an_injection() {
  ChipPlace place;
  place.enrol();
  place.add_chips(1);
  static_cast<void>(place.load_batch());
  place.write_chip_lanes();
  const Ran run = place.run();
  EXPECT_EQ(run.json["injected"], 1) << run.errors;
  place.chips[0]->power_off();
  return place.chips[0]->commands();
}

void print_table(const std::map<std::string, Count>& table, std::size_t cuts) {
  int quarantined = 0;
  std::printf("%-40s %6s %6s %11s\n", "power cut", "done", "again", "quarantine");
  for (const auto& [when, count] : table) {
    std::printf("%-40s %6d %6d %11d\n", when.c_str(), count.done, count.again, count.quarantined);
    quarantined += count.quarantined;
  }
  std::printf("cuts: %zu, share that ends in quarantine: %.1f %%\n",
              cuts,
              100.0 * quarantined / static_cast<double>(cuts));
}

TEST(Atecc608PowerCut, AtEveryCommandLeavesADeviceThatTheNextRunFinishes) {
  const std::uint64_t commands = commands_of_an_injection();
  ASSERT_GT(commands, 40U);
  std::vector<Cut> cuts;
  for (std::uint64_t command = 1; command <= commands; ++command) {
    cuts.push_back({"cut-before", command});
    cuts.push_back({"cut-after", command});
  }

  ChipPlace place;
  place.enrol();
  place.add_chips(static_cast<unsigned>(cuts.size()));
  const SoftBatch batch = place.load_batch();
  place.write_chip_lanes(4);
  for (std::size_t i = 0; i < cuts.size(); ++i)
    place.chips[i]->power(std::string{cuts[i].when} + " " + std::to_string(cuts[i].command) + "\n");

  const Ran cut = place.run();
  EXPECT_EQ(cut.json["lost"], cuts.size()) << "each device loses its power once";
  std::vector<bool> had_key;
  for (const auto& chip : place.chips) had_key.push_back(chip->held_key().has_value());

  const Ran run = place.run();
  EXPECT_EQ(run.json["lost"], 0) << run.errors;
  EXPECT_EQ(run.json["refused"], 0) << run.errors;
  std::map<std::string, nlohmann::json> by_serial;
  for (const auto& device : run.json["devices"])
    by_serial[device["se_serial"].get<std::string>()] = device;

  std::map<std::string, Count> table;
  for (std::size_t i = 0; i < cuts.size(); ++i) {
    const auto& device = by_serial.at(place.chips[i]->serial.hex());
    Count& count = table[cuts[i].when == std::string{"cut-before"}
                             ? "before a command"
                             : "between a command's write and its reply"];
    if (device["result"] == "quarantined") {
      ++count.quarantined;
      continue;
    }
    EXPECT_EQ(device["result"], "injected")
        << cuts[i].when << " " << cuts[i].command << ": " << device["text"];
    ++(had_key[i] ? count.done : count.again);
    const auto number = static_cast<std::uint32_t>(i);
    EXPECT_EQ(place.chips[i]->held_key(), batch.segments[number / 4][number % 4].public_key);
    EXPECT_TRUE(place.chips[i]->target_locked()) << cuts[i].when << " " << cuts[i].command;
  }
  print_table(table, cuts.size());
  const Sums sums = place.bring_home();
  EXPECT_EQ(sums.injected + sums.quarantined, cuts.size()) << "a receipt for each device, once";
  EXPECT_EQ(sums.attested, sums.injected);
  EXPECT_EQ(sums.quarantined, 0U) << "no cut of this chip costs a device";
}

}  // namespace
}  // namespace keyferry::station::test
