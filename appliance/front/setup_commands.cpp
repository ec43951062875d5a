#include "appliance/front/setup_commands.h"

#include <fmt/format.h>

#include "appliance/front/context.h"
#include "appliance/front/dates.h"
#include "appliance/front/operation.h"
#include "keyferry/v1/gate.pb.h"
#include "wrap/base/cut.h"
#include "wrap/base/error.h"
#include "wrap/base/text.h"
#include "wrap/x509/path.h"
#include "wrap/x509/pem.h"

namespace keyferry::appliance {
namespace {

constexpr std::int64_t kDefaultCaDays = 20 * 365;

void need_name(const std::string& name) {
  if (!is_name(name)) {
    throw Error{Code::Usage,
                fmt::format("\"{}\": 1 to 63 of a-z 0-9 - _ . are allowed", printable(name))};
  }
}

/// Refusals of things that are there with another content, reported to the log.
[[noreturn]] void refuse(Context& context,
                         std::string_view what,
                         const Refusal& refusal,
                         const std::string& subject) {
  context.gate().report_refused(what, refusal, subject);
  throw to_error(refusal);
}

std::string already(bool done_before) {
  return done_before ? " is there already" : " added";
}

/// Writes the CA's certificate and tells; `subject`: what a CA that was there before must have.
int tell_ca(Context& context, const std::string& name, const std::optional<std::string>& subject) {
  const bool done_before = subject.has_value();
  const Registry registry = context.ledger().registry();
  const KnownAuthority* authority = registry.authority(name);
  if (authority == nullptr)
    throw Error{Code::Internal, "the registry lacks the CA that was just made"};
  const auto parsed = x509::parse_certificate(authority->certificate);
  if (const auto* refusal = std::get_if<Refusal>(&parsed)) throw to_error(*refusal);
  const auto& facts = std::get<x509::CertificateFacts>(parsed);
  if (subject && facts.subject != *subject) {
    refuse(context,
           "ca-create",
           {"name-taken",
            fmt::format("CA \"{}\" is there with subject {}", name, facts.subject),
            "choose another name"},
           name);
  }
  make_private_directory(context.paths().authorities());
  const std::filesystem::path file = context.paths().authorities() / (name + ".pem");
  write_file_durably(file,
                     as_bytes(x509::to_pem(x509::kPemCertificate, authority->certificate)),
                     Overwrite::Replace);
  KF_CUT("front.ca-create.written");
  Json json{{"name", name},
            {"subject", facts.subject},
            {"not_before", to_rfc3339(facts.not_before)},
            {"not_after", to_rfc3339(facts.not_after)},
            {"sha256", facts.sha256.hex()},
            {"certificate", file.string()},
            {"done_before", done_before}};
  context.out().result(
      "ca",
      json,
      {fmt::format("CA kf-ca/{}{}", name, already(done_before)),
       fmt::format("subject      {}", facts.subject),
       fmt::format(
           "valid        {} to {}", to_rfc3339(facts.not_before), to_rfc3339(facts.not_after)),
       fmt::format("certificate  {}", file.string())});
  return 0;
}

}  // namespace

int source_add(Context& context, const std::string& name, const std::string& kind) {
  need_name(name);
  if (kind != "officer-approved") {
    throw Error{Code::Usage, "--kind: only officer-approved is supported yet"};
  }
  static_cast<void>(context.gate());  // what a cut run left is settled: the registry is the newest
  const Registry registry = context.ledger().registry();
  const KnownSource* known = registry.source(name);
  if (known != nullptr && known->kind != kind) {
    refuse(context,
           "source-add",
           {"name-taken", fmt::format("source \"{}\" is there with kind {}", name, known->kind)},
           name);
  }
  if (known == nullptr) run_operation(context, Operation::SourceAdd, SourceAddPlan{name, kind, {}});
  const bool done_before = known != nullptr;
  context.out().result("source",
                       Json{{"name", name}, {"kind", kind}, {"done_before", done_before}},
                       {fmt::format("source \"{}\"{}", name, already(done_before))});
  return 0;
}

int transport_master_create(Context& context, const std::string& name, const std::string& kdf) {
  need_name(name);
  if (kdf != "kf-kdf-1" && kdf != "kf-kdf-2") throw Error{Code::Usage, "--kdf: kf-kdf-1 or kf-kdf-2"};
  static_cast<void>(context.gate());  // what a cut run left is settled: the registry is the newest
  const Registry registry = context.ledger().registry();
  const KnownMaster* known = registry.master(name);
  if (known != nullptr && known->kdf != kdf) {
    refuse(context,
           "transport-master-create",
           {"name-taken",
            fmt::format("transport-key master \"{}\" is there with {}", name, known->kdf)},
           name);
  }
  if (known != nullptr && known->destroyed) {
    refuse(context,
           "transport-master-create",
           {"name-taken", fmt::format("transport-key master \"{}\" was destroyed", name), "choose another name"},
           name);
  }
  const bool done_before = known != nullptr;
  if (!done_before) {
    run_operation(context, Operation::TransportMasterCreate, TransportMasterPlan{name, kdf});
  }
  context.out().result(
      "transport-master",
      Json{{"name", name}, {"kdf", kdf}, {"done_before", done_before}},
      {fmt::format("transport-key master kf-tk/{} ({}){}", name, kdf, already(done_before))});
  return 0;
}

int ca_create(Context& context, const CaOptions& options) {
  need_name(options.name);
  const UtcMillis now = context.clock().now();
  const UtcMillis yesterday{(now.value / kDayMs - 1) * kDayMs};
  const UtcMillis not_before = read_time_or("--not-before", options.not_before, yesterday);
  const UtcMillis not_after = read_time_or(
      "--not-after", options.not_after, UtcMillis{not_before.value + kDefaultCaDays * kDayMs});
  static_cast<void>(context.gate());  // what a cut run left is settled: the registry is the newest
  const Registry before = context.ledger().registry();
  const KnownAuthority* known = before.authority(options.name);
  if (known != nullptr && (known->retired || known->destroyed)) {
    refuse(context,
           "ca-create",
           {"name-taken", fmt::format("CA \"{}\" is retired", options.name), "choose another name"},
           options.name);
  }
  const bool done_before = known != nullptr;
  if (!done_before) {
    run_operation(context,
                  Operation::CaCreate,
                  CaCreatePlan{options.name, options.subject, not_before, not_after});
  }
  return tell_ca(
      context, options.name, done_before ? std::optional{options.subject} : std::nullopt);
}

int run_ca_create(Context& context, const Plan& plan, const std::vector<Bytes>& approvals) {
  static_cast<void>(run_at_gate(context, plan, approvals));
  return tell_ca(context, std::get<CaCreatePlan>(plan.detail).name, std::nullopt);
}

}  // namespace keyferry::appliance
