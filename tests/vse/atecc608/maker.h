// Chips as a factory of Microchip's or a secure room would hand them over: blank ones, or ones with
// configuration, transport key and attestation key, made through the chip's own commands.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <vector>

#include "tests/vse/atecc608/chip.h"
#include "wrap/base/secret_bytes.h"

namespace keyferry::vse::atecc608 {

struct Preparation {
  unsigned transport_slot = 4;
  std::optional<unsigned> attestation_slot;
  std::optional<Bytes> secure_boot_key;  // X | Y; goes to the slot that the configuration names
};

struct MakeOrder {
  std::filesystem::path folder;
  std::array<std::uint8_t, kConfigBytes>
      config{};  // its serial number is not used but for SN[0], SN[1], SN[8]
  std::uint32_t first = 0;
  std::uint32_t count = 0;
  std::optional<Preparation> preparation;  // nothing: blank
};

struct MadeChip {
  std::uint32_t number = 0;
  std::filesystem::path state;
  Bytes serial;
  Bytes attestation_key;  // 65 octets, or empty
};

struct MakeResult {
  std::vector<MadeChip> chips;  // by number
  std::uint32_t made = 0;
  std::uint32_t kept = 0;
};

/// The transport key (32 octets) of the chip with that serial.
using KeyForSerial = std::function<SecretBytes(const Bytes& serial)>;

/// FOLDER/chip-NNNNN.state
[[nodiscard]] std::filesystem::path state_file(const std::filesystem::path& folder,
                                               std::uint32_t number);

/// The socket beside a state file.
[[nodiscard]] std::filesystem::path socket_of(const std::filesystem::path& state);

/// Chips that are there already are kept. Error{Refused}: one of them is not as this order wants
/// it, or the configuration does not let the chip be prepared.
[[nodiscard]] MakeResult make_chips(const MakeOrder& order,
                                    const KeyForSerial& key_for_serial,
                                    RandomSource& random,
                                    const std::function<void(std::uint32_t)>& progress);

/// A part of that serial whose zones are open and whose configuration is nobody's yet.
[[nodiscard]] Memory blank_memory(const Bytes& serial, ByteView revision);

}  // namespace keyferry::vse::atecc608
