// Octets under a passphrase: PKCS#8 EncryptedPrivateKeyInfo (RFC 5958 §3) as PEM, with PBES2 (RFC
// 8018 §6.2), scrypt (RFC 7914) and AES-256-CBC, nothing else. It hides; it does not show damage:
// what is inside must be able to.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "wrap/base/bytes.h"
#include "wrap/base/secret_bytes.h"

namespace keyferry::crypto {

inline constexpr std::size_t kMaxPassphraseBytes = 1024;
inline constexpr std::size_t kMaxPbes2PemBytes = 4096;

/// The cost of one guess: 128 * n * r octets of memory, n * r * p block mixings.
struct ScryptCost {
  std::uint64_t n;
  std::uint64_t r;
  std::uint64_t p;
};

/// 16 MiB: twice that is refused by the OpenSSL command line. p = 5 is what the OWASP Password
/// Storage Cheat Sheet asks for with this N.
inline constexpr ScryptCost kOurScryptCost{std::uint64_t{1} << 14, 8, 5};

/// False above 64 MiB of memory or 8 times the work of kOurScryptCost, or when the numbers are none
/// of scrypt's.
[[nodiscard]] bool is_bearable(const ScryptCost& cost);

/// PEM "ENCRYPTED PRIVATE KEY" with random salt and IV. passphrase: 1..kMaxPassphraseBytes octets,
/// else Error{InvalidArgument}.
[[nodiscard]] Bytes pbes2_encrypt_pem(const SecretBytes& plaintext,
                                      const SecretBytes& passphrase,
                                      const ScryptCost& cost = kOurScryptCost);

/// The plaintext; or nothing: not such a PEM, above kMaxPbes2PemBytes, another algorithm, a cost
/// that is not bearable, or padding that does not fit. A wrong passphrase gives nothing, or once in
/// 256 times garbage: the caller looks.
[[nodiscard]] std::optional<SecretBytes> pbes2_decrypt_pem(ByteView pem,
                                                           const SecretBytes& passphrase);

}  // namespace keyferry::crypto
