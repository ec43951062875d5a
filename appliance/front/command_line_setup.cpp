// The command line: setting up an appliance, its CAs, keys, sources and stations.
#include "appliance/front/internal/command_line.h"

namespace keyferry::appliance {

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
namespace {

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

}  // namespace

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

}  // namespace keyferry::appliance
