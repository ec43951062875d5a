#include <fmt/format.h>

#include "appliance/gate/internal/authority_operations.h"
#include "appliance/plan/ca_chain.h"

namespace keyferry::appliance {
namespace {

using Answer = std::optional<Refusal>;

Answer check_free(const std::string& name, const GateState& state) {
  if (state.authority(name) == nullptr) return std::nullopt;
  return Refusal{"name-taken", fmt::format("there is a certificate authority \"{}\" already", name), "choose another name"};
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

CaProfile profile_of(const v1::CertificateAuthority& authority) {
  return profile_from_name(authority.profile()).value_or(CaProfile::Root);
}

/// Matter 6.2.2.4: a PAI under a PAA that has a VID has the same one.
Answer check_profiles(const CaCreatePlan& plan, const v1::CertificateAuthority& issuer) {
  const CaProfile above = profile_of(issuer);
  if (plan.profile != CaProfile::MatterPai) {
    if (!is_matter(above)) return std::nullopt;
    return Refusal{"issuer-unfit", fmt::format("kf-ca/{} is a {}: no {} CA stands below it", plan.issuer, profile_name(above),
                                               profile_name(plan.profile))};
  }
  if (above != CaProfile::MatterPaa) {
    return Refusal{"issuer-unfit", fmt::format("kf-ca/{} is a {}: a PAI is signed by a PAA", plan.issuer, profile_name(above)),
                   "make one: keyferry-appliance ca create NAME --template matter-paa"};
  }
  if (issuer.vendor_id() != 0 && issuer.vendor_id() != plan.vendor_id) {
    return Refusal{"issuer-vendor",
                   fmt::format("the PAI is of vendor {:04X}, its PAA kf-ca/{} of vendor {:04X}: a PAA with a vendor id signs for "
                               "that vendor only",
                               plan.vendor_id, plan.issuer, issuer.vendor_id()),
                   "use a PAA of that vendor, or one without a vendor id"};
  }
  return std::nullopt;
}

Answer check_issuer(const CaCreatePlan& plan, const GateState& state) {
  const v1::CertificateAuthority* issuer = state.authority(plan.issuer);
  if (issuer == nullptr || issuer->destroyed() || issuer->outside()) {
    return Refusal{"issuer-unknown", fmt::format("there is no certificate authority \"{}\" whose key is in the HSM", plan.issuer),
                   "where the issuer is elsewhere: keyferry-appliance ca request NAME"};
  }
  if (issuer->retired() || issuer->pending()) {
    return Refusal{"issuer-unknown", fmt::format("kf-ca/{} {}", plan.issuer, issuer->retired() ? "is retired" : "has no certificate yet")};
  }
  if (auto refusal = check_profiles(plan, *issuer)) return refusal;
  const auto above = facts_of(chain_of(*issuer));
  if (above.size() >= kMaxCaChain) {
    return Refusal{"chain-too-long", fmt::format("kf-ca/{} has {} CAs above it: a device's chain would have more than {} certificates",
                                                 plan.issuer, above.size() - 1, kMaxCaChain + 1)};
  }
  for (std::size_t i = 0; i < above.size(); ++i) {
    const x509::CertificateFacts& one = above[i];
    if (one.path_length && *one.path_length < i + 1u + plan.path_length) {
      return Refusal{"issuer-unfit",
                     fmt::format("{} allows {} CAs below it, and this one with {} below it would make {}", one.subject,
                                 *one.path_length, plan.path_length, i + 1 + plan.path_length),
                     "make the CAs above it with a larger --path-length"};
    }
    if (plan.not_before < one.not_before || plan.not_after > one.not_after) {
      return Refusal{"issuer-validity",
                     fmt::format("the CA would be valid from {} to {}, {} is from {} to {}", to_rfc3339(plan.not_before),
                                 to_rfc3339(plan.not_after), one.subject, to_rfc3339(one.not_before), to_rfc3339(one.not_after)),
                     "choose --not-before and --not-after within those of every CA above it"};
    }
  }
  return std::nullopt;
}

Answer check(const CaCreatePlan& plan, const GateState& state) {
  if (auto refusal = check_free(plan.name, state)) return refusal;
  return plan.issuer.empty() ? std::nullopt : check_issuer(plan, state);
}

Answer check(const CaImportPlan& plan, const GateState& state) {
  if (auto refusal = check_free(plan.name, state)) return refusal;
  for (const v1::CertificateAuthority& known : state.registry.authorities()) {
    if (known.certificate() != to_string(plan.chain.front())) continue;
    return Refusal{"authority-known", fmt::format("that CA is here already, as \"{}\"", known.name())};
  }
  return std::nullopt;
}

void set_chain(v1::CertificateAuthority& row, const std::vector<Bytes>& chain) {
  row.set_certificate(to_string(chain.front()));
  row.clear_issuers();
  for (std::size_t i = 1; i < chain.size(); ++i) row.add_issuers(to_string(chain[i]));
}

v1::CertificateAuthority& add_row(v1::Registry& after, const std::string& name, CaProfile profile) {
  v1::CertificateAuthority& row = *after.add_authorities();
  row.set_name(name);
  if (profile != CaProfile::Root) row.set_profile(std::string{profile_name(profile)});
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
  v1::CertificateAuthority& row = add_row(after, plan.name, plan.profile);
  set_chain(row, chain);
  row.set_vendor_id(plan.vendor_id);
  row.set_product_id(plan.product_id);
}

}  // namespace

std::optional<Refusal> check_authority_operation(const Plan& plan, const GateState& state) {
  if (const auto* create = std::get_if<CaCreatePlan>(&plan.detail)) return check(*create, state);
  if (const auto* import = std::get_if<CaImportPlan>(&plan.detail)) return check(*import, state);
  return Refusal{"operation-unknown", "the gate does not carry that operation out"};
}

std::optional<Refusal> check_authority_times(const Plan& plan, UtcMillis now) {
  const std::vector<Bytes>* chain = nullptr;
  if (const auto* import = std::get_if<CaImportPlan>(&plan.detail)) chain = &import->chain;
  if (const auto* install = std::get_if<CaInstallPlan>(&plan.detail)) chain = &install->chain;
  return chain == nullptr ? std::nullopt : check_valid_at(facts_of(*chain), now);
}

void authority_in_registry(const Plan& plan, const v1::KeyMade& made, v1::Registry& after) {
  if (const auto* create = std::get_if<CaCreatePlan>(&plan.detail)) put(*create, made, after);
  if (const auto* import = std::get_if<CaImportPlan>(&plan.detail)) {
    v1::CertificateAuthority& row = add_row(after, import->name, import->profile);
    set_chain(row, import->chain);
    row.set_outside(true);
  }
}

std::optional<v1::MakeKey> authority_key_request(const Plan& plan, const GateState& state) {
  v1::MakeKey make;
  make.set_role("ca");
  if (const auto* create = std::get_if<CaCreatePlan>(&plan.detail)) {
    make.set_name(create->name);
    make.set_subject(create->subject);
    make.set_not_before_ms(create->not_before.value);
    make.set_not_after_ms(create->not_after.value);
    make.set_profile(std::string{profile_name(create->profile)});
    make.set_path_length(create->path_length);
    make.set_vendor_id(create->vendor_id);
    make.set_product_id(create->product_id);
    make.set_issuer(create->issuer);
    if (!create->issuer.empty()) make.set_issuer_certificate(state.authority(create->issuer)->certificate());
    return make;
  }
  if (const auto* request = std::get_if<CaRequestPlan>(&plan.detail)) {
    make.set_name(request->name);
    make.set_subject(request->subject);
    make.set_profile(std::string{profile_name(request->profile)});
    make.set_vendor_id(request->vendor_id);
    make.set_product_id(request->product_id);
    make.set_certificate_request(true);
    return make;
  }
  return std::nullopt;
}

}  // namespace keyferry::appliance
