// Shares of kf-backup as files: written by the gate at `init`, one for each custodian, and read by it at a restore. The
// front end names folder and files and never sees what is in them.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "appliance/gate/shares.h"

namespace keyferry::appliance {

/// Enough shares to put the key together, as they go to a worker.
struct BackupShares {
  std::vector<SecretBytes> shares;
  ShareCounts counts;
  Bytes check_value;  // 16

  [[nodiscard]] std::vector<SecretBytes> copies() const;
};

/// A new key of 32 random octets, split; each share is written to its file (mode 0600), synced, read back past the cache
/// and compared; what is returned are the first M as they were read back. When all N files are there already, from a try
/// that was cut off, they are read instead; an incomplete set is written anew: no HSM has ever seen its key.
/// Error{Storage} naming the file; Error{Refused} when the folder holds shares of another appliance or other counts.
[[nodiscard]] BackupShares make_share_files(const std::filesystem::path& folder, ShareCounts counts, const std::string& appliance);

/// From files and inherited descriptors. Error{Refused}: unreadable, of different keys, or fewer than needed.
[[nodiscard]] BackupShares read_shares(const std::vector<std::filesystem::path>& files, const std::vector<int>& descriptors);

/// "kf-backup-NAME-share-1-of-3.txt"
[[nodiscard]] std::string share_file_name(const std::string& appliance, unsigned number, ShareCounts counts);

}  // namespace keyferry::appliance
