// Check values of keys that stay in an HSM: 16 octets that name a key without telling it, for the
// log, for uniqueness in history and for the inventory (FORMAT.md section 5).
#pragma once

#include "wrap/base/bytes.h"
#include "wrap/base/secret_bytes.h"
#include "wrap/p11/probe.h"
#include "wrap/p11/session.h"
#include "wrap/se/kdf.h"

namespace keyferry::se {

inline constexpr std::size_t kCheckValueBytes = 16;

/// Of a master: CMAC-AES-256 over 16 zero octets of the key that the master's own KDF derives over
/// kdf_check_input(). It depends on the master's octets and KDF only, not on its name: the same
/// master under two names has one check value. The derived key is a session object, SIGN only,
/// sensitive, gone when this returns. A module without CKM_AES_CMAC computes it from two
/// CKM_AES_ECB blocks.
[[nodiscard]] Bytes master_check_value(p11::Session& session,
                                       p11::ObjectHandle master,
                                       Kdf kdf,
                                       const p11::ProbeResult& facts);

/// The same from the octets of a master that is about to be imported. 32 octets, else
/// Error{InvalidArgument}.
[[nodiscard]] Bytes master_check_value(const SecretBytes& master, Kdf kdf);

/// What is recorded of an AES vendor key when it comes in, from its octets, before C_CreateObject.
struct VendorKeyCheck {
  Bytes check_value;  // crypto::aes_check_value: 16 octets
  Bytes proof;        // a published constant under AES-KWP of the key: 40 octets, public
};

/// 16, 24 or 32 octets, else Error{InvalidArgument}.
[[nodiscard]] VendorKeyCheck check_vendor_key(const SecretBytes& vendor_key);

/// The constant in a proof as an AES-256 key, SHA-256("keyferry/v1/vendor-check"): for RSA vendor
/// keys anyone wraps it to their public key with crypto::wrap_oaep.
[[nodiscard]] SecretBytes vendor_check_constant();

/// transport_check_value of that constant: what the key inside a genuine proof has.
[[nodiscard]] Bytes vendor_check_constant_value();

/// Pkcs11Builder::transport_check_value in software, of a transport key whose octets are known:
/// 32, else Error{InvalidArgument}.
[[nodiscard]] Bytes transport_check_value(const SecretBytes& transport_key);

/// The published key that a transport key's check value wraps:
/// SHA-256("keyferry/v1/transport-check").
[[nodiscard]] SecretBytes transport_check_constant();

}  // namespace keyferry::se
