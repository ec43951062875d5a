// Evidence that a chip holds the key that was injected (design 9). Public data only: the auditor's
// program links this.
//
// Possession: a signature by the injected key over the core of its receipt, as signatures of ours
// are: ECDSA P-256 over crypto::signing_digest(receipt, core), raw r||s. It says that the holder of
// the key signed this core, not which chip the key sits in.
//
// Attested: that, and a signature by a key that never left the chip over the injected key and the
// state of its slot, for this very core (atecc608.h).
#pragma once

#include <optional>
#include <string_view>

#include "wrap/base/bytes.h"
#include "wrap/base/error.h"
#include "wrap/crypto/signing.h"
#include "wrap/evidence/atecc608.h"

namespace keyferry::evidence {

enum class EvidenceKind { Possession, Attested };

/// "possession", "attested": as receipts and reports print it.
[[nodiscard]] std::string_view evidence_kind_name(EvidenceKind kind);
[[nodiscard]] std::optional<EvidenceKind> evidence_kind_from_name(std::string_view name);

/// True when `family` has a verifier for this kind: the table of possession.cpp.
[[nodiscard]] bool is_supported(std::string_view family, EvidenceKind kind);

/// What is checked. The views outlive the call. What is not there may make it a refusal.
struct Evidence {
  std::string_view family;  // as in SE lists ("pkcs11", ...)
  EvidenceKind kind = EvidenceKind::Possession;
  const crypto::PublicKey& key;  // that was injected
  ByteView core;
  ByteView signature;         // raw r||s, 64 octets
  ByteView attestation = {};  // attested: ReceiptEntry.attestation
  std::optional<crypto::PublicKey> attestation_key = std::nullopt;  // attested: of this chip
  ByteView se_serial = {};                                          // attested: of this chip
  // Attested: what the plan says of the slot. Without it any slot passes that keeps its key secret
  // and signs no digest of its own making.
  std::optional<Atecc608Slot> expected = std::nullopt;
};

/// Nothing if the evidence holds. Refusals: "family-unsupported", "evidence-unsupported" (the
/// family has no evidence of this kind), "signature-length", "signature-invalid",
/// "attestation-missing", "attestation-malformed", "attestation-key-unknown" (there is none to
/// check with), "attestation-slot" (another slot or configuration than expected),
/// "attestation-invalid".
[[nodiscard]] std::optional<Refusal> verify_evidence(const Evidence& evidence);

/// The same for evidence without an attestation.
[[nodiscard]] inline std::optional<Refusal> verify_evidence(std::string_view family,
                                                            EvidenceKind kind,
                                                            const crypto::PublicKey& key,
                                                            ByteView core,
                                                            ByteView signature) {
  return verify_evidence(
      Evidence{.family = family, .kind = kind, .key = key, .core = core, .signature = signature});
}

}  // namespace keyferry::evidence
