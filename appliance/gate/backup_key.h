// kf-backup in the HSM: an AES-256 key that can wrap and nothing else, marked CKA_TRUSTED by the security officer, so that
// keys with CKA_WRAP_WITH_TRUSTED leave under it alone. Its octets come from shares and are forgotten here.
#pragma once

#include "appliance/gate/roles.h"
#include "wrap/base/secret_bytes.h"
#include "wrap/p11/session.h"

namespace keyferry::appliance {

/// Makes it; nobody is logged in before and afterwards. Two ways are tried, because only the security officer may set
/// CKA_TRUSTED and many modules hide private objects from him:
///   1. the security officer makes a session object, the user copies it as a private token object (SoftHSM: never in
///      the clear on the disk);
///   2. the security officer makes a public token object.
/// What came out is held against the role table; Error{Hsm} when neither way gives it, and nothing is left then.
void make_backup_key(p11::Session& session, const SecretBytes& so_pin, const SecretBytes& user_pin, const SecretBytes& octets);

/// backup_key_check of shares.h, computed by the HSM: the constant, as a session key, is wrapped. Logged in as user.
/// Error{NotFound} when there is no kf-backup.
[[nodiscard]] Bytes backup_key_check_in(p11::Session& session, p11::Mechanism kwp);

}  // namespace keyferry::appliance
