// Plans that make, certify or take in a CA: what the gate checks before a key is made, and the registry afterwards.
#pragma once

#include <optional>

#include "appliance/gate/internal/gate_state.h"
#include "keyferry/v1/worker.pb.h"

namespace keyferry::appliance {

/// Nothing if a plan of ca-create, ca-request, ca-install or ca-import may be carried out. Refusals: name-taken,
/// issuer-unknown, issuer-unfit, chain-too-long, ca-path-length, authority-known, authority-unknown,
/// authority-not-pending, authority-retired, ca-matter, and those of x509::validate and x509::check_outside_ca.
[[nodiscard]] std::optional<Refusal> check_authority_operation(const Plan& plan, const GateState& state);

/// Nothing if what such a plan brings from outside is valid at `now`.
[[nodiscard]] std::optional<Refusal> check_authority_times(const Plan& plan, UtcMillis now);

/// The CA's row, as the plan leaves it.
void authority_in_registry(const Plan& plan, const v1::KeyMade& made, v1::Registry& after);

/// What the worker is asked to make for ca-create and ca-request; nothing for the others.
[[nodiscard]] std::optional<v1::MakeKey> authority_key_request(const Plan& plan, const GateState& state);

}  // namespace keyferry::appliance
