// The way from an issuing CA up to its self-signed anchor (RFC 5280 section 6.1, for CA certificates of the profile
// that wrap/x509/certificate.h reads): what an outside CA and an installed certificate must bring with them.
#pragma once

#include <optional>
#include <span>
#include <string_view>
#include <variant>
#include <vector>

#include "wrap/base/bytes.h"
#include "wrap/base/clock.h"
#include "wrap/base/error.h"
#include "wrap/x509/certificate.h"
#include "wrap/x509/certificate_builder.h"
#include "wrap/x509/template.h"

namespace keyferry::appliance {

/// Parsed, in the order given. `chain`: the issuing CA, then each one's issuer; the last one is self-signed. Refusals:
/// those of parse_certificate, "chain-empty", "chain-too-long", "chain-not-a-ca", "chain-name", "chain-key-identifier",
/// "chain-signature", "chain-path-length", "chain-anchor".
[[nodiscard]] std::variant<std::vector<x509::CertificateFacts>, Refusal> read_ca_chain(std::span<const Bytes> chain);

/// Nothing unless a CA of Matter would issue something else than a DAC; a PAA's subject need not name a vendor, so that
/// only its kind shows it. Refusal "matter-issuer".
[[nodiscard]] std::optional<Refusal> check_device_issuer(std::string_view authority, x509::CaKind kind,
                                                         const x509::DeviceTemplate& device);

/// Nothing if all of them are valid at `at`. Refusals "chain-expired", "chain-not-yet-valid".
[[nodiscard]] std::optional<Refusal> check_valid_at(std::span<const x509::CertificateFacts> chain, UtcMillis at);

}  // namespace keyferry::appliance
