#include "wrap/p11/hsm_keys.h"

namespace keyferry::p11 {

HsmSigner::HsmSigner(Session& session,
                     ObjectHandle private_key,
                     const crypto::PublicKey& public_key)
    : session_{session}, private_key_{private_key}, public_key_{public_key} {}

Bytes HsmSigner::sign_digest(const Digest& digest) {
  return session_.sign_ecdsa(private_key_, digest);
}

HsmDhKey::HsmDhKey(Session& session, ObjectHandle private_key, const crypto::PublicKey& public_key)
    : session_{session}, private_key_{private_key}, public_key_{public_key} {}

SecretBytes HsmDhKey::dh(const crypto::PublicKey& peer) {
  return session_.ecdh(private_key_, peer);
}

}  // namespace keyferry::p11
