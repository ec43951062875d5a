#include "wrap/evidence/possession.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "wrap/base/text.h"
#include "wrap/crypto/hash.h"

namespace keyferry::evidence {
namespace {

using Answer = std::optional<Refusal>;
using Verifier = Answer (*)(const Evidence& evidence);

struct Rule {
  std::string_view family;
  EvidenceKind kind;
  Verifier verifier;
};

/// The chip signed the digest of the core as it was given to it: a plain ECDSA signature, no
/// structure of the chip's own.
Answer signed_core(const Evidence& evidence) {
  if (evidence.signature.size() != crypto::kSignatureBytes)
    return Refusal{"signature-length", "the evidence's signature does not have 64 octets"};
  if (!crypto::verify(
          evidence.key, crypto::SignatureKind::Receipt, evidence.core, evidence.signature))
    return Refusal{"signature-invalid",
                   "the signature over the core is not by the key that was injected"};
  return std::nullopt;
}

/// Bits that any slot of an attested key has (facts page sections 2.2, 2.3, 6.2).
bool keeps_its_key(const Atecc608Slot& slot) {
  constexpr std::uint8_t kInternalSign = 0x02;  // SlotConfig, low octet
  constexpr std::uint8_t kIsSecret = 0x80;
  constexpr std::uint8_t kPrivate = 0x01;  // KeyConfig, low octet
  return (slot.slot_config[0] & (kIsSecret | kInternalSign)) == kIsSecret &&
         (slot.key_config[0] & kPrivate) != 0 && slot.target_slot != slot.attestation_slot;
}

/// The chip that the attestation key is in holds the injected key in a slot that is locked.
Answer attested_core(const Evidence& evidence) {
  if (auto refusal = signed_core(evidence)) return refusal;
  if (evidence.attestation.empty())
    return Refusal{"attestation-missing", "the receipt says attested and brings no attestation"};
  const auto parsed = parse_attestation(evidence.attestation);
  if (const auto* refusal = std::get_if<Refusal>(&parsed)) return *refusal;
  const auto& attestation = std::get<Atecc608Attestation>(parsed);
  if (!evidence.attestation_key)
    return Refusal{"attestation-key-unknown", "no attestation key of this chip is known"};
  const bool slot_fits =
      evidence.expected ? attestation.slot == *evidence.expected : keeps_its_key(attestation.slot);
  if (!slot_fits) {
    return Refusal{"attestation-slot",
                   fmt::format("the attestation is of slot {} with SlotConfig {} and KeyConfig {}, "
                               "by slot {}: not what was expected",
                               attestation.slot.target_slot,
                               to_hex(attestation.slot.slot_config),
                               to_hex(attestation.slot.key_config),
                               attestation.slot.attestation_slot)};
  }
  const Digest challenge = crypto::signing_digest(crypto::SignatureKind::Receipt, evidence.core);
  const auto message =
      attestation_message(attestation.slot, evidence.key, challenge, evidence.se_serial);
  if (!crypto::verify(*evidence.attestation_key, crypto::sha256(message), attestation.signature)) {
    return Refusal{"attestation-invalid",
                   "the attestation is not this chip's for this key in a locked slot and for this "
                   "core"};
  }
  return std::nullopt;
}

/// What is not here is refused. A PKCS#11 token has no attestation that a stranger could check.
constexpr std::array kRules{
    Rule{"pkcs11", EvidenceKind::Possession, signed_core},
    Rule{"atecc608", EvidenceKind::Possession, signed_core},
    Rule{"atecc608", EvidenceKind::Attested, attested_core},
};

struct KindName {
  EvidenceKind kind;
  std::string_view name;
};

constexpr std::array kKindNames{
    KindName{EvidenceKind::Possession, "possession"},
    KindName{EvidenceKind::Attested, "attested"},
};

const Rule* find_rule(std::string_view family, EvidenceKind kind) {
  const auto* rule = std::ranges::find_if(
      kRules, [&](const Rule& known) { return known.family == family && known.kind == kind; });
  return rule == kRules.end() ? nullptr : rule;
}

}  // namespace

std::string_view evidence_kind_name(EvidenceKind kind) {
  return std::ranges::find(kKindNames, kind, &KindName::kind)->name;
}

std::optional<EvidenceKind> evidence_kind_from_name(std::string_view name) {
  const auto* known = std::ranges::find(kKindNames, name, &KindName::name);
  if (known == kKindNames.end()) return std::nullopt;
  return known->kind;
}

bool is_supported(std::string_view family, EvidenceKind kind) {
  return find_rule(family, kind) != nullptr;
}

std::optional<Refusal> verify_evidence(const Evidence& evidence) {
  if (const Rule* rule = find_rule(evidence.family, evidence.kind)) return rule->verifier(evidence);
  const bool family_known =
      std::ranges::find(kRules, evidence.family, &Rule::family) != kRules.end();
  if (!family_known) {
    return Refusal{"family-unsupported",
                   fmt::format("no verifier for SE family \"{}\"", printable(evidence.family))};
  }
  return Refusal{"evidence-unsupported",
                 fmt::format("SE family {} gives no evidence of kind {}",
                             evidence.family,
                             evidence_kind_name(evidence.kind))};
}

}  // namespace keyferry::evidence
