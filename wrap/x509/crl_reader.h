// Reading a CRL of another CA (RFC 5280 section 5) as far as it is asked here: which certificates are
// revoked for good. Public data only; safe on anything: bounded, never throws for what it is given.
//
// Accepted: complete and partitioned CRLs, v1 or v2, ecdsa-with-SHA256, strict DER, at most 8 MiB.
// Critical extensions: an issuingDistributionPoint that is neither indirect nor of attribute
// certificates, since what stands on a part of the list is revoked all the same; no others, so no
// delta CRLs. Entries on hold can be lifted again: they are counted and left out.
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
#include "wrap/x509/certificate.h"

namespace keyferry::x509 {

inline constexpr std::size_t kMaxCrlBytes = 8U * 1024 * 1024;

struct CrlEntry {
  Bytes serial;  ///< stored_serial(): 16 octets, or up to 20 without leading zeros
  UtcMillis revoked;
  std::uint8_t reason = 0;  ///< RFC 5280 section 5.3.1; 0 where none is given

  friend bool operator==(const CrlEntry&, const CrlEntry&) = default;
};

struct CrlContents {
  Bytes issuer_name;               ///< DER Name
  std::string issuer;              ///< as in CertificateFacts
  Bytes authority_key_identifier;  ///< empty when absent
  UtcMillis this_update;
  std::optional<UtcMillis> next_update;
  std::optional<Bytes> number;    ///< cRLNumber, without leading zeros
  std::vector<CrlEntry> entries;  ///< by serial, each serial once
  std::uint64_t on_hold = 0;
  Bytes tbs;        ///< DER TBSCertList, as received
  Bytes signature;  ///< raw r||s, 64 octets
  Digest sha256;    ///< of the whole CRL

  /// Null when the list has none of that serial; `stored`: stored_serial() of it.
  [[nodiscard]] const CrlEntry* find(ByteView stored) const;
};

/// Refusals: "crl-size", "crl-malformed", "crl-profile" (not what this product accepts).
[[nodiscard]] std::variant<CrlContents, Refusal> parse_crl(ByteView der);

/// Nothing if the CRL is by this CA's key: same name, key identifier if both have one, allowed to sign
/// CRLs, signature. Refusals: "crl-issuer", "crl-signature".
[[nodiscard]] std::optional<Refusal> check_crl_issuer(const CrlContents& crl, const CertificateFacts& issuer);

}  // namespace keyferry::x509
