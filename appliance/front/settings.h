// HOME/settings.toml: where the appliance's other parts are. Written by `init`, read by every
// command.
#pragma once

#include <filesystem>
#include <optional>
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
  // Production: gate and token reader run under users of their own and listen here.
  std::optional<std::filesystem::path> gate_socket = {};
  std::optional<std::filesystem::path> reader_socket = {};
};

/// Error{NotFound} with the hint to run init; Error{Usage} when it is not understood.
[[nodiscard]] Settings read_home_settings(const std::filesystem::path& file);
void write_home_settings(const std::filesystem::path& file, const Settings& settings);

}  // namespace keyferry::appliance
