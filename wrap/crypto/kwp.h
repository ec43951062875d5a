// AES key wrap: KW (RFC 3394, NIST SP 800-38F §6.2) and KWP, the one with padding (RFC 5649 §4, SP
// 800-38F §6.3), by Botan. The software twin of the HSM's CKM_AES_KEY_WRAP_PAD; tests hold the two
// against each other.
//
// Some modules pad a key with zero octets before they wrap it, so that the length inside a blob is
// a multiple of 8. Such a blob is valid here too and unwraps *with* those 0 to 7 zero octets: who
// expects DER reads its length and accepts zero octets behind it, at most 7, nothing else.
#pragma once

#include <cstddef>
#include <optional>

#include "wrap/base/bytes.h"
#include "wrap/base/secret_bytes.h"

namespace keyferry::crypto {

inline constexpr std::size_t kMaxWrappedKeyBytes =
    4096;  // a key's size before wrapping; ours, not the standard's

/// Wraps `key` under `kek` with KWP. kek: 16, 24 or 32 octets. key: 1..4096 octets.
/// The result is key.size() rounded up to a multiple of 8, and 8 more. Other sizes throw
/// Error{InvalidArgument}.
[[nodiscard]] Bytes wrap_kwp(const SecretBytes& kek, const SecretBytes& key);

/// The key inside `blob`, as long as it was, without padding. kek: 16, 24 or 32 octets, else
/// Error{InvalidArgument}. Nothing if `blob` is not 16..4104 octets and a multiple of 8, or if
/// integrity value, length or padding is wrong; which of them it was is not told.
[[nodiscard]] std::optional<SecretBytes> unwrap_kwp(const SecretBytes& kek, ByteView blob);

/// KW, without padding. key: 16..4096 octets, a multiple of 8; the result has 8 more. Else
/// Error{InvalidArgument}.
[[nodiscard]] Bytes wrap_kw(const SecretBytes& kek, const SecretBytes& key);

/// Nothing if `blob` is not 24..4104 octets and a multiple of 8, or if the integrity value is
/// wrong.
[[nodiscard]] std::optional<SecretBytes> unwrap_kw(const SecretBytes& kek, ByteView blob);

}  // namespace keyferry::crypto
