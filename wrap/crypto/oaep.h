// RSAES-OAEP (RFC 8017 section 7.1) as vendors use it to deliver a key: the sender's half, by
// Botan. The half that opens is the HSM's (p11::Session::unwrap_oaep).
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

#include "wrap/base/bytes.h"
#include "wrap/base/secret_bytes.h"

namespace keyferry::crypto {

/// Hash of OAEP and of its MGF1: always the same one, without a label. SHA-1 is no weakness here
/// (OAEP needs no collision resistance); SoftHSM 2.6 has nothing else.
enum class OaepHash { Sha1, Sha256 };

inline constexpr std::size_t kMinRsaBits = 2048;
inline constexpr std::size_t kMaxRsaBits = 8192;

/// Modulus size of an RSA key given as SubjectPublicKeyInfo DER. Nothing unless it is one of
/// kMinRsaBits to kMaxRsaBits bits.
[[nodiscard]] std::optional<std::size_t> rsa_bits(ByteView spki);

/// `key` (1 to 64 octets) under the RSA key; as long as the modulus. Error{InvalidArgument} when
/// `spki` is no key that rsa_bits takes, or `key` too long.
[[nodiscard]] Bytes wrap_oaep(OaepHash hash, ByteView spki, const SecretBytes& key);

}  // namespace keyferry::crypto
