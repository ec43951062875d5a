// CRLs that we issue: X.509 v2 (RFC 5280 section 5), complete ones, ecdsa-with-SHA256, with authorityKeyIdentifier
// and cRLNumber, and a reasonCode at each entry that has one. Signing is somebody else's, as in
// certificate_builder.h.
#pragma once

#include <cstdint>

#include "wrap/base/bytes.h"
#include "wrap/base/clock.h"
#include "wrap/x509/certificate.h"
#include "wrap/x509/certificate_builder.h"

namespace keyferry::x509 {

struct CrlFacts {
  Bytes issuer_name;            ///< DER Name
  Bytes issuer_key_identifier;  ///< 20
  std::uint64_t number = 1;
  UtcMillis this_update;
  UtcMillis next_update;
};

/// RFC 5280 section 5.3.1 without removeFromCRL, which complete CRLs do not have. 0 (unspecified) is left out.
[[nodiscard]] constexpr bool is_crl_reason(std::uint8_t code) {
  return code <= 10 && code != 7 && code != 8;
}

class CrlBuilder {
 public:
  /// `entries`: how many will come, for room. Error{InvalidArgument} unless this_update < next_update.
  explicit CrlBuilder(CrlFacts facts, std::uint64_t entries = 0);

  /// serial: 1 to 20 octets, unsigned. Error{InvalidArgument} for another length or reason.
  void add(ByteView serial, UtcMillis revoked, std::uint8_t reason);

  /// DER TBSCertList; sign its SHA-256 and assemble() both.
  [[nodiscard]] Bytes to_be_signed() const;

 private:
  CrlFacts facts_;
  Bytes revoked_;
};

}  // namespace keyferry::x509
