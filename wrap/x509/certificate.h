// Reading one certificate from outside, in the one profile that this product accepts. Public data
// only; safe on anything: bounded, never throws for what it is given.
//
// Accepted: X.509 v3 (RFC 5280), ecdsa-with-SHA256, P-256, strict DER, at most 16 KiB, at most 32
// extensions and none twice; every critical one is basicConstraints, keyUsage, extendedKeyUsage or
// subjectAltName. Others are kept, and not looked into.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "wrap/base/bytes.h"
#include "wrap/base/clock.h"
#include "wrap/base/error.h"
#include "wrap/base/ids.h"
#include "wrap/crypto/signing.h"
#include "wrap/x509/key_usage.h"

namespace keyferry::x509 {

inline constexpr std::size_t kMaxCertificateBytes = 16U * 1024;

struct ExtensionFacts {
  Bytes oid;  ///< content octets
  bool critical = false;
  Bytes value;  ///< what the OCTET STRING holds

  friend bool operator==(const ExtensionFacts&, const ExtensionFacts&) = default;
};

struct CertificateFacts {
  Bytes serial;  ///< content of the INTEGER: 1 to 20 octets, positive
  std::string
      subject;  ///< "CN=x,O=y" in encoding order; foreign types as dotted OID, odd octets \xNN
  std::string issuer;
  Bytes subject_name;  ///< DER Name
  Bytes issuer_name;   ///< DER Name
  crypto::PublicKey key;
  UtcMillis not_before;
  UtcMillis not_after;  ///< inclusive: valid through that second
  bool is_ca = false;
  std::optional<std::uint32_t> path_length;
  std::optional<std::uint16_t> key_usage;  ///< nothing when the extension is absent
  Bytes subject_key_identifier;            ///< empty when absent
  Bytes authority_key_identifier;          ///< empty when absent
  std::vector<ExtensionFacts> extensions;  ///< all of them, in their order
  Bytes tbs;                               ///< DER TBSCertificate, as received
  Bytes signature;                         ///< raw r||s, 64 octets
  Digest sha256;                           ///< of the whole certificate
};

/// Refusals: "certificate-size" (empty, above 16 KiB), "certificate-malformed",
/// "certificate-profile" (not what this product accepts).
[[nodiscard]] std::variant<CertificateFacts, Refusal> parse_certificate(ByteView der);

}  // namespace keyferry::x509
