// keyferry-appliance: the one command-line file of the front end. Each sub-command binds its
// options to a function of this folder; what they have in common stands here once.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <functional>

#include "appliance/front/batch_status.h"
#include "appliance/front/machine_commands.h"
#include "appliance/front/ceremony_commands.h"
#include "appliance/front/context.h"
#include "appliance/front/crl_commands.h"
#include "appliance/front/custody.h"
#include "appliance/front/devices.h"
#include "appliance/front/doctor.h"
#include "appliance/front/ends.h"
#include "appliance/front/export.h"
#include "appliance/front/fleet_export.h"
#include "appliance/front/hsm_backup.h"
#include "appliance/front/hsm_entropy.h"
#include "appliance/front/hsm_inventory.h"
#include "appliance/front/hsm_pins.h"
#include "appliance/front/init.h"
#include "appliance/front/key_commands.h"
#include "appliance/front/log_view.h"
#include "appliance/front/officer_commands.h"
#include "appliance/front/operation.h"
#include "appliance/front/outside.h"
#include "appliance/front/plan_commands.h"
#include "appliance/front/family_commands.h"
#include "appliance/front/plan_new.h"
#include "appliance/front/receipts_import.h"
#include "appliance/front/quarantine_view.h"
#include "appliance/front/reconcile.h"
#include "appliance/front/preparations.h"
#include "appliance/front/revocations.h"
#include "appliance/front/se_import.h"
#include "appliance/front/authority_commands.h"
#include "appliance/front/setup_commands.h"
#include "appliance/front/station_enroll.h"
#include "wrap/base/process.h"

namespace {

using namespace keyferry;             // NOLINT(google-build-using-namespace): a main of its own
using namespace keyferry::appliance;  // NOLINT(google-build-using-namespace)

constexpr int kUsage = 2;
constexpr int kBug = 70;
constexpr const char* kCommonFooter =
    "everywhere: --home DIR, --json, --pin-fd N, --officer-key FILE|URI, --officer-passphrase-fd N,\n"
    "  --plan-out FILE (write the plan for officers to approve, run nothing),\n"
    "  --share FILE, --share-fd N, --share-token URI (PIN in shares),\n"
    "  --insecure-allow network,swap,memlock";

/// What the command line said; the chosen command's function runs after all of it was read.
struct Line {
  CommonOptions common;
  bool json = false;
  std::function<int(Output&)> run;

  SystemClock clock;
  SystemRandom random;

  InitOptions init;
  std::string environment = "development";
  std::vector<std::string> hsm_environment;
  std::vector<std::string> what;
  std::string until;
  std::string name, id, reason;
  SourceOptions source;
  MasterOptions master;
  ImportOptions import;
  OrderOptions order;
  CaOptions ca;
  CaRequestOptions ca_request;
  CaChainOptions ca_chain;
  KeyImportOptions key_import;
  VendorKeyOptions vendor_key;
  EnrollOptions enroll;
  PlanNewOptions plan;
  LogShowOptions log;
  RestoreOptions restore;
  OfficerRequestOptions card_request;
  OfficerCardOptions card;
  PolicyChangeOptions policy;
  CeremonyOptions ceremony;
  bool needs_home = true;
  EndOptions end;
  TokenLostOptions lost;
  StationRetireOptions retire;
  CrlOptions crl;
  CrlDueOptions crl_due;
  CrlImportOptions crl_import;
  CaRevokeOptions ca_revoke;
  CustodyOptions custody;
  DeviceOptions device;
  std::uint32_t listed = kQuarantineListed;
  LabelFiles label;
  FleetOptions fleet;
  std::vector<std::uint32_t> records;
  std::filesystem::path file;
  std::vector<std::filesystem::path> files;
  bool der = false;
  std::uint32_t shares_needed = 0;
  std::optional<std::string> batch;
};

/// A command that works in a Context.
void bind(CLI::App* command, Line& line, Access access, std::function<int(Context&)> function) {
  command->callback([&line, access, function = std::move(function)] {
    line.run = [&line, access, function](Output& out) {
      Context context{line.common, access, line.clock, line.random, out};
      return function(context);
    };
  });
}

CLI::App* add_group(CLI::App& app, const std::string& name, const std::string& description) {
  CLI::App* group = app.add_subcommand(name, description);
  group->require_subcommand(1)->fallthrough()->footer("");
  return group;
}

CLI::App* add_command(CLI::App& parent,
                      const std::string& name,
                      const std::string& description,
                      const std::string& example) {
  const std::string shown =
      fmt::format("example:\n  keyferry-appliance {} --home /srv/keyferry", example);
  if (parent.get_footer().empty()) parent.footer(shown);  // a group shows its first command's
  CLI::App* command = parent.add_subcommand(name, description);
  command->fallthrough()->footer(fmt::format("{}\n{}", kCommonFooter, shown));
  return command;
}

void add_common(CLI::App& app, Line& line) {
  app.add_option("--home", line.common.home, "the appliance's folder");
  app.add_flag("--json", line.json, "the result as one JSON object on stdout");
  app.add_option("--pin-fd",
                 line.common.pin_fd,
                 "descriptor that the gate reads the HSM's PIN from (else pin-source of the URI, "
                 "else a prompt)");
  app.add_option("--officer-key",
                 line.common.officer_key,
                 "the officer's key: a file, or pkcs11:... of the officer's own token (default: that of init)");
  app.add_option("--plan-out",
                 line.common.plan_out,
                 "write the plan of what was asked for to this file, and run nothing");
  app.add_option("--officer-passphrase-fd",
                 line.common.officer_passphrase_fd,
                 "descriptor to read its passphrase or PIN from (else a prompt)");
  app.add_option("--share", line.common.shares, "a custodian's share file, read by the gate; repeatable (else a prompt)")
      ->allow_extra_args(false);
  app.add_option("--share-fd", line.common.share_fds, "descriptor that the gate reads a share from; repeatable")
      ->allow_extra_args(false);
  app.add_option("--share-token", line.common.share_tokens, "PKCS#11 URI of a custodian's token with a share; repeatable")
      ->allow_extra_args(false);
  app.add_option("--insecure-allow",
                 line.common.insecure_allow,
                 "network, swap, memlock: go on although they are open (development, rehearsal)")
      ->delimiter(',')
      ->allow_extra_args(false);
}

std::vector<std::pair<std::string, std::string>> variables_of(const Line& line) {
  std::vector<std::pair<std::string, std::string>> variables;
  for (const std::string& pair : line.hsm_environment) {
    const std::size_t sign = pair.find('=');
    if (sign == 0 || sign == std::string::npos) throw Error{Code::Usage, "--hsm-env: NAME=VALUE"};
    variables.emplace_back(pair.substr(0, sign), pair.substr(sign + 1));
  }
  return variables;
}

/// Where the shares of new PINs go; none of them: shown on the terminal and typed back there.
void add_share_targets(CLI::App* command, Line& line) {
  command->add_option("--pin-share-dir", line.common.pin_share_folders, "folder for them: one for all, or one for each custodian")
      ->allow_extra_args(false);
  command->add_option("--pin-share-fd", line.common.pin_share_fds, "descriptor that leads to a printer, one for each custodian")
      ->allow_extra_args(false);
  command->add_option("--pin-share-token", line.common.pin_share_tokens, "PKCS#11 URI of each custodian's own token")
      ->allow_extra_args(false);
}

void add_init(CLI::App& app, Line& line) {
  CLI::App* command =
      add_command(app,
                  "init",
                  "set the appliance up: home, HSM keys, first officer",
                  "init --name demo --officer-name \"A. Smith\" --officer-key /media/officer/key.pem");
  command->add_option("--name", line.init.name, "name of the appliance: a-z 0-9 - _ .")->required();
  command->add_option("--environment", line.environment, "development, rehearsal or production")
      ->capture_default_str();
  command->add_option("--hsm",
                      line.init.hsm_uri,
                      "PKCS#11 URI with module-path (default: SoftHSM with a store in HOME-hsm)");
  command->add_option("--hsm-store",
                      line.init.hsm_store,
                      "folder of the HSM's store, for modules that do not sync it themselves");
  command
      ->add_option(
          "--hsm-env", line.hsm_environment, "NAME=VALUE for the HSM worker alone, repeatable")
      ->allow_extra_args(false);
  command->add_option("--workers",
                      line.init.workers,
                      "processes that make keys, 1 to 64 (default: one for each processor, at most 8)");
  command->add_option("--threads-per-worker",
                      line.init.threads,
                      "threads in each, for HSMs that answer slowly (default: 1)");
  command->add_option("--pin-file",
                      line.init.pin_file,
                      "development: a file that holds the PIN (pin-source of the URI)");
  command->add_option(
      "--officer-name", line.init.officer_name, "with one officer: the name, kept in an erasable table");
  command
      ->add_option("--officer-card",
                   line.init.officer_cards,
                   "a person's card of `officer request`, repeatable: persons 1, 2, ... in this order")
      ->allow_extra_args(false);
  command->add_option(
      "--officers-needed", line.init.officers_needed, "M: how many officers approve a batch (default: 1)");
  command->add_flag("--rehearsal-required", line.init.rehearsal_required, "every ceremony's real run needs the record of its rehearsal");
  command->add_option("--pin-shares",
                      line.common.pin_shares,
                      "M/N: random PINs that nobody sees, in shares of which any M open the HSM");
  add_share_targets(command, line);
  command->add_option("--backup-shares",
                      line.common.backup_shares,
                      "M/N: make a key that backups are wrapped under, split so that any M of N shares open them");
  command->add_option("--backup-share-dir",
                      line.common.backup_share_folders,
                      "folder for its share files: one for all, or one for each custodian")
      ->allow_extra_args(false);
  command->add_option("--so-pin-fd",
                      line.common.so_pin_fd,
                      "descriptor that the gate reads the SO PIN from, to make that key in a token that is there already");
  command->callback([&line] {
    line.run = [&line](Output& out) {
      const auto environment = environment_from_name(line.environment);
      if (!environment)
        throw Error{Code::Usage, "--environment: development, rehearsal or production"};
      line.init.environment = *environment;
      line.init.hsm_environment = variables_of(line);
      return init_appliance(line.common, line.init, line.clock, line.random, out);
    };
  });
}

/// What the commands that import a key have in common.
void add_key_import(CLI::App* command, Line& line) {
  command->add_option("NAME", line.key_import.name)->required();
  command->add_option("--check-value", line.key_import.check_value, "32 hex digits, from the vendor")->required();
  command->add_option("--key-fd",
                      line.common.key_fd,
                      "descriptor that the gate reads the key from: 64 hex digits, one line (else a prompt)");
  command->add_option("--component-check-value", line.common.component_check_values,
                      "32 hex digits of each of two or three parts, each brought by another custodian; their exclusive or is the key")
      ->allow_extra_args(false);
  command->add_option("--component-fd", line.common.component_fds, "descriptor that the gate reads each part from (else prompts)")
      ->allow_extra_args(false);
  command->preparse_callback([&line](std::size_t) { line.common.imports_key = true; });
}

void add_se_order(CLI::App& group, Line& line) {
  CLI::App* order = add_command(group,
                                "order",
                                "order blank ATECC608 chips to be made ready in a secure room",
                                "se order --preparer room-1 --vendor room --profile lot7.toml --count 100");
  order->add_option("--preparer", line.order.preparer, "source of kind preparation")->required();
  order->add_option("--vendor", line.order.vendor, "RSA vendor key that transport keys come under")->required();
  order->add_option("--profile", line.order.profile, "file with the table [atecc608], as of a batch plan")->required();
  order->add_option("--count", line.order.count, "chips at most")->required();
  order->add_option("--part", line.order.part, "part number")->capture_default_str();
  order->add_option("--lot", line.order.lot, "lot number");
  order->add_option("--key-name", line.order.key_name, "which key of the SE")->capture_default_str();
  order->add_option("--secure-boot-key", line.order.secure_boot_key,
                    "P-256 public key in PEM, for the profile's secure_boot_slot");
  bind(order, line, Access::Write, [&line](Context& context) { return se_order(context, line.order); });
}

void add_setup(CLI::App& app, Line& line) {
  CLI::App* add = add_command(*add_group(app, "source", "where inventory may come from"),
                              "add",
                              "enroll a source of inventory",
                              "source add acme");
  add->add_option("NAME", line.source.name)->required();
  add->add_option("--kind",
                  line.source.kind,
                  "officer-approved: officers approve each file's SHA-256; microchip-manifest: each entry is signed "
                  "besides, by the key of --certificate; preparation: receipts of the secure room whose key --public-key is")
      ->capture_default_str();
  add->add_option("--certificate", line.source.certificate, "microchip-manifest: the signer's, PEM or DER; it is pinned");
  add->add_option("--public-key", line.source.public_key, "preparation: 130 hex digits, as keyferry-prepare init shows them");
  bind(add, line, Access::Write, [&line](Context& context) { return source_add(context, line.source); });

  CLI::App* master = add_command(
      *add_group(app, "transport-master", "masters that transport keys are derived from"),
      "create",
      "make a master in the HSM",
      "transport-master create m1");
  master->add_option("NAME", line.master.name)->required();
  master->add_option("--kdf", line.master.kdf, "how keys are derived, for life")->capture_default_str();
  master->add_option("--family", line.master.family, "the family that it derives for, alone")->capture_default_str();
  bind(master, line, Access::Write, [&line](Context& context) {
    return transport_master_create(context, line.master);
  });

  CLI::App* import_master = add_command(*master->get_parent(),
                                        "import",
                                        "take a master in that a vendor holds too",
                                        "transport-master import acme --check-value 0f1e... --key-fd 3 3<key.hex");
  add_key_import(import_master, line);
  import_master->add_option("--kdf", line.key_import.kdf, "kf-kdf-1 or kf-kdf-2, for life")
      ->capture_default_str();
  import_master->add_option("--family", line.key_import.family, "the family that it derives for, alone")
      ->capture_default_str();
  bind(import_master, line, Access::Write, [&line](Context& context) {
    return transport_master_import(context, line.key_import);
  });

  CLI::App* vendor = add_group(app, "vendor-key", "keys that vendors wrap transport keys under");
  CLI::App* import_vendor = add_command(*vendor,
                                        "import",
                                        "take an AES-256 key in that a vendor wraps under",
                                        "vendor-key import acme --check-value 0f1e... --key-fd 3 3<key.hex");
  add_key_import(import_vendor, line);
  bind(import_vendor, line, Access::Write, [&line](Context& context) {
    return vendor_key_import(context, line.key_import);
  });
  CLI::App* create_vendor = add_command(*vendor,
                                        "create",
                                        "make an RSA pair in the HSM and write its public half",
                                        "vendor-key create acme --mechanism rsa-oaep-sha256");
  create_vendor->add_option("NAME", line.vendor_key.name)->required();
  create_vendor->add_option("--mechanism", line.vendor_key.mechanism, "rsa-oaep-sha256 or rsa-oaep-sha1")
      ->capture_default_str();
  create_vendor->add_option("--bits", line.vendor_key.bits, "3072 or 4096")->capture_default_str();
  bind(create_vendor, line, Access::Write, [&line](Context& context) {
    return vendor_key_create(context, line.vendor_key);
  });

  CLI::App& authorities = *add_group(app, "ca", "certificate authorities in the HSM, and outside ones");
  CLI::App* ca = add_command(authorities,
                             "create",
                             "make a CA and its certificate",
                             "ca create dev1 --subject \"CN=Device CA,O=ACME\"");
  ca->add_option("NAME", line.ca.name)->required();
  ca->add_option("--subject", line.ca.subject, "CN=...,O=...")->required();
  ca->add_option("--not-before", line.ca.not_before, "date or RFC 3339 (default: yesterday)");
  ca->add_option(
      "--not-after", line.ca.not_after, "date or RFC 3339 (default: twenty years later)");
  ca->add_option("--template", line.ca.kind, "root, intermediate, matter-paa or matter-pai")->capture_default_str();
  ca->add_option("--issuer", line.ca.issuer, "the CA of this HSM that signs it (intermediate, matter-pai)");
  ca->add_option("--path-length", line.ca.path_length, "CAs that may stand below it (default: 0; matter-paa: 1)");
  ca->add_option("--vid", line.ca.vendor_id, "Matter vendor id, 4 hex digits");
  ca->add_option("--pid", line.ca.product_id, "Matter product id, 4 hex digits");
  bind(ca, line, Access::Write, [&line](Context& context) { return ca_create(context, line.ca); });
  CLI::App* list = add_command(authorities, "list", "every CA, and whether it issues", "ca list");
  bind(list, line, Access::Read, [](Context& context) { return ca_list(context); });
  CLI::App* request = add_command(authorities, "request", "make a CA whose certificate comes from outside, and its PKCS#10 request",
                                  "ca request pai1 --template matter-pai --vid FFF1 --subject \"CN=ACME PAI\" --to /media/usb");
  request->add_option("NAME", line.ca_request.name)->required();
  request->add_option("--subject", line.ca_request.subject, "CN=...,O=...");
  request->add_option("--template", line.ca_request.kind, "intermediate or matter-pai")->capture_default_str();
  request->add_option("--vid", line.ca_request.vendor_id, "Matter vendor id, 4 hex digits");
  request->add_option("--pid", line.ca_request.product_id, "Matter product id, 4 hex digits");
  request->add_option("--to", line.ca_request.to, "folder to write the request to, PEM and DER");
  bind(request, line, Access::Write, [&line](Context& context) { return ca_request(context, line.ca_request); });
  CLI::App* install = add_command(authorities, "install", "take in the certificate that answers a CA's request",
                                  "ca install pai1 --chain /media/usb/pai1-chain.pem");
  install->add_option("NAME", line.ca_chain.name)->required();
  install->add_option("--chain", line.ca_chain.chain, "PEM: its certificate, then each one's issuer, the anchor last")->required();
  bind(install, line, Access::Write, [&line](Context& context) { return ca_install(context, line.ca_chain); });
  CLI::App* outside = add_command(authorities, "import", "enrol an outside CA that will certify keys of this appliance",
                                  "ca import ejbca --chain /media/usb/ejbca-chain.pem");
  outside->add_option("NAME", line.ca_chain.name)->required();
  outside->add_option("--chain", line.ca_chain.chain, "PEM: the issuing CA, then each one's issuer, the anchor last")->required();
  outside->add_option("--template", line.ca_chain.kind, "root, intermediate or matter-pai")->capture_default_str();
  bind(outside, line, Access::Write, [&line](Context& context) { return ca_import(context, line.ca_chain); });

  CLI::App& elements = *add_group(app, "se", "the inventory of secure elements");
  CLI::App* import = add_command(elements,
                                 "import",
                                 "take an inventory file in, all or nothing",
                                 "se import lot7.csv --source acme");
  import
      ->add_option(
          "FILE",
          line.import.file,
          "CSV: family,se_serial,part_number,lot,key_name,device_serial,transport,transport_data"
          "[,attestation_key]; or a manifest of Microchip's, or a secure room's receipts, from a source of that kind")
      ->required();
  import->add_option("--source", line.import.source, "who the file is from")->required();
  import->add_option("--master", line.import.master, "manifest: the master that transport keys are derived from");
  import->add_option("--lot", line.import.lot, "manifest: the lot of its chips (default: none)");
  import->add_option("--attestation-slot",
                     line.import.attestation_slot,
                     "manifest: the slot whose public key is the chip's attestation key");
  bind(import, line, Access::Write, [&line](Context& context) {
    return se_import(context, line.import);
  });

  add_se_order(elements, line);

  CLI::App* enroll = add_command(*add_group(app, "station", "stations that may receive batches"),
                                 "enroll",
                                 "take a station's request from a token, answer on it",
                                 "station enroll /media/usb --fingerprint \"...\"");
  enroll->add_option("TOKEN-DIR", line.enroll.token)->required();
  enroll->add_option(
      "--name", line.enroll.name, "which station, when the token holds several requests");
  enroll->add_option("--fingerprint",
                     line.enroll.fingerprint,
                     "the words that the station shows (else they are asked for)");
  bind(enroll, line, Access::Write, [&line](Context& context) {
    return station_enroll(context, line.enroll);
  });
}

void add_plan_new(CLI::App& group, Line& line) {
  PlanNewOptions& plan = line.plan;
  CLI::App* command =
      add_command(group,
                  "new",
                  "choose SEs and write a batch plan",
                  "plan new --station line1 --ca dev1 --count 200 --out batch.toml");
  command->add_option("--station", plan.station, "id or name")->required();
  command->add_option("--ca", plan.authority, "CA that issues the certificates")->required();
  command->add_option("--count", plan.count, "SEs in the batch")->required();
  command->add_option("--out", plan.out, "the plan file")->required();
  command->add_option("--lot", plan.lot, "only SEs of this lot");
  command->add_option("--source", plan.source, "only SEs of this source");
  command->add_option("--family", plan.family)->capture_default_str();
  command->add_option("--key-name", plan.key_name)->capture_default_str();
  command->add_option("--firmware", plan.firmware, "image whose signature each SE verifies at the line");
  command->add_option("--chain-time", plan.chain_time,
                      "when a chain read back must be valid: now, by the station's clock, or issuing")
      ->capture_default_str();
  command->add_option("--clock-skew", plan.clock_skew_s, "seconds that the station's clock may be wrong (default: 0)");
  command->add_option("--secure-boot-key", plan.secure_boot_key,
                      "with --firmware: PEM of the public key that must verify it");
  command->add_option("--atecc608-profile", plan.atecc608_profile, "family atecc608: a file with the table [atecc608]");
  command->add_option(
      "--target-count", plan.target_count, "devices at which the line stops (default: all)");
  command->add_option("--site", plan.site, "default: the station's");
  command->add_option("--customer", plan.customer);
  command->add_option(
      "--segment-size",
      plan.segment_size,
      "records in a segment, a power of two (default: 256 to 8192 by --count)");
  CLI::Option* subject = command->add_option("--subject", plan.subject, "subject of the certificates")->capture_default_str();
  command->add_option("--template", plan.template_file, "certificate template, TOML (matter-dac, custom, device)")->excludes(subject);
  command->add_option("--certification-declaration", plan.certification_declaration, "Matter: the product's declaration, CMS in DER");
  command->add_option("--not-before", plan.not_before, "of the certificates (default: yesterday)");
  command->add_option("--not-after", plan.not_after, "of the certificates (default: the CA's)");
  command->add_option("--due", plan.due, "when outstanding records are overdue (default: 90 days)");
  command->add_option("--expires", plan.expires, "when the approval ends (default: 30 days)");
  command->add_option("--number", plan.number, "plan number (default: the next one)");
  bind(command, line, Access::Write, [&line](Context& context) {
    return plan_new(context, line.plan);
  });
}

void add_plan(CLI::App& app, Line& line) {
  CLI::App* group = add_group(app, "plan", "what officers approve");
  add_plan_new(*group, line);
  const auto add = [&](const std::string& name,
                       const std::string& description,
                       Access access,
                       int (*function)(Context&, const std::filesystem::path&)) {
    CLI::App* command =
        add_command(*group, name, description, fmt::format("plan {} batch.toml", name));
    command->add_option("FILE", line.file)->required();
    bind(command, line, access, [&line, function](Context& context) {
      return function(context, line.file);
    });
  };
  add("check",
      "everything that can be known before the first key is made",
      Access::Read,
      plan_check);
  add("show", "the plan in sentences, and its digest as words", Access::Read, plan_show);
  add("approve", "check, then sign with the officer's key", Access::Write, plan_approve);
  add("run",
      "carry out an approved plan of any kind; the same again goes on after a cut",
      Access::Write,
      plan_run);
  CLI::App* run = group->get_subcommand("run");
  add_share_targets(run, line);
  run->add_option("--token", line.common.token, "station-enroll: the token that the answer goes to");
  run->add_option("--component-fd", line.common.component_fds, "descriptor for each part of a key to import (else prompts)")
      ->allow_extra_args(false);
  run->add_option("--key-fd", line.common.key_fd, "imports: descriptor that the gate reads the key from (else a prompt)");
}

void add_outside(CLI::App& group, Line& line) {
  CLI::App* requests = add_command(group,
                                   "requests",
                                   "write the certificate requests for an outside CA, with an index",
                                   "batch requests 7f3a --to /media/usb/requests");
  requests->add_option("ID", line.id, "hex, or a beginning of it")->required();
  requests->add_option("--to", line.file, "a folder, on a token say")->required();
  requests->add_flag("--der", line.der, "DER files in place of PEM");
  bind(requests, line, Access::Read, [&line](Context& context) {
    return export_requests(context, line.id, line.file, line.der ? RequestForm::Der : RequestForm::Pem);
  });

  CLI::App* certify = add_command(group,
                                  "certify",
                                  "officers approve an outside CA's certificates; then the batch is sealed with them",
                                  "batch certify 7f3a");
  certify->add_option("ID", line.id, "hex, or a beginning of it")->required();
  bind(certify, line, Access::Write, [&line](Context& context) { return batch_certify(context, line.id); });
}

void add_batch(CLI::App& app, Line& line) {
  CLI::App* group = add_group(app, "batch", "batches of keys");
  CLI::App* status = add_command(*group, "status", "where each batch stands", "batch status");
  status->add_option("ID", line.batch, "hex, or a beginning of it");
  bind(status, line, Access::Read, [&line](Context& context) {
    return batch_status(context, line.batch);
  });

  CLI::App* out = add_command(
      *group, "export", "put a sealed batch on a token", "batch export 7f3a --to /media/usb");
  out->add_option("ID", line.id, "hex, or a beginning of it")->required();
  out->add_option("--to", line.file, "the token's folder")->required();
  bind(out, line, Access::Write, [&line](Context& context) {
    return export_batch(context, line.id, line.file);
  });

  CLI::App* again = add_command(*group,
                                "reexport",
                                "allow one more token for a batch",
                                "batch reexport 7f3a --reason \"token broke\"");
  again->add_option("ID", line.id, "hex, or a beginning of it")->required();
  again->add_option("--reason", line.reason)->required();
  bind(again, line, Access::Write, [&line](Context& context) {
    return reexport_batch(context, line.id, line.reason);
  });

  const auto hold = [&](const std::string& name, const std::string& description, const std::string& reason,
                        int (*function)(Context&, const std::string&, const std::string&)) {
    CLI::App* command = add_command(*group, name, description, fmt::format("batch {} 7f3a --reason \"{}\"", name, reason));
    command->add_option("ID", line.id, "hex, or a beginning of it")->required();
    command->add_option("--reason", line.reason)->required();
    bind(command, line, Access::Write, [&line, function](Context& context) { return function(context, line.id, line.reason); });
  };
  hold("suspend", "one officer stops a batch: nothing is made or goes out", "a stick is missing", batch_suspend);
  hold("resume", "officers let a suspended batch go on", "the stick was found", batch_resume);

  CLI::App* certificates = add_command(*group,
                                       "certificates",
                                       "write a batch's certificates as PEM, or take an outside CA's in",
                                       "batch certificates 7f3a --to certs");
  certificates->add_option("ID", line.id, "hex, or a beginning of it")->required();
  auto* to = certificates->add_option("--to", line.file, "write them: a folder (a file each) or a file");
  certificates
      ->add_option("--from", line.files, "take in what an outside CA gave for its requests: files, or folders of them")
      ->excludes(to);
  certificates->callback([&line] {
    line.run = [&line](Output& output) {
      const bool take = !line.files.empty();
      if (!take && line.file.empty()) throw Error{Code::Usage, "batch certificates: --to or --from is needed"};
      Context context{line.common, take ? Access::Write : Access::Read, line.clock, line.random, output};
      return take ? take_certificates(context, line.id, line.files)
                  : export_certificates(context, line.id, line.file);
    };
  });
  add_outside(*group, line);
}

void add_return(CLI::App& app, Line& line) {
  CLI::App* import = add_command(*add_group(app, "receipts", "what comes home"),
                                 "import",
                                 "take receipts in from a token",
                                 "receipts import /media/usb");
  import->add_option("DIR", line.file, "the token's folder")->required();
  bind(import, line, Access::Write, [&line](Context& context) {
    return import_receipts(context, line.file);
  });

  CLI::App* sums = add_command(
      app, "reconcile", "sums of each batch, what is outstanding, incidents", "reconcile");
  sums->add_option("ID", line.batch, "hex, or a beginning of it");
  bind(sums, line, Access::Read, [&line](Context& context) {
    return reconcile(context, line.batch);
  });
}

void add_officers(CLI::App& app, Line& line) {
  CLI::App* group = add_group(app, "officer", "persons of every role, and their keys");
  CLI::App* request = add_command(*group, "request", "where the key is: make it if it is absent, and the card of its owner",
                                  "officer request --officer-key key.pem --name \"A. Smith\" --out smith.card");
  request->add_option("--name", line.card_request.name)->required();
  request->add_option("--role", line.card_request.role, "officer, custodian, technician, line-lead, auditor, witness")
      ->capture_default_str();
  request->add_option("--environment", line.card_request.environment, "of the appliance that it is for")->capture_default_str();
  request->add_option("--out", line.card_request.out)->required();
  request->callback([&line] {
    line.needs_home = false;
    line.run = [&line](Output& out) { return officer_request(line.common, line.card_request, line.clock, line.random, out); };
  });
  const auto take = [&](const std::string& name, const std::string& description, bool replaces,
                        int (*function)(Context&, const OfficerCardOptions&)) {
    CLI::App* command = add_command(*group, name, description,
                                    replaces ? "officer replace 3 smith.card --reason \"lost\"" : "officer add smith.card");
    if (replaces) command->add_option("NUMBER", line.card.number)->required();
    command->add_option("CARD", line.card.card)->required();
    if (replaces) command->add_option("--reason", line.card.reason)->required();
    command->add_option("--fingerprint", line.card.fingerprint, "the words that its owner saw (else they are asked for)");
    bind(command, line, Access::Write, [&line, function](Context& context) { return function(context, line.card); });
  };
  take("add", "enroll a person of any role by a card", false, officer_add);
  take("replace", "give a person another key, at once", true, officer_replace);
  CLI::App* disable = add_command(*group, "disable", "a person approves nothing any more", "officer disable 3 --reason left");
  disable->add_option("NUMBER", line.card.number)->required();
  disable->add_option("--reason", line.reason)->required();
  bind(disable, line, Access::Write, [&line](Context& context) { return officer_disable(context, line.card.number, line.reason); });
  bind(add_command(*group, "list", "who is enrolled", "officer list"), line, Access::Read,
       [](Context& context) { return officer_list(context); });
  CLI::App* forget = add_command(*group, "forget", "erase a person's name; number and hash stay", "officer forget 3");
  forget->add_option("NUMBER", line.card.number)->required();
  bind(forget, line, Access::Write, [&line](Context& context) { return officer_forget(context, line.card.number); });

  CLI::App* policy = add_group(app, "policy", "which operation needs how many officers");
  bind(add_command(*policy, "show", "operation, state, environment, who, how many", "policy show"), line, Access::Read,
       [](Context& context) { return policy_show(context); });
  CLI::App* change = add_command(*policy, "change", "another policy, as a whole",
                                 "policy change --officers-needed 2 --rule batch-close=3 --reason \"a third officer\"");
  change->add_option("--officers-needed", line.policy.needed, "M: every rule anew from it");
  change->add_option("--rule", line.policy.rules, "OPERATION=N, repeatable; 0: nobody may do it any more")->allow_extra_args(false);
  change->add_option("--rehearsal-required", line.policy.rehearsal_required, "true or false: of a ceremony's real run");
  change->add_option("--reason", line.policy.reason)->required();
  bind(change, line, Access::Write, [&line](Context& context) { return policy_change(context, line.policy); });
}

void add_log(CLI::App& app, Line& line) {
  CLI::App* group = add_group(app, "log", "the appliance's Merkle log");
  CLI::App* show = add_command(*group, "show", "leaves in words", "log show");
  show->add_option("--from", line.log.from, "first leaf")->capture_default_str();
  show->add_option("--count", line.log.count, "at most so many leaves (default: all)");
  show->add_option("--epoch", line.log.epoch, "the log of an HSM that was replaced: 1 is the first one's");
  show->add_option("--proof", line.log.proof, "one leaf, by its index, with its inclusion proof");
  bind(show, line, Access::Read, [&line](Context& context) { return show_log(context, line.log); });
  CLI::App* checkpoint =
      add_command(*group, "checkpoint", "the newest signed checkpoint", "log checkpoint");
  bind(checkpoint, line, Access::Read, [](Context& context) { return show_checkpoint(context); });
}

void add_hsm_backup(CLI::App& group, Line& line) {
  CLI::App* backup = add_command(
      group, "backup", "masters, vendor and CA keys to a file that custodians' shares open", "hsm backup /media/safe/kf-1.backup");
  backup->add_option("FILE", line.file)->required();
  backup->add_option("--reason", line.reason)->default_val("regular backup");
  bind(backup, line, Access::Write, [&line](Context& context) {
    return hsm_backup(context, line.file, line.reason);
  });

  CLI::App* restore = add_command(group,
                                  "restore",
                                  "a backup's keys into an HSM without keys; gate.toml then names that one",
                                  "hsm restore kf-1.backup --share share-1.txt --share share-3.txt");
  restore->add_option("FILE", line.restore.file)->required();
  restore->add_option("--pin-shares", line.common.pin_shares, "M/N: new random PINs in shares, as of init");
  add_share_targets(restore, line);
  restore->add_option("--hsm",
                      line.restore.hsm_uri,
                      "PKCS#11 URI with module-path (default: SoftHSM with a store beside the old one)");
  restore->add_option("--hsm-store", line.restore.hsm_store, "folder of that HSM's store, for modules that do not sync it themselves");
  restore->add_option("--hsm-env", line.hsm_environment, "NAME=VALUE for the HSM worker alone, repeatable")
      ->allow_extra_args(false);
  restore->add_option("--pin-file", line.restore.pin_file, "development: a file that holds the PIN (pin-source of the URI)");
  restore->add_option("--so-pin-fd",
                      line.restore.so_pin_fd,
                      "descriptor that the gate reads the SO PIN from, where the token is there already");
  bind(restore, line, Access::Write, [&line](Context& context) {
    line.restore.hsm_environment = variables_of(line);
    return hsm_restore(context, line.restore);
  });

  CLI::App* adopt = add_command(
      group, "adopt-state", "the restored HSM takes over; the lost one counts as dead", "hsm adopt-state");
  bind(adopt, line, Access::Write, [](Context& context) { return hsm_adopt_state(context); });
}

void add_hsm(CLI::App& app, Line& line) {
  CLI::App* group = add_group(app, "hsm", "the keys in the HSM");
  CLI::App* inventory = add_command(*group, "inventory", "every key against its role, the log and the registry", "hsm inventory");
  bind(inventory, line, Access::Write, [](Context& context) { return hsm_inventory(context); });
  CLI::App* entropy = add_command(*group, "entropy", "health tests of the HSM's generator and of this machine's", "hsm entropy");
  bind(entropy, line, Access::Write, [](Context& context) { return hsm_entropy(context); });
  add_hsm_backup(*group, line);
  CLI::App* pins = add_command(*group, "pin-change", "new random PINs and new shares; the old ones open nothing any more",
                               "hsm pin-change --custodian 2 --custodian 3 --needed 2 --reason \"yearly\" --share u1.txt ...");
  pins->add_option("--custodian", line.common.custodians, "person number; repeatable")->required()->allow_extra_args(false);
  pins->add_option("--needed", line.shares_needed, "shares that open it")->required();
  pins->add_option("--reason", line.reason)->required();
  add_share_targets(pins, line);
  bind(pins, line, Access::Write, [&line](Context& context) {
    return hsm_pin_change(context, line.shares_needed, line.reason);
  });

  CLI::App* lock = add_command(*group, "lock", "the gate that listens logs out and ends, at once", "hsm lock");
  bind(lock, line, Access::Read, [](Context& context) { return hsm_lock(context); });

  CLI::App* look = add_command(
      app, "doctor", "what the module can do, what will be used, whether this machine is fit", "doctor");
  look->callback([&line] {
    line.run = [&line](Output& out) { return doctor(line.common, line.clock, line.random, out); };
  });
}

void add_family(CLI::App& app, Line& line) {
  CLI::App* enable = add_command(*add_group(app, "family", "families of SEs whose records need plaintext in a worker"),
                                 "enable",
                                 "officers allow records for a family",
                                 "family enable atecc608 --reason \"first line with secure elements of this kind\"");
  enable->add_option("FAMILY", line.name)->required();
  enable->add_option("--reason", line.reason)->required();
  bind(enable, line, Access::Write, [&line](Context& context) {
    return family_enable(context, line.name, line.reason);
  });
}

void add_machine(CLI::App& app, Line& line) {
  CLI::App* group = add_group(app, "clock", "what the machine's clock may show");
  bind(add_command(*group, "show", "the clock, the log's last leaf, and whether anything is signed", "clock show"),
       line, Access::Write, [](Context& context) { return clock_show(context); });
  CLI::App* set = add_command(*group, "set", "officers approve that the clock is right as it is now",
                              "clock set --reason \"new battery\"");
  set->add_option("--reason", line.reason)->required();
  bind(set, line, Access::Write, [&line](Context& context) { return clock_set(context, line.reason); });
  CLI::App* allow = add_command(*add_group(app, "insecure", "weaknesses of the machine, for a time"), "allow",
                                "officers allow a weakness until a time",
                                "insecure allow --what network --until 2026-12-01 --reason \"new HSM firmware\"");
  allow->add_option("--what", line.what, "network, swap, memlock, usb")->required()->delimiter(',');
  allow->add_option("--until", line.until, "date or RFC 3339, at most 30 days ahead")->required();
  allow->add_option("--reason", line.reason)->required();
  bind(allow, line, Access::Write, [&line](Context& context) {
    return insecure_allow(context, line.what, line.until, line.reason);
  });
}

void add_ceremony(CLI::App& app, Line& line) {
  CLI::App* group = add_group(app, "ceremony", "guided ceremonies: script, journal, transcript");
  CeremonyOptions& with = line.ceremony;
  const auto add = [&](const char* name, const char* description, const char* example, int (*function)(const CeremonyDesk&)) {
    CLI::App* command = add_command(*group, name, description, fmt::format("ceremony {} {}", name, example));
    command->callback([&line, function] {
      line.run = [&line, function](Output& out) {
        return function(CeremonyDesk{line.common, line.ceremony, line.clock, line.random, out});
      };
    });
    return command;
  };
  const auto add_run = [&](CLI::App* command) {
    command->add_option("FILE", with.script)->required();
    command->add_option("--rehearsed", with.rehearsed, "record of the rehearsal of this very file");
    command->add_flag("--anew", with.anew, "although one of this script was not finished");
    return command;
  };
  CLI::App* init = add_run(add("init", "the built-in initialization for a plan of it", "initialization.toml", ceremony_init));
  CLI::App* run = add_run(add("run", "a script, step by step", "batch.toml", ceremony_run));
  CLI::App* resume = add("resume", "go on where a ceremony was cut off", "", ceremony_resume);
  CLI::App* status = add("status", "where ceremonies stand", "", ceremony_status);
  CLI::App* show = add("show", "the transcript as it is now", "--with-names", ceremony_show);
  CLI::App* sign = add("sign", "sign a transcript", "--person witness-1 --officer-key w.pem", ceremony_sign);
  CLI::App* verify = add("verify", "chain, signatures and leaf of a transcript", "transcript.txt", ceremony_verify);
  CLI::App* print = add("print", "a script for paper", "batch.toml --html --to batch.html", ceremony_print);
  for (CLI::App* command : {init, run, resume}) {
    command->add_option("--answers", with.answers, "nobody attends: a file of answers (never in production)");
  }
  for (CLI::App* command : {init, run, resume, status, show, sign, verify}) {
    command->add_option("--rehearsal", with.rehearsal, "a rehearsal: everything in this folder, in place of --home");
    if (command != run && command != init) command->add_option("--ceremony", with.ceremony, "folder's name, as status shows it");
  }
  for (CLI::App* command : {verify, print}) command->add_option("FILE", with.script)->required();
  for (CLI::App* command : {show, print}) {
    command->add_flag("--html", with.html, "as one HTML page");
    command->add_option("--to", with.to, "a new file (default: stdout)");
  }
  show->add_flag("--with-names", with.with_names, "a copy with people's names, where they are kept");
  sign->add_option("--person", with.person, "id in the script")->required();
  print->preparse_callback([&line](std::size_t) { line.needs_home = false; });
}

CLI::App* add_end(CLI::App& group, const std::string& name, const std::string& description, const std::string& example,
                  EndOptions& end, const std::string& id) {
  CLI::App* command = add_command(group, name, description, example);
  command->add_option("--reason", end.reason)->required();
  if (!id.empty()) command->add_option("--confirm", end.confirm, id + " again, instead of typing it when asked");
  return command;
}

void add_custody(CLI::App& group, Line& line) {
  CustodyOptions& custody = line.custody;
  const auto add = [&](const std::string& name, const std::string& description, const std::string& example,
                       int (*function)(Context&, const CustodyOptions&)) {
    CLI::App* command = add_command(group, name, description, example);
    command->add_option("TOKEN", custody.token, "id, a beginning of it, or label")->required();
    command->add_option("--bag", custody.bag, "number of the tamper-evident bag");
    command->add_option("--receiver-key", custody.receiver_key, "key file of who gives or takes it: signs too");
    command->add_option("--receiver-passphrase-fd", custody.receiver_passphrase_fd,
                        "descriptor to read its passphrase from");
    bind(command, line, Access::Write, [&line, function](Context& context) { return function(context, line.custody); });
    return command;
  };
  CLI::App* out = add("hand-out", "give a token to somebody",
                      "token hand-out t7 --to 12 --direction out --bag A-4711", token_hand_out);
  out->add_option("--to", custody.who, "person number, or a name")->required();
  out->add_option("--direction", custody.direction, "out or home")->required();
  out->add_option("--due", custody.due, "when it is expected back");
  add("return", "a token came back", "token return t7 --from 12", token_return)
      ->add_option("--from", custody.who, "person number, or a name");
  add("inspect", "a token was looked at and is whole", "token inspect t7", token_inspect);
  add("retire", "a token is used no more", "token retire t7", token_retire);
  CLI::App* enrol = add_command(group, "enrol", "give a token its id", "token enrol /media/usb --label t7");
  enrol->add_option("TOKEN-DIR", line.file)->required();
  enrol->add_option("--label", custody.label, "what stands on it")->required();
  bind(enrol, line, Access::Write, [&line](Context& context) { return token_enrol(context, line.file, line.custody); });
  CLI::App* status = add_command(group, "status", "where each token is, overdue ones first", "token status");
  bind(status, line, Access::Read, [](Context& context) { return token_status(context); });
}

void add_quarantine(CLI::App& group, Line& line) {
  const auto add_record = [&line](CLI::App* command) {
    command->add_option("BATCH", line.id, "hex, or a beginning of it")->required();
    command->add_option("RECORD", line.records, "record number")->required()->expected(1);
  };
  CLI::App* list = add_command(group, "list", "what waits in quarantine, and why", "quarantine list");
  list->add_option("--batch", line.batch, "of one batch alone");
  list->add_option("--limit", line.listed, "at most so many, by batch and record (default: 1000)")
      ->check(CLI::Range(1U, kMostQuarantineListed));
  bind(list, line, Access::Read,
       [&line](Context& context) { return quarantine_list(context, line.batch, line.listed); });
  CLI::App* show = add_command(group, "show", "one of them, and what can be done", "quarantine show 7f3a 12");
  add_record(show);
  bind(show, line, Access::Read,
       [&line](Context& context) { return quarantine_show(context, line.id, line.records.front()); });
  CLI::App* label = add_command(group, "label", "its sticker: text, and a picture with QR code",
                                "quarantine label 7f3a 12 --text label.txt --png label.png");
  add_record(label);
  label->add_option("--text", line.label.text, "file for the text (default, without --png: stdout)");
  label->add_option("--png", line.label.png, "file for the picture");
  bind(label, line, Access::Read,
       [&line](Context& context) { return quarantine_label(context, line.id, line.records.front(), line.label); });
}

void add_choice(CLI::App* command, DeviceChoice& choice) {
  command->add_option("--se", choice.se, "the SE's serial, as screens show it");
  command->add_option("--family", choice.family, "with --se, where two families have that serial");
  command->add_option("--device-serial", choice.device_serial, "the device's serial");
  command->add_option("--certificate", choice.certificate, "its certificate: serial in hex, or a PEM or DER file");
  command->add_option("--batch", choice.batch, "batch id, with --record");
  command->add_option("--record", choice.record, "record number");
}

void add_devices(CLI::App& app, Line& line) {
  CLI::App* group = add_group(app, "device", "one device after the line");
  DeviceOptions& with = line.device;
  const auto add = [&](const char* name, const char* description, const std::string& example,
                       int (*function)(Context&, const DeviceOptions&)) {
    CLI::App* command =
        add_end(*group, name, description, fmt::format("device {} {}", name, example), with.end, "the SE's serial");
    add_choice(command, with.choice);
    bind(command, line, Access::Write, [&line, function](Context& context) { return function(context, line.device); });
    return command;
  };
  const std::string reasons =
      "RFC 5280: unspecified, keyCompromise, affiliationChanged, superseded, cessationOfOperation, "
      "privilegeWithdrawn";
  add("revoke", "its certificate goes on the next CRL",
      "--device-serial SN-1 --crl-reason keyCompromise --reason \"stolen\"", device_revoke)
      ->add_option("--crl-reason", with.crl_reason, reasons)
      ->required();
  CLI::App* scrap =
      add("scrap", "an SE in hand is destroyed: never again in a batch",
          "--batch 7f3a --record 12 --by 3 --witness 4 --evidence photo.jpg --reason \"broken\"", device_scrap);
  scrap->add_option("--by", with.by, "person number of who does it")->required();
  scrap->add_option("--witness", with.witness, "person number of who is there")->required();
  scrap->add_option("--evidence", with.evidence, "a file, e.g. a photo: its SHA-256 goes into plan and log");
  CLI::App* rework = add("rework", "the device gets another SE; its history goes on",
                         "--device-serial SN-1 --new-se 00112233 --reason \"failed at the line\"", device_rework);
  rework->add_option("--new-se", with.new_se, "serial of the other SE, which is in the inventory")->required();
  rework->add_option("--new-family", with.new_family, "its family (default: the old one's)");
  rework->add_option("--for-device", with.for_device, "device serial, where the SE failed before it was known");
  CLI::App* rma = add("rma", "a device came back from the field",
                      "--device-serial SN-1 --rma R-17 --reason \"no network\"", device_rma);
  rma->add_option("--rma", with.rma, "the return's number")->required();
  rma->add_option("--crl-reason", with.crl_reason, reasons + " (default: cessationOfOperation)");
  CLI::App* history =
      add_command(*group, "history", "the whole thread of a device", "device history --device-serial SN-1");
  add_choice(history, with.choice);
  bind(history, line, Access::Read, [&line](Context& context) { return device_history(context, line.device.choice); });

  CLI::App* fleet = add_command(*add_group(app, "fleet", "for the inventory of devices in the field"), "export",
                                "registration file of devices that passed, of reconciled batches",
                                "fleet export --batch 7f3a fleet.csv");
  fleet->add_option("FILE", line.fleet.to, "a file, or a folder that gets fleet.csv and fleet.jsonl")->required();
  fleet->add_option("--batch", line.fleet.batch, "of one batch");
  fleet->add_option("--since", line.fleet.since, "receipts taken in since this date");
  fleet->add_flag("--all", line.fleet.all, "of all batches");
  fleet->add_option("--format", line.fleet.format, "csv or jsonl (default: by the file's name)");
  bind(fleet, line, Access::Read, [&line](Context& context) { return fleet_export(context, line.fleet); });
}

void add_ends(CLI::App& app, Line& line) {
  CLI::App* close = add_end(*app.get_subcommand("batch"), "close", "revoke what is outstanding, for good",
                            "batch close 7f3a --reason \"token burnt\"", line.end, "the whole batch id");
  close->add_option("ID", line.id, "hex, or a beginning of it")->required();
  bind(close, line, Access::Write, [&line](Context& context) { return batch_close(context, line.id, line.end); });

  CLI::App* token = add_group(app, "token", "the sticks that cross the gap");
  CLI::App* lost = add_end(*token, "lost", "what a lost token exposed, and what officers decide",
                           "token lost 5c01 --revoke --reason \"fell off the truck\"", line.lost.end, "the batch id");
  lost->add_option("TOKEN", line.lost.token, "hex, or a beginning of it")->required();
  lost->add_option("--batch", line.lost.batch, "default: the one that it carried");
  lost->add_flag("--revoke", line.lost.revoke, "close the batch: certificates revoked, stations told");
  lost->add_flag("--accept", line.lost.accept, "keep the records: each opens in its own SE only");
  lost->add_flag("--homebound", line.lost.homebound, "it was on its way home: nothing is revoked");
  lost->add_option("--list", line.lost.list, "file for the exposed SEs (default: HOME/lost/TOKEN-BATCH.csv)");
  bind(lost, line, Access::Write, [&line](Context& context) { return token_lost(context, line.lost); });
  CLI::App* list =
      add_command(*token, "revocations", "put the revocation list on a token", "token revocations /media/usb");
  list->add_option("TOKEN-DIR", line.file)->required();
  bind(list, line, Access::Write, [&line](Context& context) { return token_revocations(context, line.file); });

  add_custody(*token, line);

  CLI::App* retire =
      add_end(*app.get_subcommand("station"), "retire", "end a station: its outstanding records are revoked",
              "station retire line1 --reason \"burnt\" --follow-up line2 --out rest.toml", line.retire.end,
              "the station's name");
  retire->add_option("STATION", line.retire.station, "id or name")->required();
  retire->add_option("--follow-up", line.retire.follow_up, "station that gets what is left over");
  retire->add_option("--out", line.retire.out, "file for that plan");
  bind(retire, line, Access::Write, [&line](Context& context) { return station_retire(context, line.retire); });

  CLI::App* quarantine = add_group(app, "quarantine", "SEs that failed at the line");
  add_quarantine(*quarantine, line);
  CLI::App* release = add_end(*quarantine, "release",
                              "let an SE have a new record; its certificate is revoked",
                              "quarantine release 7f3a 12 --reason \"contact cleaned\"", line.end, "");
  release->add_option("BATCH", line.id, "hex, or a beginning of it")->required();
  release->add_option("RECORD", line.records, "record number")->required()->expected(1);
  bind(release, line, Access::Write, [&line](Context& context) {
    return quarantine_release(context, line.id, line.records.front(), line.end.reason);
  });
  CLI::App* hand = add_command(*app.get_subcommand("se"), "in-hand", "quarantined or returned SEs that lie here",
                               "se in-hand 7f3a 12 13");
  hand->add_option("BATCH", line.id, "hex, or a beginning of it")->required();
  hand->add_option("RECORD", line.records, "record numbers")->required();
  bind(hand, line, Access::Write, [&line](Context& context) { return se_in_hand(context, line.id, line.records); });

  CLI::App* group = add_group(app, "crl", "certificate revocation lists");
  CLI::App* issue =
      add_command(*group, "issue", "sign the CA's next CRL", "crl issue --ca dev1 --next-update 2027-01-01");
  issue->add_option("--ca", line.crl.authority, "which CA")->required();
  issue->add_option("--next-update", line.crl.next_update, "when the next one is due (default: 30 days)");
  issue->add_flag("--final", line.crl.final_one, "the last one of a retired CA: as long as its certificate");
  bind(issue, line, Access::Write, [&line](Context& context) { return crl_issue(context, line.crl); });
  CLI::App* due = add_command(*group, "due", "certificates that wait for the next CRL, or for an outside CA",
                              "crl due --ca ejbca --list due.csv");
  due->add_option("--ca", line.crl_due.authority, "of one CA alone");
  due->add_option("--list", line.crl_due.list, "with --ca: a CSV file that names them");
  bind(due, line, Access::Read, [&line](Context& context) { return crl_due(context, line.crl_due); });
  CLI::App* import = add_command(*group, "import", "note what an outside CA's own CRL revokes; the rest stays due",
                                 "crl import ejbca.crl --ca ejbca");
  import->add_option("FILE", line.crl_import.file, "DER or PEM")->required();
  import->add_option("--ca", line.crl_import.authority, "which outside CA")->required();
  import->add_option("--list", line.crl_import.list, "a CSV file that names what stays due");
  bind(import, line, Access::Write, [&line](Context& context) { return crl_import(context, line.crl_import); });
  CLI::App* show = add_command(*group, "show", "the newest CRL, and its files again", "crl show --ca dev1");
  show->add_option("--ca", line.crl.authority, "which CA")->required();
  bind(show, line, Access::Read, [&line](Context& context) { return crl_show(context, line.crl.authority); });

  CLI::App* ca = add_end(*app.get_subcommand("ca"), "retire", "the CA issues nothing any more; it still signs CRLs",
                         "ca retire dev1 --reason \"end of product\"", line.end, "the CA's name");
  ca->add_option("NAME", line.name)->required();
  bind(ca, line, Access::Write, [&line](Context& context) { return ca_retire(context, line.name, line.end); });
  CLI::App* revoke_ca = add_end(*app.get_subcommand("ca"), "revoke",
                                "the CA's own certificate, by the CA above it: nothing below is issued any more",
                                "ca revoke line-pai --crl-reason cACompromise --reason \"key copied\"",
                                line.ca_revoke.end, "the CA's name");
  revoke_ca->add_option("NAME", line.ca_revoke.name)->required();
  revoke_ca->add_option("--crl-reason", line.ca_revoke.crl_reason, "as RFC 5280 names it, e.g. cACompromise")
      ->required();
  bind(revoke_ca, line, Access::Write, [&line](Context& context) { return ca_revoke(context, line.ca_revoke); });
  CLI::App* destroy = add_end(*app.get_subcommand("hsm"), "destroy", "destroy a key for good, and look that it is gone",
                              "hsm destroy kf-tk/acme --reason \"end of product\"", line.end, "the label");
  destroy->add_option("KEY", line.name, "kf-tk/NAME, kf-vendor/NAME or kf-ca/NAME")->required();
  bind(destroy, line, Access::Write, [&line](Context& context) { return hsm_destroy(context, line.name, line.end); });
}

int fail(Output& out, const Error& error) {
  fmt::print(stderr, "keyferry-appliance: {}\n", error.what());
  if (!error.hint().empty()) fmt::print(stderr, "hint: {}\n", error.hint());
  if (out.json()) {
    out.result(
        "error",
        Json{{"code", code_name(error.code())}, {"text", error.what()}, {"hint", error.hint()}},
        {});
  }
  return exit_status(error.code());
}

int run(Line& line) {
  Output out{line.json ? OutputForm::Machine : OutputForm::Plain};
  line.common.form = line.json ? OutputForm::Machine : OutputForm::Plain;
  try {
    if (line.ceremony.rehearsal && !line.common.home.empty()) {
      throw Error{Code::Usage, "--rehearsal DIR stands in place of --home: name one of them"};
    }
    if (line.ceremony.rehearsal) line.common.home = *line.ceremony.rehearsal / "appliance";
    if (line.common.home.empty() && line.needs_home) throw Error{Code::Usage, "--home DIR is needed"};
    if (line.needs_home) line.common.home = std::filesystem::absolute(line.common.home).lexically_normal();
    return line.run(out);
  } catch (const PlanWritten& written) {  // it has told what comes next
    return written.status;
  } catch (const Error& error) {
    return fail(out, error);
  } catch (const std::filesystem::filesystem_error& error) {
    return fail(out, Error{Code::Storage, error.what()});
  } catch (const std::exception& error) {
    fmt::print(stderr, "keyferry-appliance: {}\n", error.what());
    return kBug;
  }
}

}  // namespace

int main(int argc, char** argv) {
  harden_process();
  Line line;
  CLI::App app{"keyferry-appliance: the offline appliance: plans, batches, tokens, receipts"};
  app.require_subcommand(1)->footer(
      "example:\n  keyferry-appliance plan check batch.toml --home /srv/keyferry");
  add_common(app, line);
  add_init(app, line);
  add_setup(app, line);
  add_plan(app, line);
  add_batch(app, line);
  add_return(app, line);
  add_officers(app, line);
  add_log(app, line);
  add_hsm(app, line);
  add_machine(app, line);
  add_family(app, line);
  add_ceremony(app, line);
  add_ends(app, line);
  add_devices(app, line);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {  // CLI11's only way to say help or no
    return app.exit(error) == 0 ? 0 : kUsage;
  }
  return run(line);
}
