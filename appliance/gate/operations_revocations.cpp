#include <fmt/format.h>

#include <algorithm>

#include "appliance/gate/internal/revocation_operations.h"
#include "wrap/crypto/hash.h"
#include "wrap/x509/certificate.h"
#include "wrap/x509/crl_reader.h"
#include "wrap/x509/serial.h"

namespace keyferry::appliance {
namespace {

using Answer = std::optional<Refusal>;

x509::CertificateFacts facts_of(const std::string& certificate) {
  auto parsed = x509::parse_certificate(as_bytes(certificate));
  if (const auto* refusal = std::get_if<Refusal>(&parsed)) throw to_error(*refusal);
  return std::get<x509::CertificateFacts>(std::move(parsed));
}

const v1::CertificateAuthority* with_certificate(const v1::Registry& registry, const std::string& certificate) {
  const auto found = std::ranges::find(registry.authorities(), certificate, &v1::CertificateAuthority::certificate);
  return found == registry.authorities().end() ? nullptr : &*found;
}

const v1::NotedCrl* noted_crl(const v1::HsmState& hsm, const std::string& authority) {
  const auto found = std::ranges::find(hsm.noted_crls(), authority, &v1::NotedCrl::authority);
  return found == hsm.noted_crls().end() ? nullptr : &*found;
}

Answer check(const CaRevokePlan& plan, const GateState& state) {
  const v1::CertificateAuthority* row = state.authority(plan.name);
  if (row == nullptr || row->outside() || row->pending()) {
    return Refusal{
        "authority-unknown",
        fmt::format("there is no certificate authority \"{}\" with a certificate whose key is in the HSM", plan.name)};
  }
  if (row->revoked()) return Refusal{"authority-revoked", fmt::format("kf-ca/{} was revoked before", plan.name)};
  if (row->issuers_size() == 0) {
    return Refusal{"authority-root",
                   fmt::format("kf-ca/{} is a root: no CA is above it that could revoke it", plan.name),
                   "retire it (ca retire), and have it taken out of the trust anchors"};
  }
  const v1::CertificateAuthority* issuer = with_certificate(state.registry, row->issuers(0));
  if (issuer == nullptr || issuer->outside() || issuer->pending()) {
    const auto facts = facts_of(row->certificate());
    return Refusal{"authority-outside",
                   fmt::format("kf-ca/{} was certified by {}, which is no CA in this HSM", plan.name, facts.issuer),
                   fmt::format("have it revoke serial {}, and retire the CA here: keyferry-appliance ca retire {}",
                               to_hex(facts.serial), plan.name)};
  }
  if (issuer->destroyed()) {
    return Refusal{"authority-unknown",
                   fmt::format("the key of kf-ca/{}, which certified kf-ca/{}, was destroyed: it signs "
                               "no CRL any more",
                               issuer->name(), plan.name)};
  }
  const auto serial = x509::serial_from_content(facts_of(row->certificate()).serial);
  if (issuer->name() != plan.issuer || !serial || !equal(serial->bytes(), plan.certificate_serial)) {
    return Refusal{"authority-other",
                   fmt::format("kf-ca/{} has another certificate or issuer than the plan says", plan.name),
                   "make the plan again: keyferry-appliance ca revoke"};
  }
  return std::nullopt;
}

Answer check(const CrlImportPlan& plan, const GateState& state) {
  const v1::CertificateAuthority* row = state.authority(plan.authority);
  if (row == nullptr || !row->outside()) {
    return Refusal{"authority-unknown", fmt::format("there is no outside CA \"{}\"", plan.authority),
                   "CRLs of our own CAs are issued, not taken in: keyferry-appliance crl issue --ca NAME"};
  }
  const v1::NotedCrl* last = noted_crl(state.hsm, plan.authority);
  if (last == nullptr || last->this_update_ms() <= plan.this_update.value) return std::nullopt;
  return Refusal{"crl-older",
                 fmt::format("the CRL is of {}, and one of {} was taken in before", to_rfc3339(plan.this_update),
                             to_rfc3339(UtcMillis{last->this_update_ms()})),
                 "take the CA's newest CRL"};
}

}  // namespace

std::optional<Refusal> check_revocation_operation(const Plan& plan, const GateState& state) {
  if (const auto* ca = std::get_if<CaRevokePlan>(&plan.detail)) return check(*ca, state);
  if (const auto* crl = std::get_if<CrlImportPlan>(&plan.detail)) return check(*crl, state);
  return std::nullopt;
}

std::optional<Refusal> check_outside_crl(const CrlImportPlan& plan, const GateState& state, ByteView crl,
                                         UtcMillis now) {
  if (crypto::sha256(crl) != plan.crl_sha256) {
    return Refusal{"crl-other", "the CRL that came is not the one that officers approved",
                   "make the plan again: keyferry-appliance crl import"};
  }
  const auto parsed = x509::parse_crl(crl);
  if (const auto* refusal = std::get_if<Refusal>(&parsed)) return *refusal;
  const auto& contents = std::get<x509::CrlContents>(parsed);
  const v1::CertificateAuthority* row = state.authority(plan.authority);
  if (auto refusal = x509::check_crl_issuer(contents, facts_of(row->certificate()))) return refusal;
  if (contents.this_update != plan.this_update || contents.entries.size() < plan.records.count)
    return Refusal{"crl-other", "the CRL does not say what the plan says of it"};
  if (contents.this_update.value <= now.value + kMaxOutsideDelayMillis) return std::nullopt;
  return Refusal{"crl-not-yet-valid",
                 fmt::format("the CRL is of {}, more than 24 hours from now ({})", to_rfc3339(contents.this_update),
                             to_rfc3339(now)),
                 "check the clocks of CA and appliance"};
}

bool revoke_in_registry(const Plan& plan, v1::Registry& after) {
  const auto* ca = std::get_if<CaRevokePlan>(&plan.detail);
  if (ca == nullptr) return false;
  for (v1::CertificateAuthority& row : *after.mutable_authorities()) {
    if (row.name() != ca->name) continue;
    row.set_revoked(true);
    row.set_retired(true);  // it may still sign CRLs
  }
  return true;
}

void apply_revocation(GateState& next, const Plan& plan) {
  const auto* crl = std::get_if<CrlImportPlan>(&plan.detail);
  if (crl == nullptr) return;
  v1::NotedCrl* noted = nullptr;
  for (v1::NotedCrl& one : *next.hsm.mutable_noted_crls()) {
    if (one.authority() == crl->authority) noted = &one;
  }
  if (noted == nullptr) noted = next.hsm.add_noted_crls();
  noted->set_authority(crl->authority);
  noted->set_this_update_ms(crl->this_update.value);
  noted->set_crl_sha256(crl->crl_sha256.str());
}

void add_revocation_leaves(const Plan& plan, std::vector<v1::LogLeaf>& leaves) {
  v1::LogLeaf leaf;
  if (const auto* ca = std::get_if<CaRevokePlan>(&plan.detail)) {
    v1::CaRevokedLeaf& said = *leaf.mutable_ca_revoked();
    said.set_name(ca->name);
    said.set_issuer(ca->issuer);
    said.set_certificate_serial(to_string(ca->certificate_serial));
    said.set_crl_reason(ca->crl_reason);
    said.set_reason(ca->reason);
    leaves.push_back(std::move(leaf));
  } else if (const auto* crl = std::get_if<CrlImportPlan>(&plan.detail)) {
    v1::OutsideCrlLeaf& said = *leaf.mutable_outside_crl();
    said.set_authority(crl->authority);
    said.set_crl_sha256(crl->crl_sha256.str());
    said.set_this_update_ms(crl->this_update.value);
    said.set_records(crl->records.count);
    said.set_records_root(crl->records.root.str());
    leaves.push_back(std::move(leaf));
  }
}

std::optional<Refusal> check_not_revoked(const v1::CertificateAuthority& authority, const v1::Registry& registry) {
  if (authority.revoked()) {
    return Refusal{"authority-revoked", fmt::format("the certificate of kf-ca/{} is revoked", authority.name()),
                   "make another CA, and a new plan with it: keyferry-appliance ca create"};
  }
  std::vector<Bytes> above;
  for (const std::string& issuer : authority.issuers()) above.push_back(to_bytes(as_bytes(issuer)));
  return check_none_revoked(above, authority.name(), registry);
}

std::optional<Refusal> check_none_revoked(const std::vector<Bytes>& chain, const std::string& name,
                                          const v1::Registry& registry) {
  for (const Bytes& certificate : chain) {
    const v1::CertificateAuthority* above = with_certificate(registry, to_string(certificate));
    if (above == nullptr || !above->revoked()) continue;
    return Refusal{"authority-revoked",
                   fmt::format("\"{}\" stands below kf-ca/{}, whose certificate is revoked", name, above->name()),
                   "make another CA, and a new plan with it: keyferry-appliance ca create"};
  }
  return std::nullopt;
}

}  // namespace keyferry::appliance
