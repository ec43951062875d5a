// What ca-revoke and crl-import do to kf-state, registry and log, and what a revoked CA stops. Pure, as operations.h.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "appliance/gate/internal/gate_state.h"
#include "appliance/plan/outside_certificate.h"
#include "appliance/plan/plan.h"
#include "wrap/base/error.h"

namespace keyferry::appliance {

/// Nothing for other operations. Reasons: authority-unknown, authority-revoked, authority-root, authority-outside,
/// authority-other, crl-older.
[[nodiscard]] std::optional<Refusal> check_revocation_operation(const Plan& plan, const GateState& state);

/// The CRL that came with a crl-import plan: the approved one, by the enrolled key. Reasons: crl-other,
/// crl-not-yet-valid, those of x509::parse_crl and x509::check_crl_issuer.
[[nodiscard]] std::optional<Refusal> check_outside_crl(const CrlImportPlan& plan, const GateState& state, ByteView crl,
                                                       UtcMillis now);

/// Does the plan change the registry? Then `after` is changed.
bool revoke_in_registry(const Plan& plan, v1::Registry& after);
void apply_revocation(GateState& next, const Plan& plan);
void add_revocation_leaves(const Plan& plan, std::vector<v1::LogLeaf>& leaves);

/// "authority-revoked": officers revoked this CA's certificate, or one above it.
[[nodiscard]] std::optional<Refusal> check_not_revoked(const v1::CertificateAuthority& authority,
                                                       const v1::Registry& registry);
/// `chain`: certificates in DER; `name`: whose.
[[nodiscard]] std::optional<Refusal> check_none_revoked(const std::vector<Bytes>& chain, const std::string& name,
                                                        const v1::Registry& registry);

}  // namespace keyferry::appliance
