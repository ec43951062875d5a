#include "appliance/front/authority_commands.h"

#include <fmt/format.h>

#include <algorithm>

#include "appliance/front/context.h"
#include "appliance/front/dates.h"
#include "appliance/front/operation.h"
#include "appliance/front/setup_commands.h"
#include "appliance/plan/ca_chain.h"
#include "keyferry/v1/gate.pb.h"
#include "wrap/base/cut.h"
#include "wrap/base/error.h"
#include "wrap/base/text.h"
#include "wrap/x509/bundle.h"
#include "wrap/x509/pem.h"
#include "wrap/x509/request.h"

namespace keyferry::appliance {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kDefaultCaDays = 20 * 365;

x509::CertificateFacts facts_of(ByteView der) {
  auto parsed = x509::parse_certificate(der);
  if (const auto* refusal = std::get_if<Refusal>(&parsed)) throw to_error(*refusal);
  return std::get<x509::CertificateFacts>(std::move(parsed));
}

x509::CaKind read_kind(const std::string& text) {
  const auto kind = x509::ca_kind_from_name(text);
  if (!kind) throw Error{Code::Usage, "--template: root, intermediate, matter-paa or matter-pai"};
  return *kind;
}

std::optional<std::uint16_t> read_matter_id(const char* option, const std::string& text) {
  if (text.empty()) return std::nullopt;
  const auto id = x509::read_matter_hex(text);
  if (!id) throw Error{Code::Usage, fmt::format("{}: 4 upper-case hex digits, such as FFF1", option)};
  return id;
}

x509::MatterIds read_matter_ids(const std::string& vendor, const std::string& product) {
  x509::MatterIds ids;
  ids.vendor_id = read_matter_id("--vid", vendor);
  ids.product_id = read_matter_id("--pid", product);
  return ids;
}

/// The registry as it is when what a cut run left is settled.
Registry settled_registry(Context& context) {
  static_cast<void>(context.gate());
  return context.ledger().registry();
}

KnownAuthority authority_of(Context& context, const std::string& name) {
  const Registry registry = context.ledger().registry();
  const KnownAuthority* authority = registry.authority(name);
  if (authority == nullptr) throw Error{Code::Internal, "the registry lacks the CA that was just made"};
  return *authority;
}

std::string chain_pem(const std::vector<Bytes>& chain) {
  std::string pem;
  for (const Bytes& der : chain) pem += x509::to_pem(x509::kPemCertificate, der);
  return pem;
}

std::string said(const KnownAuthority& authority, bool done_before) {
  return fmt::format("{} {}{}{}", authority.outside ? "outside CA" : "CA", authority.outside ? "" : "kf-ca/",
                     authority.name, done_before ? " is there already" : " added");
}

/// Writes the CA's certificate and chain, and tells.
int tell_ca(Context& context, const std::string& name, bool done_before) {
  const KnownAuthority authority = authority_of(context, name);
  const x509::CertificateFacts facts = facts_of(authority.certificate);
  make_private_directory(context.paths().authorities());
  const fs::path file = context.paths().authorities() / (name + ".pem");
  write_file_durably(file, as_bytes(x509::to_pem(x509::kPemCertificate, authority.certificate)), Overwrite::Replace);
  KF_CUT("front.ca-create.written");
  const fs::path chain = context.paths().authorities() / (name + "-chain.pem");
  write_file_durably(chain, as_bytes(chain_pem(authority.chain())), Overwrite::Replace);
  Json json{{"name", name},
            {"subject", facts.subject},
            {"template", x509::ca_kind_name(authority.kind)},
            {"not_before", to_rfc3339(facts.not_before)},
            {"not_after", to_rfc3339(facts.not_after)},
            {"sha256", facts.sha256.hex()},
            {"certificate", file.string()},
            {"chain", chain.string()},
            {"chain_length", authority.issuers.size() + 1},
            {"outside", authority.outside},
            {"done_before", done_before}};
  std::vector<std::string> lines{
      said(authority, done_before), fmt::format("subject      {}", facts.subject),
      fmt::format("valid        {} to {}", to_rfc3339(facts.not_before), to_rfc3339(facts.not_after)),
      fmt::format("certificate  {}", file.string())};
  for (const Bytes& issuer : authority.issuers) lines.push_back("issued by    " + facts_of(issuer).subject);
  context.out().result("ca", json, lines);
  return 0;
}

void write_request(Context& context, const fs::path& folder, const KnownAuthority& authority) {
  if (folder == context.paths().authorities()) make_private_directory(folder);
  write_file_durably(folder / (authority.name + ".csr.der"), authority.request, Overwrite::Replace);
  write_file_durably(folder / (authority.name + ".csr.pem"),
                     as_bytes(x509::to_pem(x509::kPemRequest, authority.request)), Overwrite::Replace);
}

int tell_request(Context& context, const std::string& name, const std::optional<fs::path>& to, bool done_before) {
  const KnownAuthority authority = authority_of(context, name);
  write_request(context, context.paths().authorities(), authority);
  KF_CUT("front.ca-request.written");
  if (to) write_request(context, *to, authority);
  const fs::path file = to.value_or(context.paths().authorities()) / (name + ".csr.pem");
  context.out().result(
      "ca-request",
      Json{{"name", name},
           {"template", x509::ca_kind_name(authority.kind)},
           {"request", file.string()},
           {"pending", authority.pending},
           {"done_before", done_before}},
      {fmt::format("CA kf-ca/{}: {}", name,
                   authority.pending ? "its request is out, it issues nothing yet" : "its certificate is in already"),
       fmt::format("request      {} (and .csr.der)", file.string()),
       fmt::format("when the certificate is in: keyferry-appliance ca install {} --chain FILE", name)});
  return 0;
}

std::vector<Bytes> read_chain(const fs::path& file) {
  const auto octets = read_file_if_exists(file, 2 * kMaxCaChain * x509::kMaxCertificateBytes);
  if (!octets) throw Error{Code::NotFound, fmt::format("there is no file {}", file.string())};
  auto read = x509::read_certificates(*octets);
  if (const auto* refusal = std::get_if<Refusal>(&read)) throw to_error(*refusal);
  return std::get<std::vector<Bytes>>(std::move(read));
}

/// Of a CA that is there already: it must be what is asked for.
void need_same(Context& context, const char* operation, const KnownAuthority& known, bool same,
               const std::string& is_there) {
  if (known.retired || known.destroyed) {
    refuse_logged(context, operation,
                  {"name-taken", fmt::format("CA \"{}\" is retired", known.name), "choose another name"}, known.name);
  }
  if (same) return;
  refuse_logged(context, operation,
                {"name-taken", fmt::format("CA \"{}\" is there {}", known.name, is_there), "choose another name"},
                known.name);
}

void default_times(const CaOptions& options, const Registry& registry, UtcMillis now, CaCreatePlan& plan) {
  UtcMillis not_before{(now.value / kDayMs - 1) * kDayMs};
  std::optional<UtcMillis> last;
  if (const KnownAuthority* issuer = registry.authority(options.issuer);
      issuer != nullptr && !issuer->certificate.empty()) {
    const x509::CertificateFacts above = facts_of(issuer->certificate);
    not_before = std::max(not_before, above.not_before);
    last = above.not_after;
  }
  plan.not_before = read_time_or("--not-before", options.not_before, not_before);
  const UtcMillis later{plan.not_before.value + kDefaultCaDays * kDayMs};
  plan.not_after = read_time_or("--not-after", options.not_after, last ? std::min(later, *last) : later);
}

}  // namespace

int ca_create(Context& context, const CaOptions& options) {
  need_name(options.name);
  const Registry before = settled_registry(context);
  CaCreatePlan plan{.name = options.name, .subject = options.subject, .not_before = {}, .not_after = {}};
  plan.kind = read_kind(options.kind);
  plan.issuer = options.issuer;
  plan.path_length = options.path_length.value_or(plan.kind == x509::CaKind::MatterPaa ? 1 : 0);
  plan.matter = read_matter_ids(options.vendor_id, options.product_id);
  default_times(options, before, context.clock().now(), plan);
  const KnownAuthority* known = before.authority(options.name);
  if (known != nullptr) {
    const bool made_here = !known->outside && known->request.empty();
    const auto facts = made_here ? std::optional{facts_of(known->certificate)} : std::nullopt;
    const bool same = facts && known->kind == plan.kind && known->matter == plan.matter &&
                      x509::validate(plan.spec()) == std::nullopt && facts->subject_name == x509::ca_name(plan.spec());
    need_same(context, "ca-create", *known, same,
              facts ? fmt::format("with subject {}, template {}", facts->subject, x509::ca_kind_name(known->kind))
                    : std::string{"and was not made by ca create"});
  }
  if (known == nullptr) run_operation(context, Operation::CaCreate, plan);
  return tell_ca(context, options.name, known != nullptr);
}

int ca_request(Context& context, const CaRequestOptions& options) {
  need_name(options.name);
  const Registry before = settled_registry(context);
  if (options.to && !fs::is_directory(*options.to))
    throw Error{Code::NotFound, fmt::format("{} is no folder", options.to->string()),
                "--to: mount the token, or make the folder"};
  const KnownAuthority* known = before.authority(options.name);
  if (known != nullptr) {
    const bool same = !known->request.empty() && (options.subject.empty() || options.subject == known->subject);
    need_same(context, "ca-request", *known, same,
              known->request.empty() ? "and was not made by a request"
                                     : fmt::format("with a request for {}", known->subject));
    return tell_request(context, options.name, options.to, true);
  }
  if (options.subject.empty()) throw Error{Code::Usage, "--subject is missing"};
  CaRequestPlan plan{.name = options.name, .subject = options.subject};
  plan.kind = read_kind(options.kind);
  plan.matter = read_matter_ids(options.vendor_id, options.product_id);
  run_operation(context, Operation::CaRequest, plan);
  return tell_request(context, options.name, options.to, false);
}

int ca_install(Context& context, const CaChainOptions& options) {
  need_name(options.name);
  const Registry before = settled_registry(context);
  const KnownAuthority* known = before.authority(options.name);
  if (known == nullptr) {
    throw Error{Code::NotFound, fmt::format("there is no CA \"{}\"", options.name),
                "make its request first: keyferry-appliance ca request NAME"};
  }
  const std::vector<Bytes> chain = read_chain(options.chain);
  if (!known->pending) {
    need_same(context, "ca-install", *known, known->chain() == chain, "with another certificate");
    return tell_ca(context, options.name, true);
  }
  run_operation(context, Operation::CaInstall, CaInstallPlan{options.name, chain});
  return tell_ca(context, options.name, false);
}

int ca_import(Context& context, const CaChainOptions& options) {
  need_name(options.name);
  const Registry before = settled_registry(context);
  const std::vector<Bytes> chain = read_chain(options.chain);
  const KnownAuthority* known = before.authority(options.name);
  if (known != nullptr) {
    need_same(context, "ca-import", *known, known->outside && known->chain() == chain, "with another certificate");
    return tell_ca(context, options.name, true);
  }
  CaImportPlan plan{options.name, read_kind(options.kind), chain};
  if (plan.kind == x509::CaKind::Intermediate && chain.size() == 1) plan.kind = x509::CaKind::Root;
  run_operation(context, Operation::CaImport, plan);
  return tell_ca(context, options.name, false);
}

int ca_list(Context& context) {
  Json all = Json::array();
  std::vector<std::string> lines;
  const Registry registry = context.ledger().registry();
  for (const KnownAuthority& one : registry.authorities) {
    const char* state = one.revoked     ? "revoked"
                        : one.destroyed ? "destroyed"
                        : one.retired ? "retired"
                        : one.pending ? "pending"
                        : one.outside ? "outside"
                                      : "issues";
    const auto facts = one.pending ? std::nullopt : std::optional{facts_of(one.certificate)};
    const std::string subject = facts ? facts->subject : one.subject;
    const std::string until = facts ? to_rfc3339(facts->not_after) : "";
    all.push_back({{"name", one.name},
                   {"template", x509::ca_kind_name(one.kind)},
                   {"state", state},
                   {"subject", subject},
                   {"not_after", until},
                   {"chain_length", facts ? one.issuers.size() + 1 : 0}});
    lines.push_back(
        fmt::format("{:<16} {:<12} {:<9} {:<20} {}", one.name, x509::ca_kind_name(one.kind), state, until, subject));
  }
  if (lines.empty()) lines.emplace_back("there is no CA yet: keyferry-appliance ca create NAME");
  context.out().result("ca-list", Json{{"authorities", all}}, lines);
  return 0;
}

int run_ca_create(Context& context, const Plan& plan, const std::vector<Bytes>& approvals) {
  static_cast<void>(run_at_gate(context, plan, approvals));
  return tell_ca(context, std::get<CaCreatePlan>(plan.detail).name, false);
}

int run_ca_request(Context& context, const Plan& plan, const std::vector<Bytes>& approvals) {
  static_cast<void>(run_at_gate(context, plan, approvals));
  return tell_request(context, std::get<CaRequestPlan>(plan.detail).name, std::nullopt, false);
}

int run_ca_chain(Context& context, const Plan& plan, const std::vector<Bytes>& approvals) {
  static_cast<void>(run_at_gate(context, plan, approvals));
  return tell_ca(context, plan_subject(plan), false);
}

}  // namespace keyferry::appliance
