// The way from a leaf to an anchor (RFC 5280 section 6, for the profile of certificate.h). Public
// data only; safe on anything. Names are compared octet by octet, which is stricter than RFC
// 5280 7.1. Revocation is not looked at here.
#pragma once

#include <span>
#include <string>
#include <variant>

#include "wrap/base/bytes.h"
#include "wrap/base/clock.h"
#include "wrap/base/error.h"
#include "wrap/base/ids.h"
#include "wrap/crypto/signing.h"
#include "wrap/x509/certificate.h"

namespace keyferry::x509 {

inline constexpr std::size_t kMaxChainLength = 6;  ///< certificates without the anchor
inline constexpr std::size_t kMaxAnchors = 64;

struct ChainFacts {
  Bytes serial;           ///< of the leaf
  crypto::PublicKey key;  ///< of the leaf
  std::string subject;    ///< of the leaf, as in CertificateFacts
  UtcMillis not_before;   ///< of the leaf
  UtcMillis not_after;    ///< of the leaf
  Digest sha256;          ///< of the leaf's DER
  Digest anchor_sha256;   ///< of the anchor that the path ended at
};

/// `chain`: leaf first, then each one's issuer; the anchor may be its last element or be left out.
/// `anchors`: trusted certificates, each as it is: an anchor need not be self-signed. The leaf must
/// not be a CA and must be allowed to sign. All certificates, the anchor too, must be valid at
/// `at`. Refusals: those of parse_certificate, "chain-empty", "chain-too-long", "chain-name"
/// (issuer and subject differ), "chain-key-identifier", "chain-signature", "chain-expired",
/// "chain-not-yet-valid", "chain-not-a-ca", "chain-path-length", "chain-leaf-usage", "chain-anchor"
/// (ends at no anchor of these, or is nothing but an anchor).
[[nodiscard]] std::variant<ChainFacts, Refusal> verify_chain(std::span<const Bytes> chain,
                                                             std::span<const Bytes> anchors,
                                                             UtcMillis at);

}  // namespace keyferry::x509
