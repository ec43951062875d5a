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

std::string already(bool done_before) {
  return done_before ? " is there already" : " added";
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

void need_name(const std::string& name) {
  if (!is_name(name)) {
    throw Error{Code::Usage, fmt::format("\"{}\": 1 to 63 of a-z 0-9 - _ . are allowed", printable(name))};
  }
}

void refuse_logged(Context& context, std::string_view what, const Refusal& refusal, const std::string& subject) {
  context.gate().report_refused(what, refusal, subject);
  throw to_error(refusal);
}

int source_add(Context& context, const SourceOptions& options) {
  need_name(options.name);
  const SourceAddPlan wanted = source_plan(options);
  static_cast<void>(context.gate());  // what a cut run left is settled: the registry is the newest
  const Registry registry = context.ledger().registry();
  const KnownSource* known = registry.source(options.name);
  if (known != nullptr && (known->kind != wanted.kind || known->certificate_sha256 != wanted.certificate_sha256 ||
                           known->public_key != wanted.public_key)) {
    refuse_logged(context,
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
    refuse_logged(context,
           "transport-master-create",
           {"name-taken",
            fmt::format("transport-key master \"{}\" is there with {} for family {}",
                        name,
                        known->kdf,
                        se::family_name(known->family))},
           name);
  }
  if (known != nullptr && known->destroyed) {
    refuse_logged(context,
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

}  // namespace keyferry::appliance
