// keyferry-station: the command line, and nothing else.
#include <CLI/CLI.hpp>
#include <cstdlib>
#include <exception>

#include "station-agent/commands.h"
#include "wrap/base/error.h"
#include "wrap/base/process.h"

namespace {

using namespace keyferry;
namespace station = keyferry::station;

void add_pin(CLI::App* command, station::CommonOptions& common) {
  command->add_option("--pin-fd", common.pin_fd, "descriptor to read the identity's PIN from")
      ->type_name("N")
      ->check(CLI::NonNegativeNumber);
}

void add_common(CLI::App* command, station::CommonOptions& common) {
  command->add_option("--home", common.home, "the station's state folder")
      ->type_name("DIR")
      ->required();
  command->add_flag("--json", common.json, "print one JSON object");
}

int run_command(int argc, char** argv, station::CommonOptions& common) {
  CLI::App app{
      "keyferry-station puts keys into secure elements at a factory line and brings receipts "
      "home.\n"
      "The way: init, enroll --to, enroll --from, load, run, return, unload.",
      "keyferry-station"};
  app.require_subcommand(1);
  app.fallthrough();
  add_common(&app, common);

  station::InitOptions init;
  CLI::App* init_command = app.add_subcommand("init", "make this station's identity");
  init_command->footer(
      "example: keyferry-station init --home /srv/station --name cm-line-1 --site factory-a");
  init_command->add_option("--name", init.name, "name of the station")->required();
  init_command->add_option("--site", init.site, "name of the site")->required();
  init_command
      ->add_option("--environment", init.environment, "development, rehearsal or production")
      ->capture_default_str();
  init_command
      ->add_option("--hsm",
                   init.hsm_uri,
                   "PKCS#11 URI (RFC 7512) of the identity's token; without a module-path a "
                   "SoftHSM store is "
                   "made beside the home")
      ->type_name("URI");
  init_command
      ->add_option(
          "--softhsm2-conf", init.softhsm2_conf, "configuration, when that module is a SoftHSM")
      ->type_name("FILE");
  add_pin(init_command, common);

  station::EnrolOptions enrol;
  CLI::App* enrol_command = app.add_subcommand("enroll", "ask to be enrolled, or take the answer");
  enrol_command->footer(
      "example: keyferry-station enroll --home /srv/station --to /media/token\n"
      "         keyferry-station enroll --home /srv/station --from /media/token");
  auto* to = enrol_command->add_option("--to", enrol.to, "write the request to this token")
                 ->type_name("DIR");
  auto* from = enrol_command->add_option("--from", enrol.from, "read the answer from this token")
                   ->type_name("DIR");
  enrol_command
      ->add_option("--fingerprint",
                   enrol.fingerprint,
                   "the appliance's words, instead of being asked on the terminal")
      ->type_name("WORDS")
      ->needs(from);
  to->excludes(from);
  add_pin(enrol_command, common);

  std::filesystem::path load_from;
  CLI::App* load_command = app.add_subcommand("load", "take batches from a token");
  load_command->footer("example: keyferry-station load --home /srv/station /media/token");
  load_command->add_option("token", load_from, "folder where the token is mounted")
      ->type_name("DIR")
      ->required();
  add_pin(load_command, common);

  station::RunOptions run;
  CLI::App* run_command = app.add_subcommand("run", "inject and verify what sits in the lanes");
  run_command->footer(
      "example: keyferry-station run --home /srv/station --lanes line.toml\n"
      "a lanes file:\n"
      "  [[lane]]\n"
      "  number = 1\n"
      "  family = \"pkcs11\"\n"
      "  person = 7\n"
      "  [[lane.se]]\n"
      "  uri = "
      "\"pkcs11:serial=0011223344556677?module-path=/usr/lib/softhsm/"
      "libsofthsm2.so&pin-source=file:/srv/se1/pin\"\n"
      "  softhsm2_conf = \"/srv/se1/softhsm2.conf\"\n"
      "  device_serial = \"DEV-0001\"\n"
      "of family atecc608:  [[lane.se]] chip = \"i2c:/dev/i2c-1:0x60\" (or unix:/path, "
      "tcp:127.0.0.1:PORT);\n"
      "  firmware and firmware_signature in [[lane]] where a batch asks for a firmware check");
  run_command->add_option("--lanes", run.lanes, "TOML file: which SE sits in which lane")
      ->type_name("FILE")
      ->required();
  run_command
      ->add_option("--deadline", run.deadline_s, "seconds that an SE may take for one answer")
      ->type_name("S")
      ->check(CLI::Range(1U, 3600U))
      ->capture_default_str();

  station::ReturnOptions give_back;
  CLI::App* return_command =
      app.add_subcommand("return", "close a batch: what was not used is returned");
  return_command->footer(
      "example: keyferry-station return --home /srv/station 00112233445566778899aabbccddeeff");
  return_command->add_option("batch", give_back.batch, "batch id, 32 hex digits")
      ->type_name("BATCH")
      ->required();
  return_command
      ->add_option(
          "--confirm", give_back.confirm, "the batch id again, instead of typing it when asked")
      ->type_name("BATCH");
  return_command->add_option("--person", give_back.person, "number of who closes the batch")
      ->capture_default_str();
  return_command->add_flag("--quarantine-doubtful",
                           give_back.quarantine_doubtful,
                           "give up SEs that were cut off between injection and receipt");

  CLI::App* status_command = app.add_subcommand("status", "batches, segments, records, log");
  status_command->footer("example: keyferry-station status --home /srv/station --json");

  station::LabelOptions label;
  CLI::App* label_command =
      app.add_subcommand("label", "the sticker of an SE in quarantine, with QR code");
  label_command->footer(
      "example: keyferry-station label --home /srv/station 0011223344556677 --png label.png");
  label_command->add_option("se", label.se, "the SE's serial")->type_name("SE")->required();
  label_command->add_option("--text", label.text, "file for the text (default: stdout)")
      ->type_name("FILE");
  label_command->add_option("--png", label.png, "file for the picture")->type_name("FILE");

  station::DeclarationOptions declaration;
  CLI::App* declaration_command = app.add_subcommand(
      "declaration", "the product's Certification Declaration (Matter) that came with a batch");
  declaration_command->footer(
      "example: keyferry-station declaration --home /srv/station "
      "00112233445566778899aabbccddeeff --to cd.der");
  declaration_command->add_option("batch", declaration.batch, "batch id, 32 hex digits")
      ->type_name("BATCH")
      ->required();
  declaration_command
      ->add_option("--to", declaration.to, "new file for it: CMS in DER, as firmware carries it")
      ->type_name("FILE");

  std::filesystem::path unload_to;
  CLI::App* unload_command = app.add_subcommand("unload", "write the receipts to a token");
  unload_command->footer("example: keyferry-station unload --home /srv/station --to /media/token");
  unload_command->add_option("--to", unload_to, "folder where the token is mounted")
      ->type_name("DIR")
      ->required();
  std::optional<std::uint64_t> unload_again;
  unload_command
      ->add_option("--from", unload_again, "leaves from this position on again (default: what the appliance lacks)")
      ->type_name("N");
  add_pin(unload_command, common);

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int status = app.exit(error);
    return status == 0 ? EXIT_SUCCESS : exit_status(Code::Usage);
  }
  if (init_command->parsed()) return station::command_init(common, init);
  if (enrol_command->parsed()) return station::command_enrol(common, enrol);
  if (load_command->parsed()) return station::command_load(common, load_from);
  if (run_command->parsed()) return station::command_run(common, run);
  if (return_command->parsed()) return station::command_return(common, give_back);
  if (status_command->parsed()) return station::command_status(common);
  if (label_command->parsed()) return station::command_label(common, label);
  if (declaration_command->parsed()) return station::command_declaration(common, declaration);
  return station::command_unload(common, unload_to, unload_again);
}

}  // namespace

int main(int argc, char** argv) {
  harden_process();
  station::CommonOptions common;
  try {
    return run_command(argc, argv, common);
  } catch (const Error& error) {
    station::print_error(common, error.what(), error.hint(), std::string{code_name(error.code())});
    return exit_status(error.code());
  } catch (const std::exception& error) {
    station::print_error(common, error.what(), "this is a bug: tell its makers", "internal");
    return exit_status(Code::Internal);
  }
}
