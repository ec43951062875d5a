#include "wrap/evidence/possession.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "wrap/base/text.h"

namespace keyferry::evidence {
namespace {

using Verifier = bool (*)(const crypto::PublicKey& key, ByteView core, ByteView signature);

struct Rule {
  std::string_view family;
  EvidenceKind kind;
  Verifier verifier;
};

/// The chip signed the digest of the core as it was given to it: a plain ECDSA signature, no
/// structure of the chip's own.
bool signed_core(const crypto::PublicKey& key, ByteView core, ByteView signature) {
  return crypto::verify(key, crypto::SignatureKind::Receipt, core, signature);
}

/// What is not here is refused. A PKCS#11 token has no attestation that a stranger could check.
constexpr std::array kRules{
    Rule{"pkcs11", EvidenceKind::Possession, signed_core},
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

std::optional<Refusal> verify_evidence(std::string_view family,
                                       EvidenceKind kind,
                                       const crypto::PublicKey& key,
                                       ByteView core,
                                       ByteView signature) {
  const Rule* rule = find_rule(family, kind);
  if (rule == nullptr) {
    const bool family_known = std::ranges::find(kRules, family, &Rule::family) != kRules.end();
    if (!family_known) {
      return Refusal{"family-unsupported",
                     fmt::format("no verifier for SE family \"{}\"", printable(family))};
    }
    return Refusal{
        "evidence-unsupported",
        fmt::format("SE family {} gives no evidence of kind {}", family, evidence_kind_name(kind))};
  }
  if (signature.size() != crypto::kSignatureBytes) {
    return Refusal{"signature-length", "the evidence's signature does not have 64 octets"};
  }
  if (!rule->verifier(key, core, signature)) {
    return Refusal{"signature-invalid",
                   "the signature over the core is not by the key that was injected"};
  }
  return std::nullopt;
}

}  // namespace keyferry::evidence
