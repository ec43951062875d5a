// Types that cannot be mixed up: ids of fixed width, serials, numbers.
#pragma once

#include <algorithm>
#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>

#include "wrap/base/bytes.h"

namespace keyferry {

/// An id of exactly N octets. Two ids with different tags do not convert into each other.
template <typename Tag, std::size_t N>
class BytesId {
 public:
  static constexpr std::size_t kSizeBytes = N;

  BytesId() = default;

  /// Nothing unless `raw` has the one length this id has. Parsing is the only way in.
  [[nodiscard]] static std::optional<BytesId> from_bytes(ByteView raw) {
    if (raw.size() != N) return std::nullopt;
    BytesId id;
    std::copy(raw.begin(), raw.end(), id.raw_.begin());
    return id;
  }

  [[nodiscard]] static std::optional<BytesId> from_hex(std::string_view hex) {
    const auto raw = keyferry::from_hex(hex);
    return raw ? from_bytes(*raw) : std::nullopt;
  }

  [[nodiscard]] ByteView bytes() const { return raw_; }

  [[nodiscard]] std::string hex() const { return to_hex(raw_); }

  [[nodiscard]] std::string str() const { return to_string(raw_); }  ///< for protobuf `bytes` fields

  friend auto operator<=>(const BytesId&, const BytesId&) = default;

 private:
  std::array<std::uint8_t, N> raw_{};
};

using BatchId = BytesId<struct BatchIdTag, 16>;          // first 16 octets of the plan digest
using ContainerId = BytesId<struct ContainerIdTag, 16>;  // random
using StationId = BytesId<struct StationIdTag, 16>;      // first 16 octets of SHA-256 of the station's signing SPKI
using TokenId = BytesId<struct TokenIdTag, 16>;          // random, given by the appliance
using Digest = BytesId<struct DigestTag, 32>;            // SHA-256
using KeyId = BytesId<struct KeyIdTag, 32>;              // SHA-256 of a DER SubjectPublicKeyInfo
using ApplianceId = BytesId<struct ApplianceIdTag, 32>;  // SHA-256 of kf-log's DER SubjectPublicKeyInfo

/// A number with a name of its own.
template <typename Tag, typename Value>
struct Number {
  Value value = 0;
  friend auto operator<=>(const Number&, const Number&) = default;
};

using RecordNo = Number<struct RecordNoTag, std::uint32_t>;          // index in the plan's SE list, from 0
using SegmentIndex = Number<struct SegmentIndexTag, std::uint32_t>;  // from 0
using LaneNo = Number<struct LaneNoTag, std::uint32_t>;

/// Serial of an SE, whole and as the family normalises it: 1 to 64 octets.
class SeSerial {
 public:
  static constexpr std::size_t kMaxSizeBytes = 64;

  [[nodiscard]] static std::optional<SeSerial> from_bytes(ByteView raw) {
    if (raw.empty() || raw.size() > kMaxSizeBytes) return std::nullopt;
    SeSerial serial;
    serial.raw_ = to_bytes(raw);
    return serial;
  }

  [[nodiscard]] static std::optional<SeSerial> from_hex(std::string_view hex) {
    const auto raw = keyferry::from_hex(hex);
    return raw ? from_bytes(*raw) : std::nullopt;
  }

  [[nodiscard]] ByteView bytes() const { return raw_; }

  [[nodiscard]] std::string hex() const { return to_hex(raw_); }

  friend auto operator<=>(const SeSerial&, const SeSerial&) = default;

 private:
  SeSerial() = default;
  Bytes raw_;
};

}  // namespace keyferry
