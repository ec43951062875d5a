// libcrypto's P-256 and its handles, for the .cpp files of this folder only: no other header of
// ours shows OpenSSL. EC_KEY is used (OPENSSL_SUPPRESS_DEPRECATED in CMakeLists.txt) though OpenSSL
// 3 calls it deprecated: with one shared group a new key costs 1.5 us, through EVP_PKEY_fromdata 14
// us, and a verification 41 us.
#pragma once

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>

#include <memory>

#include "wrap/base/bytes.h"
#include "wrap/base/secret_bytes.h"
#include "wrap/crypto/ossl.h"
#include "wrap/crypto/signing.h"

namespace keyferry::crypto::ossl {

using Number = std::unique_ptr<BIGNUM, FreeWith<BN_clear_free>>;
using Point = std::unique_ptr<EC_POINT, FreeWith<EC_POINT_clear_free>>;
using Key = std::unique_ptr<EC_KEY, FreeWith<EC_KEY_free>>;
using Signature = std::unique_ptr<ECDSA_SIG, FreeWith<ECDSA_SIG_free>>;

/// The one group of the process; never freed, only read.
[[nodiscard]] const EC_GROUP* p256();

/// Nothing unless `octets` is an uncompressed point on the curve.
[[nodiscard]] Point read_point(ByteView octets);

/// Nothing unless `scalar` is 32 octets in 1..n-1.
[[nodiscard]] Number read_scalar(const SecretBytes& scalar);

/// scalar * G.
[[nodiscard]] PublicKey public_key_of(const BIGNUM* scalar);

}  // namespace keyferry::crypto::ossl
