// keyferry-prepare: the command line, and nothing else.
#include <CLI/CLI.hpp>
#include <cstdlib>
#include <exception>

#include "station-agent/prepare/commands.h"
#include "wrap/base/error.h"
#include "wrap/base/process.h"

namespace {

using namespace keyferry;

int run_command(int argc, char** argv, prepare::CommonOptions& common) {
  CLI::App app{
      "keyferry-prepare makes blank secure elements ready for batches, in a secure room.\n"
      "The way: init, accept an order of the appliance, atecc608, receipts.",
      "keyferry-prepare"};
  app.require_subcommand(1);
  app.fallthrough();
  app.add_option("--home", common.home, "the preparer's state folder")
      ->type_name("DIR")
      ->required();
  app.add_flag("--json", common.json, "print one JSON object");
  app.add_option("--pin-fd", common.pin_fd, "descriptor to read the identity's PIN from")
      ->type_name("N")
      ->check(CLI::NonNegativeNumber);

  prepare::InitOptions init;
  CLI::App* init_command = app.add_subcommand("init", "make this preparer's identity");
  init_command->footer("example: keyferry-prepare init --home /srv/preparer --name room-1");
  init_command->add_option("--name", init.name, "name of the preparer")->required();
  init_command
      ->add_option("--environment", init.environment, "development, rehearsal or production")
      ->capture_default_str();
  init_command
      ->add_option("--hsm",
                   init.hsm_uri,
                   "PKCS#11 URI (RFC 7512) of the identity's token; without a module-path a "
                   "SoftHSM store is made beside the home")
      ->type_name("URI");
  init_command
      ->add_option(
          "--softhsm2-conf", init.softhsm2_conf, "configuration, when that module is a SoftHSM")
      ->type_name("FILE");

  prepare::AcceptOptions accept;
  CLI::App* accept_command = app.add_subcommand("accept", "take an order of the appliance");
  accept_command->footer("example: keyferry-prepare accept --home /srv/preparer lot7.order");
  accept_command->add_option("order", accept.order, "the order's file")
      ->type_name("FILE")
      ->required();
  accept_command
      ->add_option("--fingerprint",
                   accept.fingerprint,
                   "the appliance's words, instead of being asked on the terminal (first order)")
      ->type_name("WORDS");

  prepare::ChipOptions chips;
  CLI::App* chips_command = app.add_subcommand(
      "atecc608", "prepare chips: configuration, transport key, attestation key, locks");
  chips_command->footer(
      "example: keyferry-prepare atecc608 --home /srv/preparer --chip i2c:/dev/i2c-1:0x60\n"
      "what cannot be taken back is done here: the chip's zones are locked. Cut off, give the same "
      "command again.");
  chips_command->add_option("--order", chips.order, "first hex digits of the order's plan digest")
      ->type_name("DIGEST");
  chips_command
      ->add_option("--chip", chips.chips, "i2c:/dev/i2c-N:0xADDR, unix:/path or tcp:127.0.0.1:PORT")
      ->type_name("ADDRESS");
  chips_command->add_option("--chips", chips.chips_file, "file with one address a line")
      ->type_name("FILE");

  prepare::ReceiptsOptions receipts;
  CLI::App* receipts_command =
      app.add_subcommand("receipts", "write the receipts of prepared chips, for the appliance");
  receipts_command->footer(
      "example: keyferry-prepare receipts --home /srv/preparer --out lot7.prep");
  receipts_command->add_option("--order", receipts.order, "first hex digits of the plan digest")
      ->type_name("DIGEST");
  receipts_command->add_option("--out", receipts.out, "file to write")
      ->type_name("FILE")
      ->required();

  CLI::App* status_command = app.add_subcommand("status", "orders, and how far their chips are");
  status_command->footer("example: keyferry-prepare status --home /srv/preparer");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? EXIT_SUCCESS : exit_status(Code::Usage);
  }
  if (init_command->parsed()) return prepare::command_init(common, init);
  if (accept_command->parsed()) return prepare::command_accept(common, accept);
  if (chips_command->parsed()) return prepare::command_atecc608(common, chips);
  if (receipts_command->parsed()) return prepare::command_receipts(common, receipts);
  return prepare::command_status(common);
}

}  // namespace

int main(int argc, char** argv) {
  harden_process();
  prepare::CommonOptions common;
  try {
    return run_command(argc, argv, common);
  } catch (const Error& error) {
    prepare::print_error(common, error.what(), error.hint(), std::string{code_name(error.code())});
    return exit_status(error.code());
  } catch (const std::exception& error) {
    prepare::print_error(common, error.what(), "this is a bug: tell its makers", "internal");
    return exit_status(Code::Internal);
  }
}
