// The inside of HPKE (RFC 9180), apart from its contexts so that tests can hold each step against
// the RFC's vectors: the KEM's key derivation and the key schedule. Programs use hpke.h.
#pragma once

#include <cstdint>

#include "wrap/base/bytes.h"
#include "wrap/base/secret_bytes.h"
#include "wrap/crypto/signing.h"

namespace keyferry::crypto {

/// DHKEM(P-256, HKDF-SHA256) = 0x0010 and HKDF-SHA256 = 0x0001 always; the value is the AEAD's
/// number in RFC 9180 §7.3.
enum class HpkeSuite : std::uint16_t {
  Aes128Gcm = 0x0001,
  Aes256Gcm = 0x0002,
};

/// ExtractAndExpand of §4.1: 32 octets from the shared x coordinate, enc and the recipient's point.
[[nodiscard]] SecretBytes hpke_kem_shared_secret(const SecretBytes& dh,
                                                 ByteView enc,
                                                 const PublicKey& recipient);

struct HpkeKeySchedule {
  Bytes key_schedule_context;
  SecretBytes secret;
  SecretBytes key;         // 16 or 32 octets
  SecretBytes base_nonce;  // 12 octets
  SecretBytes exporter_secret;
};

/// KeySchedule of §5.1 in mode_base.
[[nodiscard]] HpkeKeySchedule hpke_key_schedule(HpkeSuite suite,
                                                const SecretBytes& shared_secret,
                                                ByteView info);

/// Context.Export of §5.3.
[[nodiscard]] SecretBytes hpke_export(HpkeSuite suite,
                                      const SecretBytes& exporter_secret,
                                      ByteView exporter_context,
                                      std::size_t size_bytes);

}  // namespace keyferry::crypto
