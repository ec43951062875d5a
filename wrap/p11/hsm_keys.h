// Keys in a module behind the interfaces of wrap/crypto. The Session must outlive them and stay on
// their thread.
#pragma once

#include "wrap/crypto/hpke.h"
#include "wrap/crypto/signing.h"
#include "wrap/p11/session.h"

namespace keyferry::p11 {

/// Signs with CKM_ECDSA.
class HsmSigner final : public crypto::Signer {
 public:
  HsmSigner(Session& session, ObjectHandle private_key, const crypto::PublicKey& public_key);

  [[nodiscard]] const crypto::PublicKey& public_key() const override { return public_key_; }

  [[nodiscard]] Bytes sign_digest(const Digest& digest) override;

 private:
  Session& session_;
  ObjectHandle private_key_;
  crypto::PublicKey public_key_;
};

/// ECDH with CKM_ECDH1_DERIVE.
class HsmDhKey final : public crypto::DhPrivateKey {
 public:
  HsmDhKey(Session& session, ObjectHandle private_key, const crypto::PublicKey& public_key);

  [[nodiscard]] const crypto::PublicKey& public_key() const override { return public_key_; }

  [[nodiscard]] SecretBytes dh(const crypto::PublicKey& peer) override;

 private:
  Session& session_;
  ObjectHandle private_key_;
  crypto::PublicKey public_key_;
};

}  // namespace keyferry::p11
