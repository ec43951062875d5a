#include "tests/vse/orders.h"

#include <fmt/format.h>

#include <cstdio>
#include <nlohmann/json.hpp>
#include <utility>

#include "tests/vse/vendor_room.h"
#include "wrap/base/process.h"
#include "wrap/base/text.h"

namespace keyferry::vse {
namespace {

SecretBytes appliance_pin(const Options& options, const ApplianceHsm& hsm) {
  if (options.pin_fd) return read_secret_line(*options.pin_fd);
  if (const auto file = p11::pin_file(hsm.uri)) return read_secret_file(*file);
  return prompt_secret("PIN of the appliance's HSM: ");
}

}  // namespace

void check(bool right, const std::string& what) {
  if (!right) throw Error{Code::Usage, what};
}

void check_texts(const Options& options) {
  check(is_name(options.master), "--master is no name");
  check(is_name(options.key_name), "--key-name is no name");
  check(is_part_text(options.part), "--part has characters that no part number has");
  check(is_part_text(options.lot), "--lot has characters that no lot number has");
  check(options.device_serial_prefix.empty() ||
            is_device_serial(options.device_serial_prefix + "00000000"),
        "--device-serial-prefix has characters that no device serial has, or is too long");
}

std::string device_serial(const Options& options, std::uint32_t number) {
  return options.device_serial_prefix.empty()
             ? ""
             : fmt::format("{}{:05}", options.device_serial_prefix, number);
}

InventoryRow row_of(const Options& options,
                    const std::string& family,
                    Bytes serial,
                    std::uint32_t number) {
  return {family,
          std::move(serial),
          options.part,
          options.lot,
          options.key_name,
          options.bind_at_line ? "" : device_serial(options, number),
          options.master,
          options.transport == "delivered"};
}

std::unique_ptr<KeyRoom> open_room(const Options& options,
                                   const std::string& family,
                                   RandomSource& random) {
  const bool delivered = options.transport == "delivered";
  check(delivered != options.vendor_keys.empty(), "--vendor-keys goes with --transport delivered");
  check(delivered != !options.gate_settings.empty(),
        "--gate-settings goes with --transport derived");
  if (delivered) return std::make_unique<VendorRoom>(options.master, options.vendor_keys, random);
  const ApplianceHsm hsm = read_gate_settings(options.gate_settings);
  return std::make_unique<SecureRoom>(hsm, appliance_pin(options, hsm), options.master, family);
}

void close_room(const KeyRoom& room) {
  if (const auto* vendor = dynamic_cast<const VendorRoom*>(&room)) vendor->commit();
}

void print_made(const Options& options, std::uint32_t made, std::uint32_t kept) {
  if (options.json) {
    const nlohmann::ordered_json result{{"schema", "keyferry.vse.v1"},
                                        {"made", made},
                                        {"kept", kept},
                                        {"inventory", options.inventory.string()},
                                        {"lanes", options.lanes.string()}};
    fmt::print("{}\n", result.dump());
    return;
  }
  fmt::print("chips made   {}\nchips kept   {}\ninventory    {}\nlanes        {}\n",
             made,
             kept,
             options.inventory.string(),
             options.lanes.string());
}

void Progress::at(std::uint32_t ready) {
  const auto now = std::chrono::steady_clock::now();
  if (ready != total_ && now - shown_ < std::chrono::seconds{2}) return;
  shown_ = now;
  fmt::print(stderr, "chips: {} of {} ready\n", ready, total_);
}

}  // namespace keyferry::vse
