// The officer's key and the approvals it signs (design.md section 6). One officer for now; the form
// is that of many.
#pragma once

#include <filesystem>

#include "appliance/ledger/registry.h"
#include "appliance/plan/plan.h"
#include "wrap/base/bytes.h"
#include "wrap/base/secret_bytes.h"
#include "wrap/crypto/soft_key.h"

namespace keyferry::appliance {

class Context;

/// A new P-256 key in `file` (PKCS#8 under scrypt, mode 0600); Error{Refused} when the name is
/// taken.
[[nodiscard]] crypto::SoftKey make_officer_key(const std::filesystem::path& file,
                                               const SecretBytes& passphrase);

/// Error{NotFound}: no such file. Error{Refused}: wrong passphrase or damaged.
[[nodiscard]] crypto::SoftKey read_officer_key(const std::filesystem::path& file,
                                               const SecretBytes& passphrase);

/// The key that --officer-key names, else the settings'. Asks for its passphrase.
[[nodiscard]] crypto::SoftKey officer_key(Context& context);

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

/// Signs with the ledger's registry and newest checkpoint. Error{Refused} when the key is no
/// officer's.
[[nodiscard]] Bytes approve_plan(Context& context, const Plan& plan, crypto::Signer& officer);

}  // namespace keyferry::appliance
