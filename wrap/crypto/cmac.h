// CMAC with AES (RFC 4493, NIST SP 800-38B), by Botan: the software twin of CKM_AES_CMAC.
#pragma once

#include <cstddef>

#include "wrap/base/bytes.h"
#include "wrap/base/secret_bytes.h"

namespace keyferry::crypto {

inline constexpr std::size_t kCmacBytes = 16;

/// 16 octets. key: 16, 24 or 32 octets, else Error{InvalidArgument}.
[[nodiscard]] Bytes cmac_aes(const SecretBytes& key, ByteView data);
/// The same where the tag is a key (SP 800-108).
[[nodiscard]] SecretBytes cmac_aes_secret(const SecretBytes& key, ByteView data);

/// The check value of an AES key: CMAC over 16 zero octets, whole (16 octets). Public: it tells
/// nothing of the key. For imported keys it is taken from the octets, before C_CreateObject.
[[nodiscard]] Bytes aes_check_value(const SecretBytes& key);

}  // namespace keyferry::crypto
