// Secrets as shares: kf-backup's octets, the HSM's user PIN, its SO PIN. Any M of N give the secret back (RTSS,
// draft-mcgrew-tss-03, by Botan, with its SHA-256 check). A share alone, or M - 1 of them, tell nothing. How a share looks
// on paper, screen or stick: FORMAT.md section 2.
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
inline constexpr std::size_t kPinSeedBytes = 16;     // random octets that a PIN is made of
inline constexpr std::size_t kShareSetIdBytes = 16;  // of a backup key: its check value
inline constexpr std::size_t kMaxShareFileBytes = 1024;
inline constexpr std::size_t kShareLineChars = 20;  // without blanks: 16 for ten octets, 4 against typing errors

/// Numbers stand in the first octet of a share's lines and never change.
enum class ShareKind : std::uint8_t { BackupKey = 1, UserPin = 2, SoPin = 3 };

/// As in a share's text: "backup-key", "user-pin", "so-pin".
[[nodiscard]] std::string_view share_kind_word(ShareKind kind);
/// In sentences: "kf-backup", "the user PIN", "the SO PIN".
[[nodiscard]] std::string_view share_kind_noun(ShareKind kind);

/// "2/3": two of three. Error{Usage} naming `option` unless 2 <= needed <= shares <= kMaxBackupShares.
struct ShareCounts {
  unsigned needed = 0;
  unsigned shares = 0;
  friend bool operator==(const ShareCounts&, const ShareCounts&) = default;
};
[[nodiscard]] ShareCounts parse_share_counts(std::string_view text, std::string_view option = "--backup-shares");

/// First 16 octets of SHA-256 of what AES-KWP under `key` makes of the published constant SHA-256("keyferry/v1/backup-key-check"):
/// an HSM in which the key may do nothing but wrap gives the same. 32 octets, else Error{InvalidArgument}.
[[nodiscard]] Bytes backup_key_check(const SecretBytes& key);
/// The constant, and the check value of its blob.
[[nodiscard]] SecretBytes backup_check_constant();
[[nodiscard]] Bytes backup_check_of_blob(ByteView blob);

/// RTSS shares; each carries the key's check value as its identifier.
[[nodiscard]] std::vector<SecretBytes> split_backup_key(const SecretBytes& key, ShareCounts counts);

/// RTSS shares of a PIN's seed, kPinSeedBytes; `set_id` (kShareSetIdBytes) is their identifier. The two PINs of one set have
/// the same identifier and are two sharings: shares of one tell nothing of the other and are not taken for it.
[[nodiscard]] std::vector<SecretBytes> split_pin_seed(ShareKind kind, const SecretBytes& seed, ByteView set_id, ShareCounts counts);

/// The key. Refusals: share-malformed, share-mixed (of different keys), share-twice, share-missing (fewer than needed),
/// share-wrong (together they give nothing that has their check value).
[[nodiscard]] std::variant<SecretBytes, Refusal> combine_shares(const std::vector<SecretBytes>& shares);

/// The seed of split_pin_seed(). Refusals as combine_shares().
[[nodiscard]] std::variant<SecretBytes, Refusal> combine_pin_seed(ShareKind kind, const std::vector<SecretBytes>& shares);

/// The PIN that a seed stands for: 26 characters of a-z 2-7, 128 bits.
[[nodiscard]] SecretBytes pin_of_seed(const SecretBytes& seed);

struct ShareFile {
  SecretBytes share;
  unsigned number = 0;
  ShareCounts counts;
  Bytes check_value;  // 16: check value of the backup key, id of a set of PIN shares
  ShareKind kind = ShareKind::BackupKey;
};

/// A share with what its octets say of it. Refusal share-malformed.
[[nodiscard]] std::variant<ShareFile, Refusal> share_of(ShareKind kind, SecretBytes rtss, unsigned shares);

/// Text of one share, number 1 to counts.shares.
[[nodiscard]] SecretBytes share_text(ShareKind kind, const SecretBytes& share, unsigned number, ShareCounts counts);

/// The lines of a share as they are typed, "abcd efgh ijkl mnop qrst" each: 8 of a PIN's, 9 of a backup key's.
[[nodiscard]] std::vector<SecretBytes> share_lines(ShareKind kind, const SecretBytes& share, unsigned shares);

/// Refusal share-malformed that names the line (each has its own check against typing errors). The form that was written
/// before ("keyferry-backup-share 1") is read too.
[[nodiscard]] std::variant<ShareFile, Refusal> parse_share_text(const SecretBytes& text);

/// A share that is typed line by line.
class ShareTyping {
 public:
  /// The next line; blanks and hyphens are skipped, 0 1 8 read as o l b. A refused one may be typed again: share-line.
  [[nodiscard]] std::optional<Refusal> add(const SecretBytes& line);

  [[nodiscard]] unsigned next_line() const { return static_cast<unsigned>(octets_.size() / kLineBytes) + 1; }

  /// After the first line.
  [[nodiscard]] unsigned lines() const;
  [[nodiscard]] bool complete() const;
  /// When complete(). Refusal share-malformed: the lines are not of one share.
  [[nodiscard]] std::variant<ShareFile, Refusal> take();

 private:
  static constexpr std::size_t kLineBytes = 10;
  SecretBytes octets_;
};

}  // namespace keyferry::appliance
