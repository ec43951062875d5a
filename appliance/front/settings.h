// HOME/settings.toml: where the appliance's other parts are. Written by `init`, read by every
// command.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "appliance/plan/plan.h"

namespace keyferry::appliance {

struct Settings {
  std::string name;  // of the appliance
  Environment environment = Environment::Development;
  std::filesystem::path gate_settings;      // gate.toml, beside the HSM's store
  std::filesystem::path officer_key;        // PKCS#8 under scrypt; may be empty
  std::vector<std::string> insecure_allow;  // "network", "swap", "memlock"
};

/// Error{NotFound} with the hint to run init; Error{Usage} when it is not understood.
[[nodiscard]] Settings read_home_settings(const std::filesystem::path& file);
void write_home_settings(const std::filesystem::path& file, const Settings& settings);

}  // namespace keyferry::appliance
