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
#include "wrap/x509/bundle.h"
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

/// A certificate file, PEM or DER.
x509::CertificateFacts read_signer(const std::filesystem::path& file) {
  const auto octets = read_file_if_exists(file, 2 * x509::kMaxCertificateBytes);
  if (!octets) throw Error{Code::NotFound, fmt::format("there is no file {}", file.string())};
  const auto read = x509::read_certificates(*octets);
  if (const auto* refusal = std::get_if<Refusal>(&read)) throw to_error(*refusal);
  const auto& certificates = std::get<std::vector<Bytes>>(read);
  if (certificates.size() != 1)
    throw Error{Code::Refused, fmt::format("{} holds {} certificates, not one", file.string(), certificates.size())};
  auto parsed = x509::parse_certificate(certificates.front());
  if (const auto* refusal = std::get_if<Refusal>(&parsed)) throw to_error(*refusal);
  return std::get<x509::CertificateFacts>(std::move(parsed));
}

SourceAddPlan source_plan(const SourceOptions& options) {
  const bool manifest = options.kind == "microchip-manifest";
  const bool preparation = options.kind == "preparation";
  if (!manifest && !preparation && options.kind != "officer-approved") {
    throw Error{Code::Usage, "--kind: officer-approved, microchip-manifest or preparation"};
  }
  if (preparation != options.public_key.has_value()) {
    throw Error{Code::Usage, "--public-key is needed for kind preparation, and for no other"};
  }
  if (manifest != options.certificate.has_value()) {
    throw Error{Code::Usage, "--certificate is needed for kind microchip-manifest, and for no other"};
  }
  SourceAddPlan plan{options.name, options.kind, {}};
  if (preparation) {
    const auto point = from_hex(*options.public_key);
    if (!point || !crypto::PublicKey::from_point(*point))
      throw Error{Code::Usage, "--public-key is no P-256 point: 130 hex digits, as keyferry-prepare init shows them"};
    plan.public_key = *point;
  }
  if (!manifest) return plan;
  const x509::CertificateFacts signer = read_signer(*options.certificate);
  plan.public_key = to_bytes(signer.key.point());
  plan.certificate_sha256 = signer.sha256;
  return plan;
}

}  // namespace

int source_add(Context& context, const SourceOptions& options) {
  need_name(options.name);
  const SourceAddPlan wanted = source_plan(options);
  static_cast<void>(context.gate());  // what a cut run left is settled: the registry is the newest
  const Registry registry = context.ledger().registry();
  const KnownSource* known = registry.source(options.name);
  if (known != nullptr && (known->kind != wanted.kind || known->certificate_sha256 != wanted.certificate_sha256 ||
                           known->public_key != wanted.public_key)) {
    refuse(context,
           "source-add",
           {"name-taken",
            fmt::format("source \"{}\" is there with kind {}{}",
                        options.name,
                        known->kind,
                        known->kind == wanted.kind ? " and another key" : "")},
           options.name);
  }
  if (known == nullptr) run_operation(context, Operation::SourceAdd, wanted);
  const bool done_before = known != nullptr;
  Json json{{"name", wanted.name}, {"kind", wanted.kind}, {"done_before", done_before}};
  std::vector<std::string> lines{fmt::format("source \"{}\"{}", wanted.name, already(done_before))};
  if (wanted.certificate_sha256) {
    json["certificate_sha256"] = wanted.certificate_sha256->hex();
    lines.push_back(fmt::format("its entries are signed by the certificate with SHA-256 {}", wanted.certificate_sha256->hex()));
  }
  context.out().result("source", json, lines);
  return 0;
}

se::Family read_master_family(const std::string& text) {
  const auto family = se::family_from_name(text);
  if (!family) throw Error{Code::Usage, fmt::format("--family: \"{}\" is unknown", printable(text))};
  if (const auto refusal = se::unsupported(*family)) throw to_error(*refusal);
  return *family;
}

int transport_master_create(Context& context, const MasterOptions& options) {
  const auto& [name, kdf, family_text] = options;
  need_name(name);
  if (kdf != "kf-kdf-1" && kdf != "kf-kdf-2") throw Error{Code::Usage, "--kdf: kf-kdf-1 or kf-kdf-2"};
  const se::Family family = read_master_family(family_text);
  static_cast<void>(context.gate());  // what a cut run left is settled: the registry is the newest
  const Registry registry = context.ledger().registry();
  const KnownMaster* known = registry.master(name);
  if (known != nullptr && (known->kdf != kdf || known->family != family)) {
    refuse(context,
           "transport-master-create",
           {"name-taken",
            fmt::format("transport-key master \"{}\" is there with {} for family {}",
                        name,
                        known->kdf,
                        se::family_name(known->family))},
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
    run_operation(context, Operation::TransportMasterCreate, TransportMasterPlan{name, kdf, family});
  }
  context.out().result(
      "transport-master",
      Json{{"name", name}, {"kdf", kdf}, {"family", family_text}, {"done_before", done_before}},
      {fmt::format("transport-key master kf-tk/{} ({}, family {}){}", name, kdf, family_text, already(done_before))});
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
