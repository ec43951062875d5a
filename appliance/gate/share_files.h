// Shares as files, descriptors and objects in custodians' tokens: written and read back by the gate, and read by it at a
// login or a restore. The front end names folders, files and descriptors and never sees what is in them.
#pragma once

#include <filesystem>
#include <optional>
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

/// A share and where it came from: file name, "descriptor 5", token URI, "the terminal".
struct GivenShare {
  ShareFile share;
  std::string where;
};

/// A new key of 32 random octets, split; each share is written to its file in `folders` (one for all, or one for each) (mode 0600), synced, read back past the cache
/// and compared; what is returned are the first M as they were read back. When all N files are there already, from a try
/// that was cut off, they are read instead; an incomplete set is written anew: no HSM has ever seen its key.
/// Error{Storage} naming the file; Error{Usage}: other
/// than one or as many folders as shares; Error{Refused} when the folder holds shares of another appliance or other counts.
[[nodiscard]] BackupShares make_share_files(const std::vector<std::filesystem::path>& folders, ShareCounts counts,
                                            const std::string& appliance);

/// From files and inherited descriptors, of any kind. Error{Refused} naming where the unreadable one is.
[[nodiscard]] std::vector<GivenShare> read_given_shares(const std::vector<std::filesystem::path>& files,
                                                        const std::vector<int>& descriptors);

/// Takes those of kf-backup out of `given`; nothing when there are none. Error{Refused}: of different keys, or fewer than
/// needed.
[[nodiscard]] std::optional<BackupShares> take_backup_shares(std::vector<GivenShare>& given);

/// One share in a file: mode 0600, synced, read back past the cache and compared. What was read back.
/// Error{Storage} when it is not what was written.
[[nodiscard]] ShareFile write_share_file(const std::filesystem::path& file, const SecretBytes& text);

/// Error{Refused} naming the file when it is no share.
[[nodiscard]] ShareFile read_share_file(const std::filesystem::path& file);

/// "kf-backup-NAME-share-1-of-3.txt", "kf-user-pin-NAME-...", "kf-so-pin-NAME-..."
[[nodiscard]] std::string share_file_name(ShareKind kind, const std::string& appliance, unsigned number, ShareCounts counts);

}  // namespace keyferry::appliance
