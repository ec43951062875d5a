// The command line: officers, log, HSM, machine and ceremonies.
#include <fmt/format.h>

#include "appliance/front/internal/command_line.h"

namespace keyferry::appliance {

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

void add_evidence(CLI::App& app, Line& line) {
  CLI::App* group = add_group(app, "evidence", "what an auditor takes away");
  CLI::App* command = add_command(*group, "export", "write an evidence bundle, or bring one up to date",
                                  "evidence export --all /media/usb/evidence");
  EvidenceOptions& evidence = line.evidence;
  command->add_option("DIR", evidence.to, "a new or empty folder, or a bundle of the same scope")->required();
  command->add_flag("--all", evidence.all, "every batch, and every leaf of the log");
  command->add_option("--batch", evidence.batch, "one batch; of all others hashes only");
  command->add_option("--site", evidence.site, "the batches of one site; of all others hashes only");
  command->add_option("--customer", evidence.customer, "the batches of one customer; of all others hashes only");
  command->add_option("--since", evidence.since, "batches made since then (date or RFC 3339); of older ones hashes only");
  bind(command, line, Access::Read, [&line](Context& context) { return evidence_export(context, line.evidence); });
}

void add_audit(CLI::App& app, Line& line) {
  CLI::App* command = add_command(*add_group(app, "audit", "what an auditor asks for"), "challenge",
                                  "make an auditor's own words a leaf of the log", "audit challenge \"blue heron at noon\"");
  command->add_option("WORDS", line.name, "8 to 200 characters that nobody could have guessed before")->required();
  bind(command, line, Access::Write, [&line](Context& context) { return audit_challenge(context, line.name); });
}

namespace {

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

}  // namespace

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

}  // namespace keyferry::appliance
