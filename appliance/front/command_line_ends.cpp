// The command line: tokens and devices to their end, CRLs.
#include <fmt/format.h>

#include "appliance/front/internal/command_line.h"

namespace keyferry::appliance {
namespace {

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

}  // namespace

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

}  // namespace keyferry::appliance
