// A station's work place with virtual ATECC608 chips in its fixtures.
#pragma once

#include <memory>
#include <vector>

#include "tests/station-agent/bench.h"
#include "tests/station-agent/virtual_chip.h"

namespace keyferry::station::test {

class ChipPlace : public WorkPlace {
 public:
  /// Adds prepared chips, on power.
  void add_chips(unsigned count, const ChipMaking& making = {}) {
    for (unsigned i = 0; i < count; ++i) {
      const auto number = static_cast<unsigned>(chips.size()) + 1;
      chips.push_back(std::make_unique<VirtualChip>(
          folder() / ("chip-" + std::to_string(number)), number, making));
      chips.back()->power();
    }
  }

  /// A batch for all chips, as it comes from the appliance, on the token and loaded.
  SoftBatch load_batch(const se::Atecc608Profile& profile = example_profile(),
                       std::optional<Digest> firmware = std::nullopt,
                       bool attestation = true) {
    std::vector<AteccChip> known;
    for (const auto& chip : chips) {
      known.push_back({chip->serial, chip->transport_key, std::nullopt});
      if (attestation) known.back().attestation_key = chip->attestation_key;
    }
    SoftBatch batch = appliance.make_batch(known, profile, 4, firmware);
    appliance.write_token(token(), batch);
    const Ran loaded = load();
    EXPECT_EQ(loaded.status, 0) << loaded.errors;
    return batch;
  }

  /// These chips, dealt out to so many lanes. `more`: further lines of each lane.
  void write_chip_lanes(unsigned lanes = 1, const std::string& more = "") {
    std::ofstream out{lanes_file()};
    for (unsigned lane = 0; lane < lanes; ++lane) {
      out << "[[lane]]\nnumber = " << lane + 1 << "\nfamily = \"atecc608\"\nperson = 7\n" << more;
      for (std::size_t i = lane; i < chips.size(); i += lanes)
        out << "[[lane.se]]\nchip = \"" << chips[i]->address() << "\"\n";
    }
  }

  /// Unloads and sums what came home.
  Sums bring_home() {
    const Ran unloaded = unload();
    EXPECT_EQ(unloaded.status, 0) << unloaded.errors;
    return appliance.sums(appliance.open_receipts(token()));
  }

  std::vector<std::unique_ptr<VirtualChip>> chips;
};

}  // namespace keyferry::station::test
