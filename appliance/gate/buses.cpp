#include "appliance/gate/buses.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>

#include "wrap/base/text.h"

namespace keyferry::appliance {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxDevices = 1024;
constexpr std::size_t kMaxValueChars = 24;
constexpr std::string_view kMassStorage = "08";  // USB-IF class codes

/// First word of a file of sysfs; empty when there is none.
std::string value_of(const fs::path& file) {
  std::string value;
  std::ifstream{file} >> value;
  if (value.starts_with("0x")) value.erase(0, 2);
  return printable(value.substr(0, kMaxValueChars));
}

/// Class codes of a USB device's interfaces, which lie below it: 1-1 has 1-1:1.0, 1-1:1.1, ...
std::vector<std::string> interface_classes(const fs::path& device) {
  std::vector<std::string> classes;
  std::error_code failed;
  for (const fs::directory_entry& entry : fs::directory_iterator{device, failed}) {
    std::string interface = value_of(entry.path() / "bInterfaceClass");
    if (!interface.empty()) classes.push_back(std::move(interface));
  }
  std::ranges::sort(classes);
  return classes;
}

/// Nothing for interfaces (they are told with their device) and for mass storage.
std::string usb_line(const fs::path& device) {
  const std::string vendor = value_of(device / "idVendor");
  if (vendor.empty()) return {};
  const std::vector<std::string> classes = interface_classes(device);
  const bool only_storage =
      !classes.empty() && std::ranges::all_of(classes, [](const std::string& one) { return one == kMassStorage; });
  if (only_storage) return {};
  std::string line = fmt::format("usb {}:{} class {}", vendor, value_of(device / "idProduct"), value_of(device / "bDeviceClass"));
  if (!classes.empty()) line += fmt::format(" interfaces {}", fmt::join(classes, ","));
  return line;
}

std::string other_line(std::string_view bus, const fs::path& device) {
  if (bus == "pci") {
    return fmt::format("pci {}:{} class {}", value_of(device / "vendor"), value_of(device / "device"), value_of(device / "class"));
  }
  return fmt::format("{} {} {}", bus, value_of(device / "vendor"), printable(device.filename().string()));
}

}  // namespace

std::vector<std::string> bus_devices(const fs::path& sys) {
  constexpr std::size_t kMaxLineChars = 96;
  constexpr std::array<std::string_view, 5> kBuses{"usb", "pci", "thunderbolt", "firewire", "pcmcia"};
  std::vector<std::string> lines;
  for (const std::string_view bus : kBuses) {
    std::error_code failed;
    for (const fs::directory_entry& entry : fs::directory_iterator{sys / "bus" / bus / "devices", failed}) {
      std::string line = bus == "usb" ? usb_line(entry.path()) : other_line(bus, entry.path());
      if (line.empty() || lines.size() >= kMaxDevices) continue;
      line.resize(std::min(line.size(), kMaxLineChars));
      lines.push_back(std::move(line));
    }
  }
  std::ranges::sort(lines);
  return lines;
}

std::vector<std::string> bus_strangers(const std::vector<std::string>& approved, const std::vector<std::string>& present) {
  std::vector<std::string> known = approved, here = present, strangers;
  std::ranges::sort(known);
  std::ranges::sort(here);
  std::ranges::set_difference(here, known, std::back_inserter(strangers));
  return strangers;
}

}  // namespace keyferry::appliance
