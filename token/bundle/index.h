// index.json of an evidence bundle: what the folder is and every file in it. FORMAT.md.
//
// It proves nothing: whoever writes a bundle writes its index. It is there so that a file that is
// missing, cut, changed or added on the way is named before anything else is looked at.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "token/types.h"
#include "wrap/base/bytes.h"
#include "wrap/base/clock.h"
#include "wrap/base/error.h"
#include "wrap/base/ids.h"

namespace keyferry::bundle {

inline constexpr std::string_view kIndexName = "index.json";
inline constexpr std::string_view kReadmeName = "README.txt";
inline constexpr std::string_view kCardName = "card.kf";
inline constexpr std::string_view kKeysName = "keys.json";
/// There while a bundle is being written; README and index come last.
inline constexpr std::string_view kUnfinishedName = ".unfinished";

inline constexpr std::size_t kMaxIndexBytes = 32U << 20;
inline constexpr std::size_t kMaxFiles = 200'000;
inline constexpr std::uint64_t kMaxFileBytes = std::uint64_t{256} << 20;
inline constexpr std::uint64_t kMaxLogSize = kMaxFiles * 256;  ///< 256 leaves to a file at most
inline constexpr std::size_t kMaxPathChars = 160;

struct FileEntry {
  std::string path;  // from the bundle's folder, with '/'
  std::uint64_t size_bytes = 0;
  Digest sha256;

  friend bool operator==(const FileEntry&, const FileEntry&) = default;
};

enum class ScopeKind { All, Batch, Site, Customer, Since };

/// "all", "batch", "site", "customer", "since".
[[nodiscard]] std::string_view name_of(ScopeKind kind);

/// Whose batches are shown whole. Of all others a bundle has hashes only, unless it is `All`.
struct Scope {
  ScopeKind kind = ScopeKind::All;
  std::string value = {};  // id in hex, a site's or customer's name, RFC 3339; empty for All

  friend bool operator==(const Scope&, const Scope&) = default;
};

struct Index {
  std::string origin;  // of the log: "keyferry/" and 32 hex digits
  token::Environment environment = token::Environment::Development;
  std::uint64_t log_size = 0;
  Digest root;
  UtcMillis last_leaf;
  Scope scope;
  std::vector<BatchId> batches = {};  // shown whole, sorted
  std::string software_version;       // claimed by the program that wrote it
  Digest software_sha256;             // of that program's file, claimed
  std::vector<FileEntry> files = {};  // sorted by path; all but index.json itself

  friend bool operator==(const Index&, const Index&) = default;
};

/// 1 to kMaxPathChars; parts of `a-z 0-9 . - _`, none of them empty or beginning with a dot, at
/// most ten of them. README.txt is one too.
[[nodiscard]] bool is_bundle_path(std::string_view path);

/// The one JSON text for this index. Error{InvalidArgument} for what parse_index would refuse.
[[nodiscard]] Bytes serialise(const Index& index);

/// Refusals: "index-size", "index-malformed" (no such JSON, or not the one text for its content:
/// names twice, other order, other blanks), "index-version".
[[nodiscard]] std::variant<Index, Refusal> parse_index(ByteView octets);

// --- names of files
[[nodiscard]] std::string checkpoint_path(std::uint64_t size);
/// Shown leaves, kMaxItems (items.h) in each file but the last.
[[nodiscard]] std::string leaves_path(std::uint32_t file);
[[nodiscard]] std::string plan_path(const Digest& digest);
[[nodiscard]] std::string approval_path(const Digest& plan, const KeyId& officer);
[[nodiscard]] std::string batch_path(const BatchId& batch, std::string_view name);
/// "certificates-00000.kfl", "receipts-00000.kfl"
[[nodiscard]] std::string certificates_name(std::uint32_t segment);
[[nodiscard]] std::string receipts_name(std::uint32_t segment);
/// By the hash: names of CAs are people's.
[[nodiscard]] std::string certificate_path(const Digest& sha256);
[[nodiscard]] std::string crl_path(const Digest& sha256);
[[nodiscard]] std::string custody_path(const Digest& statement);
[[nodiscard]] std::string transcript_path(const Digest& transcript);
/// Folder, with its '/', of a station's log.
[[nodiscard]] std::string station_log_path(const StationId& station, std::uint32_t generation);

}  // namespace keyferry::bundle
