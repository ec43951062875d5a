// kf-backup's octets as shares: any M of N give them back (RTSS, draft-mcgrew-tss-03, by Botan, with its SHA-256 check).
// A share alone, or M - 1 of them, tell nothing. How a share looks on paper or stick: FORMAT.md.
#pragma once

#include <filesystem>
#include <string>
#include <variant>
#include <vector>

#include "wrap/base/bytes.h"
#include "wrap/base/error.h"
#include "wrap/base/secret_bytes.h"

namespace keyferry::appliance {

inline constexpr std::size_t kBackupKeyBytes = 32;
inline constexpr std::size_t kBackupKeyCheckBytes = 16;
inline constexpr std::size_t kMaxShareFileBytes = 1024;

/// "2/3": two of three. Error{Usage} unless 2 <= needed <= shares <= kMaxBackupShares.
struct ShareCounts {
  unsigned needed = 0;
  unsigned shares = 0;
  friend bool operator==(const ShareCounts&, const ShareCounts&) = default;
};
[[nodiscard]] ShareCounts parse_share_counts(std::string_view text);

/// First 16 octets of SHA-256 of what AES-KWP under `key` makes of the published constant SHA-256("keyferry/v1/backup-key-check"):
/// an HSM in which the key may do nothing but wrap gives the same. 32 octets, else Error{InvalidArgument}.
[[nodiscard]] Bytes backup_key_check(const SecretBytes& key);
/// The constant, and the check value of its blob.
[[nodiscard]] SecretBytes backup_check_constant();
[[nodiscard]] Bytes backup_check_of_blob(ByteView blob);

/// RTSS shares; each carries the key's check value as its identifier.
[[nodiscard]] std::vector<SecretBytes> split_backup_key(const SecretBytes& key, ShareCounts counts);

/// The key. Refusals: share-malformed, share-mixed (of different keys), share-twice, share-missing (fewer than needed),
/// share-wrong (together they give nothing that has their check value).
[[nodiscard]] std::variant<SecretBytes, Refusal> combine_shares(const std::vector<SecretBytes>& shares);

/// Text of one share, number 1 to counts.shares.
[[nodiscard]] SecretBytes share_text(const SecretBytes& share, unsigned number, ShareCounts counts);

struct ShareFile {
  SecretBytes share;
  unsigned number = 0;
  ShareCounts counts;
  Bytes check_value;  // 16
};

/// Refusal share-malformed (also when a digit was mistyped: the sum does not fit).
[[nodiscard]] std::variant<ShareFile, Refusal> parse_share_text(const SecretBytes& text);

}  // namespace keyferry::appliance
