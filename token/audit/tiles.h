// Tiles of a Merkle log on disk, as C2SP tlog-tiles has them: `tile/L/N` holds the roots of 256^L
// leaves, 256 in a row, `tile/entries/N` the leaves themselves. FORMAT.md, "Tiles".
//
// A tile proves nothing by itself: what is read is worth something when it leads to a signed root.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "token/audit/merkle.h"
#include "wrap/base/bytes.h"
#include "wrap/base/error.h"
#include "wrap/base/ids.h"

namespace keyferry::audit {

inline constexpr unsigned kTileHeight = 8;
inline constexpr std::size_t kTileWidth = 256;
inline constexpr unsigned kTileLevels = 8;  ///< 256^8 leaves: no log is longer than 2^64 - 1
inline constexpr std::size_t kMaxTileBytes = kTileWidth * Digest::kSizeBytes;
inline constexpr std::size_t kMaxEntryBytes = 65'535;  ///< of one leaf: its length is a u16be
inline constexpr std::size_t kMaxEntryBundleBytes = kTileWidth * (2 + kMaxEntryBytes);

/// "tile/1/x001/234", "tile/0/000.p/70". width: 1 to 256; 256 is a full tile.
/// Error{InvalidArgument} for a level or width that no tile has.
[[nodiscard]] std::string tile_path(unsigned level, std::uint64_t index, std::size_t width);
/// The same for "tile/entries/...".
[[nodiscard]] std::string entry_bundle_path(std::uint64_t index, std::size_t width);

/// Hashes of a tile of a log of `size` leaves; 0: there is no such tile.
[[nodiscard]] std::size_t tile_width(unsigned level, std::uint64_t index, std::uint64_t size);

/// The leaves of a bundle, as views into it. Refusal "entries-malformed" unless there are exactly
/// `count` and nothing behind them.
[[nodiscard]] std::variant<std::vector<ByteView>, Refusal> parse_entry_bundle(ByteView octets,
                                                                              std::size_t count);

/// The hashes of a tile. Refusal "tile-size" unless there are exactly `width`.
[[nodiscard]] std::variant<std::vector<Digest>, Refusal> parse_tile(ByteView octets,
                                                                    std::size_t width);

/// Makes the tiles of a log from its leaves, in order. Memory: one tile a level and one entry
/// bundle, whatever the size.
class TileMaker {
 public:
  /// A tile, or an entry bundle, that is complete: full ones as soon as they are, partial ones in
  /// finish().
  using Sink = std::function<void(const std::string& path, ByteView octets)>;
  enum class Entries { Made, LeftOut };  ///< without them a log shows hashes only

  TileMaker(Sink sink, Entries entries) : sink_{std::move(sink)}, entries_{entries} {}

  /// Error{InvalidArgument} for a leaf longer than kMaxEntryBytes where entries are made.
  void append(ByteView leaf);
  /// Error{InvalidArgument} where entries are made.
  void append_hash(const Digest& leaf_hash);
  void finish();

  [[nodiscard]] std::uint64_t size() const { return frontier_.size(); }

  [[nodiscard]] Digest root() const { return frontier_.root(); }

 private:
  void add(const Digest& hash);
  void put_tile(unsigned level, std::uint64_t index);

  Sink sink_;
  Entries entries_;
  Frontier frontier_;
  std::array<std::vector<Digest>, kTileLevels> open_;
  Bytes bundle_;
};

/// Proofs out of tiles. Memory: one tile a level.
class TileReader {
 public:
  /// Octets of a tile by its path, or why there are none.
  using Source = std::function<std::variant<Bytes, Refusal>(const std::string& path)>;

  /// For the first `size` leaves; the tiles may be those of exactly this size.
  TileReader(Source source, std::uint64_t size) : source_{std::move(source)}, size_{size} {}

  [[nodiscard]] std::uint64_t size() const { return size_; }

  // Refusals of all: those of the source, and "tile-size".

  /// Of the first `size` leaves; Error{InvalidArgument} when there are fewer.
  [[nodiscard]] std::variant<Digest, Refusal> root(std::uint64_t size);

  /// Hash of one leaf; Error{InvalidArgument} unless index < size().
  [[nodiscard]] std::variant<Digest, Refusal> leaf(std::uint64_t index);

  /// RFC 9162 2.1.3.1 in the tree of the first `size` leaves. Error{InvalidArgument} unless index <
  /// size <= size().
  [[nodiscard]] std::variant<Proof, Refusal> inclusion(std::uint64_t index, std::uint64_t size);

  /// RFC 9162 2.1.4.1. Error{InvalidArgument} unless first <= second <= size().
  [[nodiscard]] std::variant<Proof, Refusal> consistency(std::uint64_t first, std::uint64_t second);

 private:
  struct Loaded {
    std::uint64_t index = 0;
    std::vector<Digest> hashes;
  };

  /// Nothing when a tile could not be had: refusal_ says why, and no more is read.
  std::optional<Digest> range(std::uint64_t from, std::uint64_t to);
  std::optional<Digest> subtree(unsigned level, std::uint64_t index);
  const std::vector<Digest>* tile(unsigned level, std::uint64_t index);
  void path_to(std::uint64_t index, std::uint64_t from, std::uint64_t to, Proof& proof);
  void subproof(
      std::uint64_t first, std::uint64_t from, std::uint64_t to, bool whole, Proof& proof);

  Source source_;
  std::uint64_t size_;
  std::array<std::optional<Loaded>, kTileLevels> loaded_;
  std::optional<Refusal> refusal_;
};

}  // namespace keyferry::audit
