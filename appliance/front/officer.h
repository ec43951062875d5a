// An officer's key, in a file or in a token of the officer's own, and the approvals it signs
// (design.md section 6).
#pragma once

#include <filesystem>
#include <memory>

#include "appliance/ledger/registry.h"
#include "appliance/plan/plan.h"
#include "wrap/base/bytes.h"
#include "wrap/base/secret_bytes.h"
#include "wrap/crypto/soft_key.h"

namespace keyferry::appliance {

class Context;
struct CommonOptions;

/// A new P-256 key in `file` (PKCS#8 under scrypt, mode 0600); Error{Refused} when the name is
/// taken.
[[nodiscard]] crypto::SoftKey make_officer_key(const std::filesystem::path& file,
                                               const SecretBytes& passphrase);

/// Error{NotFound}: no such file. Error{Refused}: wrong passphrase or damaged.
[[nodiscard]] crypto::SoftKey read_officer_key(const std::filesystem::path& file,
                                               const SecretBytes& passphrase);

/// The key that --officer-key names (a file or a pkcs11: URI, officer_token.h), else the settings'.
/// Asks for its passphrase or PIN. Error{Usage} when neither names one.
[[nodiscard]] std::unique_ptr<crypto::Signer> officer_key(Context& context);

/// As --officer-key names it, made when it is absent: a file under a new passphrase, or a pair in
/// the token.
[[nodiscard]] std::unique_ptr<crypto::Signer> make_or_read_officer_key(const CommonOptions& common);

/// What an approval says beside the plan.
struct ApprovalFacts {
  std::uint32_t policy_epoch = 0;
  std::uint32_t registry_epoch = 0;
  std::string last_checkpoint;  // newest in the ledger: an anchor outside this disk
};

/// Encoded token::SignedBytes of a v1.Approval for exactly these plan octets.
[[nodiscard]] Bytes sign_approval(const Plan& plan,
                                  const ApprovalFacts& facts,
                                  crypto::Signer& officer);

/// Signs with the ledger's registry and newest checkpoint (hsm-adopt-state: with the backup's).
/// Error{Refused} when the key is not that of an enabled officer.
[[nodiscard]] Bytes approve_plan(Context& context, const Plan& plan, crypto::Signer& officer);

}  // namespace keyferry::appliance
