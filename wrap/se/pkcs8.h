// PKCS#8 (RFC 5208) of a P-256 private key, as HSMs wrap it: what may stand in an unwrapped
// payload, checked to the last octet. Nothing else is unwrapped here, so this is no general DER
// parser.
#pragma once

#include <variant>

#include "wrap/base/bytes.h"
#include "wrap/base/error.h"
#include "wrap/base/secret_bytes.h"

namespace keyferry::se {

/// The length of the PKCS#8 DER that `plain` begins with, when 0 to 7 zero octets and nothing else
/// follow it (modules may pad before RFC 5649 does). Accepted: PrivateKeyInfo version 0 with
/// id-ecPublicKey and prime256v1, inside it ECPrivateKey version 1 (RFC 5915) with a scalar of 32
/// octets, with or without parameters and public key. Refusal `wrapped-plaintext` otherwise; its
/// text tells nothing of the content.
[[nodiscard]] std::variant<std::size_t, Refusal> check_wrapped_plaintext(ByteView plain);

/// The 32 octets of the scalar of what check_wrapped_plaintext accepts; Error{Refused} otherwise.
[[nodiscard]] SecretBytes scalar_in_wrapped_plaintext(ByteView plain);

}  // namespace keyferry::se
