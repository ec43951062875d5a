// The command line: plans, batches and what comes home.
#include <fmt/format.h>

#include "appliance/front/internal/command_line.h"

namespace keyferry::appliance {
namespace {

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
  CLI::Option* declaration =
      command->add_option("--certification-declaration", plan.certification_declaration, "Matter: the product's declaration, CMS in DER");
  command->add_option("--declaration-signer", plan.declaration_signer,
                      "certificate of who signed it (PEM or DER); without it the signature is not checked")->needs(declaration);
  command->add_option("--not-before", plan.not_before, "of the certificates (default: yesterday)");
  command->add_option("--not-after", plan.not_after, "of the certificates (default: the CA's)");
  command->add_option("--due", plan.due, "when outstanding records are overdue (default: 90 days)");
  command->add_option("--expires", plan.expires, "when the approval ends (default: 30 days)");
  command->add_option("--number", plan.number, "plan number (default: the next one)");
  bind(command, line, Access::Write, [&line](Context& context) {
    return plan_new(context, line.plan);
  });
}

}  // namespace

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
namespace {

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

}  // namespace

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

}  // namespace keyferry::appliance
