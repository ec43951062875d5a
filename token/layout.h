// Names on a token, and what is there. Lower case a-z, 0-9, '-' and '.': the same on vfat, exfat
// and ext4 (media.md).
//
//   keyferry/token.kf                                    SignedBytes of a TokenCard
//   keyferry/card.kf                                     SignedBytes of an ApplianceCard
//   keyferry/revoked.kf                                  SignedBytes of a RevocationList
//   keyferry/custody.kf                                  SignedBytes of the CustodyStatement of its enrolment
//   keyferry/enrol/request-<16 hex>.kf                   SignedBytes of an EnrolmentRequest
//   keyferry/enrol/answer-<32 hex station>.kf            SignedBytes of an EnrolmentAnswer
//   keyferry/batch/<32 hex batch>/manifest.kf            container
//   keyferry/batch/<32 hex batch>/segment-00000.kf       container
//   keyferry/receipts/<32 hex station>-<gen>-<from>-<to>.kf   container
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "token/medium.h"
#include "wrap/base/ids.h"

namespace keyferry::token {

inline constexpr std::string_view kTokenCardName = "keyferry/token.kf";
inline constexpr std::string_view kApplianceCardName = "keyferry/card.kf";
inline constexpr std::string_view kRevocationsName = "keyferry/revoked.kf";
inline constexpr std::string_view kCustodyName = "keyferry/custody.kf";
inline constexpr std::uint32_t kMaxSegmentNameIndex = 99'999;
inline constexpr std::size_t kMaxListedFiles = 65'536;  // of a whole token

struct TokenCardName {
  friend auto operator<=>(const TokenCardName&, const TokenCardName&) = default;
};

struct ApplianceCardName {
  friend auto operator<=>(const ApplianceCardName&, const ApplianceCardName&) = default;
};

struct RevocationsName {
  friend auto operator<=>(const RevocationsName&, const RevocationsName&) = default;
};

struct CustodyName {
  friend auto operator<=>(const CustodyName&, const CustodyName&) = default;
};

struct RequestName {
  std::string hex;  // 16: first 8 octets of SHA-256 over the request's payload
  friend auto operator<=>(const RequestName&, const RequestName&) = default;
};

struct AnswerName {
  StationId station_id;
  friend auto operator<=>(const AnswerName&, const AnswerName&) = default;
};

struct ManifestName {
  BatchId batch_id;
  friend auto operator<=>(const ManifestName&, const ManifestName&) = default;
};

struct SegmentName {
  BatchId batch_id;
  SegmentIndex index;
  friend auto operator<=>(const SegmentName&, const SegmentName&) = default;
};

struct ReceiptsName {
  StationId station_id;
  std::uint32_t generation = 0;
  std::uint64_t from_size = 0;
  std::uint64_t to_size = 0;
  friend auto operator<=>(const ReceiptsName&, const ReceiptsName&) = default;
};

using TokenName = std::variant<TokenCardName,
                               ApplianceCardName,
                               RequestName,
                               AnswerName,
                               ManifestName,
                               SegmentName,
                               ReceiptsName,
                               RevocationsName,
                               CustodyName>;

/// The file's name below the token's root, with '/'.
[[nodiscard]] std::string request_name(const Digest& request_sha256);
[[nodiscard]] std::string answer_name(const StationId& station_id);
[[nodiscard]] std::string manifest_name(const BatchId& batch_id);
/// Error{InvalidArgument} above kMaxSegmentNameIndex.
[[nodiscard]] std::string segment_name(const BatchId& batch_id, SegmentIndex index);
[[nodiscard]] std::string receipts_name(const StationId& station_id,
                                        std::uint32_t generation,
                                        std::uint64_t from_size,
                                        std::uint64_t to_size);

/// Nothing unless `name` is exactly one that the functions above would give.
[[nodiscard]] std::optional<TokenName> parse_name(std::string_view name);

struct TokenFile {
  std::string name;
  TokenName parsed;
  std::uint64_t size_bytes = 0;
};

struct TokenListing {
  std::vector<TokenFile> files;  // ordered by name
  std::vector<std::string>
      strange;  // printable; not ours, symbolic links, devices: shown, never opened. At most 100.
  bool too_many = false;  // more names than kMaxListedFiles: the rest was not looked at
};

/// What lies below `keyferry/`, three levels deep. Our own leftovers of a cut (`*.tmp`) are not
/// strange. An absent folder is an empty listing.
[[nodiscard]] TokenListing list_token(Medium& medium);

}  // namespace keyferry::token
