// keyferry-vse: virtual secure elements. `pkcs11` makes SoftHSM stores that play SEs and gives each
// its transport key; `atecc608` is a chip on a stream socket, and makes folders of them.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "tests/vse/orders.h"
#include "wrap/base/process.h"

namespace {

using namespace keyferry;
using vse::Options;

constexpr std::uint32_t kMaxStores = 100'000;
constexpr std::uint32_t kMaxRows = 16'000'000;

/// Options of every list that is made.
void add_list_options(CLI::App& command, Options& options, std::uint32_t max_count) {
  command.add_option("--part", options.part, "part number (else SOFTHSM2 or ATECC608B)");
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

void add_row_options(CLI::App& command, Options& options, std::uint32_t max_count) {
  command.add_option("--count", options.count, "how many")
      ->required()
      ->check(CLI::Range(1U, max_count));
  command.add_option("--inventory", options.inventory, "CSV file to write")->required();
  command.add_option("--master", options.master, "NAME of the transport-key master kf-tk/NAME")
      ->required();
  add_list_options(command, options, max_count);
}

/// Where transport keys come from, and where the chips stand on the line. The option --lanes.
CLI::Option* add_room_options(CLI::App& command, Options& options) {
  CLI::Option* const lanes =
      command.add_option("--lanes", options.lanes, "lanes file to write (TOML)");
  command.add_option("--gate-settings",
                     options.gate_settings,
                     "gate.toml beside the appliance's HSM (derived keys)");
  command
      .add_option("--transport",
                  options.transport,
                  "derived: from the master in the appliance's HSM; delivered: random, for the "
                  "vendor (--master names its kf-vendor/NAME) to wrap into transport_data")
      ->capture_default_str()
      ->check(CLI::IsMember({"derived", "delivered"}));
  command.add_option("--vendor-keys",
                     options.vendor_keys,
                     "file of the vendor's: lines SERIAL KEY in hex (delivered)");
  command.add_option(
      "--pin-fd",
      options.pin_fd,
      "descriptor with the PIN of the appliance's HSM (else its pin-source, else a prompt)");
  command
      .add_option(
          "--lane-count", options.lane_count, "lanes that the chips are shared out over, in turn")
      ->capture_default_str()
      ->check(CLI::Range(1U, 256U));
  command.add_flag("--bind-at-line",
                   options.bind_at_line,
                   "device serials stand in the lanes file only, not in the inventory");
  return lanes;
}

void describe_make(CLI::App& command, Options& options) {
  add_row_options(command, options, kMaxStores);
  command.add_option("--dir", options.folder, "folder of the stores; finished ones in it are kept")
      ->required();
  add_room_options(command, options)->required();
  command.add_option("--module",
                     options.module,
                     "PKCS#11 library of the chips (else SoftHSM where Debian puts it)");
  command
      .add_option(
          "--parallel", options.parallel, "stores made at a time (else one for each processor)")
      ->check(CLI::Range(1U, 64U));
  command.footer(
      "example: keyferry-vse pkcs11 make --count 20 --dir se --inventory inventory.csv --lanes "
      "lanes.toml\n"
      "           --master demo --gate-settings hsm/gate.toml");
}

void describe_atecc608(CLI::App& command, Options& options) {
  command.add_option("--tcp", options.port, "port on 127.0.0.1; 0: a free one");
  command.add_option("--unix", options.socket, "path of a Unix socket");
  command.add_option("--config", options.config, "configuration zone in hex, for a new --state");
  command.add_option(
      "--state", options.state, "file with the chip's cells; made when it is not there");
  command.add_option(
      "--folder", options.folder, "serve every chip in this folder, each on its own socket");
  command
      .add_option("--timing",
                  options.timing,
                  "instant, or table: the vendor library's maximum times, and the watchdog")
      ->capture_default_str()
      ->check(CLI::IsMember({"instant", "table"}));
  command.add_flag(
      "--strict-rand", options.strict_rand, "PrivWrite and encrypted Write refuse a fixed nonce");
  command.add_option(
      "--faults", options.faults_file, "script of faults (tests/vse/atecc608/faults.h)");
  command.add_option("--fault", options.faults, "one line of such a script; may be given again");
  command.footer(
      "example: keyferry-vse atecc608 --unix chip.sock --config config.hex --state chip.state\n"
      "             --fault \"cut-after PrivWrite\"\n"
      "A chip's cells can be changed while it is served: laid beside its state as NAME.hand, they are taken before the\n"
      "next command.");
}

void describe_make_atecc608(CLI::App& command, Options& options) {
  command.add_option("--count", options.count, "how many")
      ->required()
      ->check(CLI::Range(1U, kMaxStores));
  command.add_option("--folder", options.folder, "folder of the chips; those in it are kept")
      ->required();
  command.add_option("--config", options.config, "configuration zone in hex")->required();
  command.add_flag("--blank",
                   options.blank,
                   "nothing written, nothing locked; no inventory and no lanes are made");
  add_list_options(command, options, kMaxStores);
  command.add_option("--master", options.master, "NAME of the transport-key master kf-tk/NAME");
  command.add_option("--inventory", options.inventory, "CSV file to write");
  add_room_options(command, options);
  command.add_option("--transport-slot", options.transport_slot, "slot of the transport key")
      ->capture_default_str()
      ->check(CLI::Range(0U, 15U));
  command
      .add_option(
          "--attestation-slot", options.attestation_slot, "slot of an attestation key, if any")
      ->check(CLI::Range(0U, 15U));
  command.add_option("--secure-boot-key",
                     options.secure_boot_key,
                     "P-256 public key in PEM, for the slot that the configuration names");
  command.footer(
      "example: keyferry-vse atecc608 make --count 100 --folder chips --config config.hex\n"
      "             --master demo-608 --gate-settings hsm/gate.toml --attestation-slot 1\n"
      "             --inventory inventory.csv --lanes lanes.toml");
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
  CLI::App* const atecc608 = app.add_subcommand(
      "atecc608", "an ATECC608 behind a socket, or a folder of them (stream transport)");
  describe_atecc608(*atecc608, options);
  CLI::App* const chips_command =
      atecc608->add_subcommand("make", "make chips for a folder: prepared for a batch, or blank");
  describe_make_atecc608(*chips_command, options);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : exit_status(Code::Usage);
  }
  if (options.part.empty()) options.part = atecc608->parsed() ? "ATECC608B" : "SOFTHSM2";
  if (chips_command->parsed()) return vse::make_atecc608(options);
  if (atecc608->parsed()) return vse::serve_atecc608(options);
  if (make_command->parsed()) return vse::make_pkcs11(options);
  if (rows_command->parsed()) return vse::inventory_only(options);
  return vse::make_one_pkcs11(options);
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
