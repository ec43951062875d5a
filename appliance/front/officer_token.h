// An officer's key in a PKCS#11 token of the officer's own (smart card, YubiKey, SoftHSM in tests), named by a URI with
// module-path. Never the appliance's HSM: a token that holds kf-* keys is refused. The PIN is tried once.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "wrap/base/secret_bytes.h"
#include "wrap/crypto/signing.h"
#include "wrap/p11/module.h"
#include "wrap/p11/session.h"
#include "wrap/p11/uri.h"

namespace keyferry::appliance {

/// Does the text of --officer-key name a token, and not a file?
[[nodiscard]] bool is_token_uri(const std::string& text);

enum class MakePair { No, IfAbsent };

class OfficerToken final : public crypto::Signer {
 public:
  /// The P-256 pair with the URI's object label or id. IfAbsent: made when there is none, not extractable.
  /// Error{Usage}: a URI without module-path, object and id. Error{NotFound}: no such token or key. Error{Refused}:
  /// wrong PIN (tried once); the appliance's own HSM; several keys; a private key that does not sign as its public one
  /// says.
  OfficerToken(const std::string& uri, const SecretBytes& pin, MakePair make = MakePair::No);
  ~OfficerToken() override;
  OfficerToken(const OfficerToken&) = delete;
  OfficerToken& operator=(const OfficerToken&) = delete;

  [[nodiscard]] const crypto::PublicKey& public_key() const override { return *public_key_; }

  /// CKM_ECDSA in the token.
  [[nodiscard]] Bytes sign_digest(const Digest& digest) override;

 private:
  void log_in(const SecretBytes& pin, const p11::TokenInfo& token);
  void find_pair(MakePair make);
  void check_pair();

  p11::Uri uri_;
  std::unique_ptr<p11::Module> module_;
  std::unique_ptr<p11::Session> session_;
  p11::ObjectHandle private_key_;
  std::optional<crypto::PublicKey> public_key_;
};

}  // namespace keyferry::appliance
