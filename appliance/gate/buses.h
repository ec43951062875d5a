// What hangs on the machine's buses, against the list that was approved when the appliance was set up: a keyboard that
// types by itself, or a card that reads memory, is a device like any other.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace keyferry::appliance {

/// A line for each device of usb, pci, thunderbolt, firewire and pcmcia, sorted: "usb 1d6b:0002 class 09",
/// "pci 8086:1237 class 060000". USB devices that are mass storage and nothing else are left out: tokens come and go, and
/// are custody's. At most 1024 devices, each at most 96 characters.
[[nodiscard]] std::vector<std::string> bus_devices(const std::filesystem::path& sys = "/sys");

/// Devices of `present` that `approved` does not have, or has fewer times.
[[nodiscard]] std::vector<std::string> bus_strangers(const std::vector<std::string>& approved,
                                                     const std::vector<std::string>& present);

}  // namespace keyferry::appliance
