// Evidence that a chip holds the key that was injected: a signature by that key over the core of
// its receipt (design 9). Public data only: the auditor's program links this.
//
// The core is signed as signatures of ours are: ECDSA P-256 over crypto::signing_digest(receipt,
// core), raw r||s. What the evidence says is *possession*: that the holder of the key signed this
// core. It does not say which chip the key sits in; only attestation by the chip's vendor could
// (EvidenceKind::Attested).
#pragma once

#include <optional>
#include <string_view>

#include "wrap/base/bytes.h"
#include "wrap/base/error.h"
#include "wrap/crypto/signing.h"

namespace keyferry::evidence {

enum class EvidenceKind { Possession, Attested };

/// "possession", "attested": as receipts and reports print it.
[[nodiscard]] std::string_view evidence_kind_name(EvidenceKind kind);
[[nodiscard]] std::optional<EvidenceKind> evidence_kind_from_name(std::string_view name);

/// True when `family` has a verifier for this kind: the table of possession.cpp.
[[nodiscard]] bool is_supported(std::string_view family, EvidenceKind kind);

/// Nothing if the evidence holds. family: as in SE lists ("pkcs11", ...). signature: raw r||s, 64
/// octets. Refusals: "family-unsupported", "evidence-unsupported" (the family has no evidence of
/// this kind), "signature-length", "signature-invalid".
[[nodiscard]] std::optional<Refusal> verify_evidence(std::string_view family,
                                                     EvidenceKind kind,
                                                     const crypto::PublicKey& key,
                                                     ByteView core,
                                                     ByteView signature);

}  // namespace keyferry::evidence
