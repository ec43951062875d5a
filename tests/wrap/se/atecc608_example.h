// The facts page's example chip and worked injection (tests/vectors/atecc608/SOURCE).
#pragma once

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>

#include "wrap/se/atecc608_profile.h"
#include "wrap/se/entry.h"

namespace keyferry::se {

inline nlohmann::json atecc608_vectors() {
  std::ifstream file{KEYFERRY_SOURCE_DIR "/tests/vectors/atecc608/vectors.json"};
  return nlohmann::json::parse(file);
}

inline Bytes atecc608_octets(const nlohmann::json& value) {
  auto octets = from_hex(value.get<std::string>());
  if (!octets) throw std::runtime_error{"a vector is not hex"};
  return *std::move(octets);
}

inline std::array<std::uint8_t, kAtecc608ConfigurationBytes> example_configuration() {
  std::ifstream file{KEYFERRY_SOURCE_DIR "/tests/vectors/atecc608/example-configuration.hex"};
  std::string digits;
  for (std::string line; std::getline(file, line);) digits += line;
  const auto octets = from_hex(digits);
  if (!octets || octets->size() != kAtecc608ConfigurationBytes)
    throw std::runtime_error{"the example configuration is not 128 octets of hex"};
  std::array<std::uint8_t, kAtecc608ConfigurationBytes> out{};
  std::ranges::copy(*octets, out.begin());
  return out;
}

inline Atecc608Profile example_profile() {
  return Atecc608Profile{.configuration = example_configuration(),
                         .transport_slot = 4,
                         .target_slot = 0,
                         .attestation_slot = 1,
                         .certificate_slots = {8, 10, 12},
                         .secure_boot_slot = 15};
}

inline SeSerial example_chip() {
  return *SeSerial::from_hex("0123a5c7e90b2d4fee");
}

inline Entry example_chip_entry() {
  return Entry{.family = Family::Atecc608,
               .serial = example_chip(),
               .part = "ATECC608B",
               .lot = "L7",
               .key_name = "dac",
               .device_serial = "",
               .generation = 1,
               .transport_kind = TransportKind::Derived,
               .transport_name = "chips-a",
               .transport_data = {}};
}

}  // namespace keyferry::se
