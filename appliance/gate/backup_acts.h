// What a worker of role BACKUP does: wraps the keys that the role table lets into a backup, and brings them back into an
// HSM without keys. It makes no device key, and no other worker does this.
#pragma once

#include "appliance/gate/hsm.h"
#include "wrap/base/random.h"
#include "wrap/base/secret_bytes.h"

namespace keyferry::v1 {
class Backup;
class BackupMade;
class Restore;
class Restored;
}  // namespace keyferry::v1

namespace keyferry::appliance {

/// Every key of the registry that may be backed up, under kf-backup. Error{Refused}: kf-backup is not the one of
/// kf-state, the registry is not the state's. Error{Hsm}: a key is missing, or is not the one of the registry.
void make_backup(Hsm& hsm, RandomSource& random, const v1::Backup& request, v1::BackupMade& made);

/// Checks the file under `backup_key` (its shares together), then brings its keys in by role template, makes a new
/// kf-log, kf-export and kf-inbox, and proves each key. Leftovers of an earlier try that was cut off are replaced.
/// Error{Refused}: other shares, an altered file, an HSM that is in use or holds other keys of ours.
void restore_backup(Hsm& hsm, const SecretBytes& backup_key, const v1::Restore& request, v1::Restored& restored);

}  // namespace keyferry::appliance
