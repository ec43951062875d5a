// A P-256 private key in this process's memory: officers' keys on their own machines, HPKE's
// ephemeral keys, tests. At rest: PKCS#8 EncryptedPrivateKeyInfo (RFC 5958) with PBES2 (RFC 8018
// §6.2), scrypt (RFC 7914) and AES-256-CBC, the form that `openssl pkcs8 -scrypt` writes and reads.
#pragma once

#include <cstddef>
#include <optional>

#include "wrap/base/bytes.h"
#include "wrap/base/secret_bytes.h"
#include "wrap/crypto/signing.h"

namespace keyferry::crypto {

class SoftKey final : public Signer {
 public:
  static constexpr std::size_t kScalarBytes = 32;

  [[nodiscard]] static SoftKey generate();

  /// Nothing unless `scalar` is 32 octets, big-endian, in 1..n-1.
  [[nodiscard]] static std::optional<SoftKey> from_scalar(SecretBytes scalar);

  /// "-----BEGIN ENCRYPTED PRIVATE KEY-----", the public key inside (pbes2.h). passphrase: 1..1024
  /// octets, else Error{InvalidArgument}.
  [[nodiscard]] Bytes to_encrypted_pem(const SecretBytes& passphrase) const;

  /// Nothing on a wrong passphrase, damage, another algorithm, more than 4096 octets of PEM, or a
  /// scrypt cost that is not bearable (pbes2.h). The file must hold the public key too: CBC does
  /// not show damage, a public key that does not fit does. A passphrase of other than 1..1024
  /// octets throws Error{InvalidArgument}.
  [[nodiscard]] static std::optional<SoftKey> from_encrypted_pem(ByteView pem,
                                                                 const SecretBytes& passphrase);

  [[nodiscard]] const PublicKey& public_key() const override { return public_key_; }

  [[nodiscard]] Bytes sign_digest(const Digest& digest) override;

  /// The x coordinate of the shared point, 32 octets: ECDH without a KDF (SP 800-56A §5.7.1.2).
  [[nodiscard]] SecretBytes ecdh_x(const PublicKey& peer) const;

 private:
  SoftKey(SecretBytes scalar, const PublicKey& public_key);

  SecretBytes scalar_;
  PublicKey public_key_;
};

}  // namespace keyferry::crypto
