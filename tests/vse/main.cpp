// keyferry-vse: virtual secure elements. `pkcs11` makes SoftHSM stores that play SEs and gives each
// its transport key.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <chrono>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <thread>

#include "tests/vse/lists.h"
#include "tests/vse/maker.h"
#include "tests/vse/vendor_room.h"
#include "wrap/base/process.h"
#include "wrap/base/text.h"

namespace {

using namespace keyferry;
using vse::InventoryRow;
namespace fs = std::filesystem;

constexpr int kParent = 3;
constexpr std::uint32_t kMaxStores = 100'000;
constexpr std::uint32_t kMaxRows = 16'000'000;

/// Options of the commands; each uses its own part.
struct Options {
  std::uint32_t count = 0;
  std::uint32_t first = 0;
  fs::path inventory;
  std::string master;
  std::string part = "SOFTHSM2";
  std::string lot = "LOT-1";
  std::string key_name = "dac";
  std::string device_serial_prefix = "DEV-";
  bool bind_at_line = false;
  bool json = false;
  // make
  fs::path folder;
  fs::path lanes;
  fs::path gate_settings;
  std::string transport = "derived";
  fs::path vendor_keys;
  fs::path module;
  std::optional<int> pin_fd;
  std::uint32_t lane_count = 1;
  unsigned parallel = 0;
  // make-one
  std::string label;
};

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

InventoryRow row_of(const Options& options, Bytes serial, std::uint32_t number) {
  return {std::move(serial),
          options.part,
          options.lot,
          options.key_name,
          options.bind_at_line ? "" : device_serial(options, number),
          options.master,
          options.transport == "delivered"};
}

fs::path softhsm_module() {
  constexpr std::array kPlaces{"/usr/lib/softhsm/libsofthsm2.so",
                               "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
                               "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so"};
  for (const char* place : kPlaces) {
    if (fs::exists(place)) return place;
  }
  throw Error{Code::NotFound,
              "SoftHSM's library is not where Debian puts it",
              "install softhsm2, or give --module"};
}

SecretBytes appliance_pin(const Options& options, const vse::ApplianceHsm& hsm) {
  if (options.pin_fd) return read_secret_line(*options.pin_fd);
  if (const auto file = p11::pin_file(hsm.uri)) return read_secret_file(*file);
  return prompt_secret("PIN of the appliance's HSM: ");
}

/// A line on stderr every two seconds and at the end.
class Progress {
 public:
  explicit Progress(std::uint32_t total) : total_{total} {}

  void at(std::uint32_t ready) {
    const auto now = std::chrono::steady_clock::now();
    if (ready != total_ && now - shown_ < std::chrono::seconds{2}) return;
    shown_ = now;
    fmt::print(stderr, "chips: {} of {} ready\n", ready, total_);
  }

 private:
  std::uint32_t total_;
  std::chrono::steady_clock::time_point shown_ = std::chrono::steady_clock::now();
};

std::vector<vse::LaneChip> lane_chips(const vse::MakeResult& made,
                                      const Options& options,
                                      const fs::path& module) {
  std::vector<vse::LaneChip> chips;
  for (const vse::MadeChip& chip : made.chips) {
    p11::Uri uri;
    uri.token = chip.facts.label;
    uri.serial = to_string(chip.facts.serial);
    uri.pin_source = "file:" + chip.store.pin().string();
    uri.module_path = module.string();
    chips.push_back(
        {p11::to_string(uri), chip.store.config(), device_serial(options, chip.number)});
  }
  return chips;
}

int make(const Options& options) {
  check_texts(options);
  check(options.lane_count <= options.count, "--lane-count: there are fewer chips than lanes");
  vse::MakeOrder order;
  order.folder = fs::absolute(options.folder).lexically_normal();
  order.module = options.module.empty() ? softhsm_module() : fs::absolute(options.module);
  order.program = sibling_program("keyferry-vse");
  order.part = options.part;
  order.key_name = options.key_name;
  order.first = options.first;
  order.count = options.count;
  order.parallel =
      options.parallel != 0 ? options.parallel : std::max(1U, std::thread::hardware_concurrency());
  const bool delivered = options.transport == "delivered";
  check(delivered != options.vendor_keys.empty(), "--vendor-keys goes with --transport delivered");
  check(delivered != !options.gate_settings.empty(), "--gate-settings goes with --transport derived");
  make_private_directory(order.folder);
  const FileLock lock{order.folder / "lock"};
  SystemRandom random;
  std::unique_ptr<vse::KeyRoom> room;
  if (delivered) {
    room = std::make_unique<vse::VendorRoom>(options.master, options.vendor_keys, random);
  } else {
    const vse::ApplianceHsm hsm = vse::read_gate_settings(options.gate_settings);
    room = std::make_unique<vse::SecureRoom>(hsm, appliance_pin(options, hsm), options.master);
  }
  Progress progress{options.count};
  const vse::MakeResult made =
      vse::make_chips(order, *room, [&](std::uint32_t ready) { progress.at(ready); });
  if (const auto* vendor = dynamic_cast<const vse::VendorRoom*>(room.get())) vendor->commit();

  vse::InventoryWriter inventory{options.inventory};
  for (const vse::MadeChip& chip : made.chips)
    inventory.add(row_of(options, chip.facts.serial, chip.number));
  inventory.commit();
  vse::write_lanes(options.lanes, lane_chips(made, options, order.module), options.lane_count);
  if (options.json) {
    const nlohmann::ordered_json result{{"schema", "keyferry.vse.v1"},
                                        {"made", made.made},
                                        {"kept", made.kept},
                                        {"inventory", options.inventory.string()},
                                        {"lanes", options.lanes.string()}};
    fmt::print("{}\n", result.dump());
  } else {
    fmt::print("chips made   {}\nchips kept   {}\ninventory    {}\nlanes        {}\n",
               made.made,
               made.kept,
               options.inventory.string(),
               options.lanes.string());
  }
  return 0;
}

/// Serials that look random and cannot repeat within a run: a bijection (the mixing steps of
/// SplitMix64) of a counter that starts at a random place.
Bytes made_up_serial(std::uint64_t counter) {
  counter = (counter ^ (counter >> 30)) * 0xbf58476d1ce4e5b9ULL;
  counter = (counter ^ (counter >> 27)) * 0x94d049bb133111ebULL;
  return to_bytes(as_bytes(fmt::format("{:016x}", counter ^ (counter >> 31))));
}

int inventory_only(const Options& options) {
  check_texts(options);
  SystemRandom random;
  const std::uint64_t start = read_u64be(random.bytes(8));
  vse::InventoryWriter inventory{options.inventory};
  for (std::uint32_t i = 0; i < options.count; ++i) {
    inventory.add(row_of(options, made_up_serial(start + i), options.first + i));
  }
  inventory.commit();
  if (options.json) {
    const nlohmann::ordered_json result{{"schema", "keyferry.vse.v1"},
                                        {"rows", options.count},
                                        {"inventory", options.inventory.string()}};
    fmt::print("{}\n", result.dump());
  } else {
    fmt::print("rows         {}\ninventory    {}\n", options.count, options.inventory.string());
  }
  return 0;
}

int make_one(const Options& options) {
  if (!die_with_parent()) return exit_status(Code::Channel);
  check_texts(options);
  SystemRandom random;
  vse::make_chip_for_parent(kParent,
                            options.folder,
                            options.module,
                            {options.label, {}, options.master, options.part, options.key_name, {}},
                            random);
  return 0;
}

void add_row_options(CLI::App& command, Options& options, std::uint32_t max_count) {
  command.add_option("--count", options.count, "how many")
      ->required()
      ->check(CLI::Range(1U, max_count));
  command.add_option("--inventory", options.inventory, "CSV file to write")->required();
  command.add_option("--master", options.master, "NAME of the transport-key master kf-tk/NAME")
      ->required();
  command.add_option("--part", options.part, "part number")->capture_default_str();
  command.add_option("--lot", options.lot, "lot number")->capture_default_str();
  command.add_option("--key-name", options.key_name, "which key of the SE")->capture_default_str();
  command
      .add_option("--device-serial-prefix",
                  options.device_serial_prefix,
                  "device serials are this and a number of five digits; empty: none")
      ->capture_default_str();
  command.add_option("--first", options.first, "number of the first one")
      ->capture_default_str()
      ->check(CLI::Range(0U, max_count));
  command.add_flag("--json", options.json, "one JSON object on stdout");
}

void describe_make(CLI::App& command, Options& options) {
  add_row_options(command, options, kMaxStores);
  command.add_option("--dir", options.folder, "folder of the stores; finished ones in it are kept")
      ->required();
  command.add_option("--lanes", options.lanes, "lanes file to write (TOML)")->required();
  command.add_option(
      "--gate-settings", options.gate_settings, "gate.toml beside the appliance's HSM (derived keys)");
  command
      .add_option("--transport",
                  options.transport,
                  "derived: from the master in the appliance's HSM; delivered: random, for the "
                  "vendor (--master names its kf-vendor/NAME) to wrap into transport_data")
      ->capture_default_str()
      ->check(CLI::IsMember({"derived", "delivered"}));
  command.add_option(
      "--vendor-keys", options.vendor_keys, "file of the vendor's: lines SERIAL KEY in hex (delivered)");
  command.add_option(
      "--pin-fd",
      options.pin_fd,
      "descriptor with the PIN of the appliance's HSM (else its pin-source, else a prompt)");
  command.add_option("--module",
                     options.module,
                     "PKCS#11 library of the chips (else SoftHSM where Debian puts it)");
  command
      .add_option(
          "--lane-count", options.lane_count, "lanes that the chips are shared out over, in turn")
      ->capture_default_str()
      ->check(CLI::Range(1U, 256U));
  command.add_flag("--bind-at-line",
                   options.bind_at_line,
                   "device serials stand in the lanes file only, not in the inventory");
  command
      .add_option(
          "--parallel", options.parallel, "stores made at a time (else one for each processor)")
      ->check(CLI::Range(1U, 64U));
  command.footer(
      "example: keyferry-vse pkcs11 make --count 20 --dir se --inventory inventory.csv --lanes "
      "lanes.toml\n"
      "           --master demo --gate-settings hsm/gate.toml");
}

int run(int argc, char** argv) {
  CLI::App app{
      "keyferry-vse: virtual secure elements for demo and tests; never part of a machine that "
      "holds real keys"};
  app.require_subcommand(1);
  Options options;
  CLI::App* const pkcs11 =
      app.add_subcommand("pkcs11", "SEs that are PKCS#11 tokens: one SoftHSM store each");
  pkcs11->require_subcommand(1);
  CLI::App* const make_command =
      pkcs11->add_subcommand("make",
                             "make stores and give each the transport key that the master in the "
                             "appliance's HSM derives for it");
  describe_make(*make_command, options);
  CLI::App* const rows_command = pkcs11->add_subcommand(
      "inventory-only", "an inventory of SEs that do not exist, for batches that stay at home");
  add_row_options(*rows_command, options, kMaxRows);
  rows_command->footer(
      "example: keyferry-vse pkcs11 inventory-only --count 20000 --inventory rows.csv --master "
      "demo");
  CLI::App* const one_command = pkcs11->add_subcommand("make-one", "started by `make`")->group("");
  one_command->add_option("--dir", options.folder)->required();
  one_command->add_option("--module", options.module)->required();
  one_command->add_option("--label", options.label)->required();
  one_command->add_option("--master", options.master)->required();
  one_command->add_option("--part", options.part)->required();
  one_command->add_option("--key-name", options.key_name)->required();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : exit_status(Code::Usage);
  }
  if (make_command->parsed()) return make(options);
  if (rows_command->parsed()) return inventory_only(options);
  return make_one(options);
}

}  // namespace

int main(int argc, char** argv) {
  harden_process();
  try {
    return run(argc, argv);
  } catch (const Error& error) {
    fmt::print(stderr, "keyferry-vse: {}\n", error.what());
    if (!error.hint().empty()) fmt::print(stderr, "hint: {}\n", error.hint());
    return exit_status(error.code());
  } catch (const std::exception& error) {
    fmt::print(stderr, "keyferry-vse: {}\n", error.what());
    return exit_status(Code::Internal);
  }
}
