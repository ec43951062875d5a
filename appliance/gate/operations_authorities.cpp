#include <fmt/format.h>

#include "appliance/gate/internal/authority_operations.h"
#include "appliance/gate/internal/revocation_operations.h"
#include "appliance/plan/ca_chain.h"
#include "appliance/plan/lint_findings.h"
#include "wrap/x509/issued.h"

namespace keyferry::appliance {
namespace {

using Answer = std::optional<Refusal>;

Answer check_free(const std::string& name, const GateState& state) {
  if (state.authority(name) == nullptr) return std::nullopt;
  return Refusal{"name-taken", fmt::format("there is a certificate authority \"{}\" already", name),
                 "choose another name"};
}

std::vector<Bytes> chain_of(const v1::CertificateAuthority& authority) {
  std::vector<Bytes> chain{to_bytes(as_bytes(authority.certificate()))};
  for (const std::string& issuer : authority.issuers()) chain.push_back(to_bytes(as_bytes(issuer)));
  return chain;
}

std::vector<x509::CertificateFacts> facts_of(const std::vector<Bytes>& chain) {
  auto read = read_ca_chain(chain);
  if (const auto* refusal = std::get_if<Refusal>(&read)) throw to_error(*refusal);
  return std::get<std::vector<x509::CertificateFacts>>(std::move(read));
}

x509::CaKind kind_of(const v1::CertificateAuthority& authority) {
  return x509::ca_kind_from_name(authority.profile()).value_or(x509::CaKind::Root);
}

bool is_matter(x509::CaKind kind) {
  return kind == x509::CaKind::MatterPaa || kind == x509::CaKind::MatterPai;
}

Answer check_kinds(const CaCreatePlan& plan, const v1::CertificateAuthority& issuer) {
  const x509::CaKind above = kind_of(issuer);
  const bool fits = plan.kind == x509::CaKind::MatterPai ? above == x509::CaKind::MatterPaa : !is_matter(above);
  if (fits) return std::nullopt;
  return Refusal{"issuer-unfit",
                 fmt::format("kf-ca/{} is of template {}: no {} stands below it", plan.issuer,
                             x509::ca_kind_name(above), x509::ca_kind_name(plan.kind)),
                 "a PAI is signed by a PAA, an intermediate by a root or an intermediate"};
}

Answer check_issuer(const CaCreatePlan& plan, const GateState& state) {
  const v1::CertificateAuthority* issuer = state.authority(plan.issuer);
  if (issuer == nullptr || issuer->destroyed() || issuer->outside()) {
    return Refusal{"issuer-unknown",
                   fmt::format("there is no certificate authority \"{}\" whose key is in the HSM", plan.issuer),
                   "where the issuer is elsewhere: keyferry-appliance ca request NAME"};
  }
  if (auto refusal = check_not_revoked(*issuer, state.registry)) return refusal;
  if (issuer->retired() || issuer->pending()) {
    return Refusal{"issuer-unknown", fmt::format("kf-ca/{} {}", plan.issuer,
                                                 issuer->retired() ? "is retired" : "has no certificate yet")};
  }
  if (auto refusal = check_kinds(plan, *issuer)) return refusal;
  const auto above = facts_of(chain_of(*issuer));
  if (above.size() >= kMaxCaChain) {
    return Refusal{"chain-too-long",
                   fmt::format("kf-ca/{} has {} CAs above it: a device's chain would have more than {} certificates",
                               plan.issuer, above.size() - 1, kMaxCaChain + 1)};
  }
  if (auto refusal = x509::validate(plan.spec(), above.front())) return refusal;
  for (std::size_t i = 1; i < above.size(); ++i) {  // those farther up count every CA below them
    const x509::CertificateFacts& one = above[i];
    if (!one.path_length || *one.path_length >= i + 1u + plan.path_length) continue;
    return Refusal{"ca-path-length",
                   fmt::format("{} allows {} CAs below it, with this one and {} below it there would be {}",
                               one.subject, *one.path_length, plan.path_length, i + 1 + plan.path_length),
                   "give a smaller --path-length, or make the CAs above it with a larger one"};
  }
  return std::nullopt;
}

Answer check(const CaCreatePlan& plan, const GateState& state) {
  if (auto refusal = check_free(plan.name, state)) return refusal;
  return plan.issuer.empty() ? std::nullopt : check_issuer(plan, state);
}

/// The certificate is for the key and the subject of the request, and is such a CA's; Matter's rules too.
Answer check(const CaInstallPlan& plan, const GateState& state) {
  const v1::CertificateAuthority* row = state.authority(plan.name);
  if (row == nullptr || row->destroyed() || row->outside()) {
    return Refusal{"authority-unknown",
                   fmt::format("there is no certificate authority \"{}\" whose key is in the HSM", plan.name),
                   "make its request first: keyferry-appliance ca request NAME"};
  }
  if (!row->pending())
    return Refusal{"authority-not-pending", fmt::format("kf-ca/{} has its certificate already", plan.name)};
  if (row->retired()) return Refusal{"authority-retired", fmt::format("kf-ca/{} was retired", plan.name)};
  const auto chain = facts_of(plan.chain);
  if (auto refusal = check_none_revoked(plan.chain, plan.name, state.registry)) return refusal;
  x509::CaSpec spec{
      row->subject(), chain.front().not_before, chain.front().not_after, std::uint8_t{0}, kind_of(*row), {}};
  if (row->has_vendor_id()) spec.matter.vendor_id = static_cast<std::uint16_t>(row->vendor_id());
  if (row->has_product_id()) spec.matter.product_id = static_cast<std::uint16_t>(row->product_id());
  const auto key = crypto::PublicKey::from_point(as_bytes(row->public_key()));
  if (!key) throw Error{Code::Internal, "the registry has a request without a key"};
  if (auto refusal = x509::check_outside_ca(plan.chain.front(), spec, *key)) return refusal;
  if (auto refusal = x509::validate(spec, chain[1])) return refusal;
  return lint_refusal(plan.chain, lint_profile(spec.kind));
}

/// What a PAI from outside must be; the others are checked by read_ca_chain.
Answer check_import_kind(const CaImportPlan& plan) {
  if (plan.kind != x509::CaKind::MatterPai) return std::nullopt;
  if (auto refusal = lint_refusal(plan.chain, x509::LintProfile::MatterPai)) return refusal;
  const auto chain = facts_of(plan.chain);
  const auto ids = x509::matter_ids(chain.front().subject_name);
  if (const auto* refusal = std::get_if<Refusal>(&ids)) return *refusal;
  const bool is_pai = chain.front().path_length == 0U && std::get<x509::MatterIds>(ids).vendor_id.has_value();
  if (!is_pai || plan.chain.size() != 2) {
    return Refusal{
        "ca-matter",
        fmt::format("{} is no PAI: it has path length 0, a vendor id, and a PAA as issuer", chain.front().subject),
        "import it with --template intermediate"};
  }
  return std::nullopt;
}

Answer check(const CaImportPlan& plan, const GateState& state) {
  if (auto refusal = check_free(plan.name, state)) return refusal;
  if (auto refusal = check_import_kind(plan)) return refusal;
  if (auto refusal = check_none_revoked(plan.chain, plan.name, state.registry)) return refusal;
  for (const v1::CertificateAuthority& known : state.registry.authorities()) {
    if (known.certificate() != to_string(plan.chain.front())) continue;
    return Refusal{"authority-known", fmt::format("that CA is here already, as \"{}\"", known.name())};
  }
  return std::nullopt;
}

/// A PAI from outside: as check_outside_ca, with what it says of itself.
x509::MatterIds import_ids(const CaImportPlan& plan) {
  if (plan.kind != x509::CaKind::MatterPai) return {};
  const auto ids = x509::matter_ids(facts_of(plan.chain).front().subject_name);
  if (const auto* refusal = std::get_if<Refusal>(&ids)) throw to_error(*refusal);
  return std::get<x509::MatterIds>(ids);
}

void set_ids(v1::MakeKey& make, const x509::MatterIds& ids) {
  if (ids.vendor_id) make.set_vendor_id(*ids.vendor_id);
  if (ids.product_id) make.set_product_id(*ids.product_id);
}

void set_chain(v1::CertificateAuthority& row, const std::vector<Bytes>& chain) {
  row.set_certificate(to_string(chain.front()));
  row.clear_issuers();
  for (std::size_t i = 1; i < chain.size(); ++i) row.add_issuers(to_string(chain[i]));
}

v1::CertificateAuthority& add_row(v1::Registry& after, const std::string& name, x509::CaKind kind,
                                  const x509::MatterIds& ids) {
  v1::CertificateAuthority& row = *after.add_authorities();
  row.set_name(name);
  if (kind != x509::CaKind::Root) row.set_profile(std::string{x509::ca_kind_name(kind)});
  if (ids.vendor_id) row.set_vendor_id(*ids.vendor_id);
  if (ids.product_id) row.set_product_id(*ids.product_id);
  return row;
}

v1::CertificateAuthority* row_of(v1::Registry& registry, const std::string& name) {
  for (v1::CertificateAuthority& row : *registry.mutable_authorities()) {
    if (row.name() == name) return &row;
  }
  return nullptr;
}

void put(const CaCreatePlan& plan, const v1::KeyMade& made, v1::Registry& after) {
  std::vector<Bytes> chain{to_bytes(as_bytes(made.certificate()))};
  if (const auto* issuer = row_of(after, plan.issuer); issuer != nullptr) {
    for (Bytes& one : chain_of(*issuer)) chain.push_back(std::move(one));
  }
  set_chain(add_row(after, plan.name, plan.kind, plan.matter), chain);
}

void put(const CaRequestPlan& plan, const v1::KeyMade& made, v1::Registry& after) {
  v1::CertificateAuthority& row = add_row(after, plan.name, plan.kind, plan.matter);
  row.set_pending(true);
  row.set_request(made.certificate_request());
  row.set_public_key(made.public_key());
  row.set_subject(plan.subject);
}

void put(const CaInstallPlan& plan, v1::Registry& after) {
  v1::CertificateAuthority* row = row_of(after, plan.name);
  set_chain(*row, plan.chain);
  row->set_pending(false);
}

void put(const CaImportPlan& plan, v1::Registry& after) {
  v1::CertificateAuthority& row = add_row(after, plan.name, plan.kind, import_ids(plan));
  set_chain(row, plan.chain);
  row.set_outside(true);
}

}  // namespace

std::optional<Refusal> check_authority_operation(const Plan& plan, const GateState& state) {
  if (const auto* create = std::get_if<CaCreatePlan>(&plan.detail)) return check(*create, state);
  if (const auto* import = std::get_if<CaImportPlan>(&plan.detail)) return check(*import, state);
  if (const auto* install = std::get_if<CaInstallPlan>(&plan.detail)) return check(*install, state);
  return check_free(std::get<CaRequestPlan>(plan.detail).name, state);
}

std::optional<Refusal> check_authority_times(const Plan& plan, UtcMillis now) {
  const std::vector<Bytes>* chain = nullptr;
  if (const auto* import = std::get_if<CaImportPlan>(&plan.detail)) chain = &import->chain;
  if (const auto* install = std::get_if<CaInstallPlan>(&plan.detail)) chain = &install->chain;
  return chain == nullptr ? std::nullopt : check_valid_at(facts_of(*chain), now);
}

void authority_in_registry(const Plan& plan, const v1::KeyMade& made, v1::Registry& after) {
  if (const auto* create = std::get_if<CaCreatePlan>(&plan.detail)) put(*create, made, after);
  if (const auto* request = std::get_if<CaRequestPlan>(&plan.detail)) put(*request, made, after);
  if (const auto* install = std::get_if<CaInstallPlan>(&plan.detail)) put(*install, after);
  if (const auto* import = std::get_if<CaImportPlan>(&plan.detail)) put(*import, after);
}

std::optional<v1::MakeKey> authority_key_request(const Plan& plan, const GateState& state) {
  v1::MakeKey make;
  make.set_role("ca");
  if (const auto* create = std::get_if<CaCreatePlan>(&plan.detail)) {
    make.set_name(create->name);
    make.set_subject(create->subject);
    make.set_not_before_ms(create->not_before.value);
    make.set_not_after_ms(create->not_after.value);
    make.set_profile(std::string{x509::ca_kind_name(create->kind)});
    make.set_path_length(create->path_length);
    set_ids(make, create->matter);
    make.set_issuer(create->issuer);
    if (!create->issuer.empty()) make.set_issuer_certificate(state.authority(create->issuer)->certificate());
    return make;
  }
  if (const auto* request = std::get_if<CaRequestPlan>(&plan.detail)) {
    make.set_name(request->name);
    make.set_subject(request->subject);
    make.set_profile(std::string{x509::ca_kind_name(request->kind)});
    make.set_path_length(0);
    set_ids(make, request->matter);
    make.set_certificate_request(true);
    return make;
  }
  return std::nullopt;
}

}  // namespace keyferry::appliance
