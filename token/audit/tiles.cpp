#include "token/audit/tiles.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

namespace keyferry::audit {
namespace {

/// tlog-tiles: groups of three digits, all but the last with an "x" before them.
std::string index_path(std::uint64_t index) {
  std::string path = fmt::format("{:03}", index % 1000);
  while ((index /= 1000) > 0) path = fmt::format("x{:03}/", index % 1000) + path;
  return path;
}

std::string with_width(std::string path, std::size_t width) {
  if (width == 0 || width > kTileWidth)
    throw Error{Code::InvalidArgument, "a tile has 1 to 256 hashes"};
  return width == kTileWidth ? path : fmt::format("{}.p/{}", path, width);
}

/// k of RFC 9162 section 2.1.1: the largest power of two below n. n > 1.
std::uint64_t split_point(std::uint64_t n) {
  return std::bit_floor(n - 1);
}

}  // namespace

std::string tile_path(unsigned level, std::uint64_t index, std::size_t width) {
  if (level >= kTileLevels) throw Error{Code::InvalidArgument, "no tile is of that level"};
  return with_width(fmt::format("tile/{}/{}", level, index_path(index)), width);
}

std::string entry_bundle_path(std::uint64_t index, std::size_t width) {
  return with_width("tile/entries/" + index_path(index), width);
}

std::size_t tile_width(unsigned level, std::uint64_t index, std::uint64_t size) {
  if (level >= kTileLevels) return 0;
  const std::uint64_t hashes = size >> (kTileHeight * level);
  if (index >= (hashes + kTileWidth - 1) / kTileWidth) return 0;
  return static_cast<std::size_t>(std::min<std::uint64_t>(hashes - index * kTileWidth, kTileWidth));
}

std::variant<std::vector<ByteView>, Refusal> parse_entry_bundle(ByteView octets,
                                                                std::size_t count) {
  const auto malformed = [](std::string what) {
    return Refusal{"entries-malformed", "the entry bundle is malformed: " + std::move(what)};
  };
  std::vector<ByteView> leaves;
  leaves.reserve(std::min(count, kTileWidth));
  while (!octets.empty()) {
    if (leaves.size() == count) return malformed("more leaves than the log has there");
    if (octets.size() < 2) return malformed("it ends inside a length");
    const std::size_t length = std::size_t{octets[0]} << 8U | octets[1];
    octets = octets.subspan(2);
    if (length > octets.size()) return malformed("it ends inside a leaf");
    leaves.push_back(octets.first(length));
    octets = octets.subspan(length);
  }
  if (leaves.size() < count) return malformed("fewer leaves than the log has there");
  return leaves;
}

std::variant<std::vector<Digest>, Refusal> parse_tile(ByteView octets, std::size_t width) {
  if (octets.size() != width * Digest::kSizeBytes) {
    return Refusal{"tile-size",
                   fmt::format("the tile has {} octets and should have {}",
                               octets.size(),
                               width * Digest::kSizeBytes)};
  }
  std::vector<Digest> hashes;
  hashes.reserve(width);
  for (std::size_t i = 0; i < width; ++i) {
    hashes.push_back(
        *Digest::from_bytes(octets.subspan(i * Digest::kSizeBytes, Digest::kSizeBytes)));
  }
  return hashes;
}

void TileMaker::append(ByteView leaf) {
  if (entries_ == Entries::Made) {
    if (leaf.size() > kMaxEntryBytes) {
      throw Error{Code::InvalidArgument,
                  fmt::format("leaf {} has {} octets: an entry bundle holds leaves of at most {}",
                              size(),
                              leaf.size(),
                              kMaxEntryBytes)};
    }
    append_u16be(bundle_, static_cast<std::uint16_t>(leaf.size()));
    keyferry::append(bundle_, leaf);
  }
  add(leaf_hash(leaf));
}

void TileMaker::append_hash(const Digest& leaf_hash) {
  if (entries_ == Entries::Made)
    throw Error{Code::InvalidArgument, "entry bundles are made from leaves, not from their hashes"};
  add(leaf_hash);
}

void TileMaker::add(const Digest& hash) {
  frontier_.append(hash);
  open_[0].push_back(hash);
  for (unsigned level = 0; level < kTileLevels && open_[level].size() == kTileWidth; ++level) {
    const std::uint64_t index = (size() >> (kTileHeight * (level + 1))) - 1;
    if (level == 0 && entries_ == Entries::Made) {
      sink_(entry_bundle_path(index, kTileWidth), bundle_);
      bundle_.clear();
    }
    put_tile(level, index);
    if (level + 1 < kTileLevels) open_[level + 1].push_back(tree_root(open_[level]));
    open_[level].clear();
  }
}

void TileMaker::finish() {
  for (unsigned level = 0; level < kTileLevels; ++level) {
    if (open_[level].empty()) continue;
    const std::uint64_t index = (size() >> (kTileHeight * level)) / kTileWidth;
    if (level == 0 && entries_ == Entries::Made)
      sink_(entry_bundle_path(index, open_[level].size()), bundle_);
    put_tile(level, index);
  }
}

void TileMaker::put_tile(unsigned level, std::uint64_t index) {
  Bytes octets;
  octets.reserve(kMaxTileBytes);
  for (const Digest& hash : open_[level]) keyferry::append(octets, hash.bytes());
  sink_(tile_path(level, index, open_[level].size()), octets);
}

std::variant<Digest, Refusal> TileReader::root(std::uint64_t size) {
  if (size > size_) throw Error{Code::InvalidArgument, "tiles: the log has fewer leaves"};
  const auto hash = range(0, size);
  if (!hash) return *refusal_;
  return *hash;
}

std::variant<Digest, Refusal> TileReader::leaf(std::uint64_t index) {
  if (index >= size_) throw Error{Code::InvalidArgument, "tiles: no leaf of that index"};
  const auto hash = subtree(0, index);
  if (!hash) return *refusal_;
  return *hash;
}

std::variant<Proof, Refusal> TileReader::inclusion(std::uint64_t index, std::uint64_t size) {
  if (index >= size || size > size_)
    throw Error{Code::InvalidArgument, "tiles: no leaf of that index"};
  Proof proof;
  path_to(index, 0, size, proof);
  if (refusal_) return *refusal_;
  return proof;
}

std::variant<Proof, Refusal> TileReader::consistency(std::uint64_t first, std::uint64_t second) {
  if (first > second || second > size_)
    throw Error{Code::InvalidArgument, "tiles: the log has fewer leaves"};
  Proof proof;
  if (first > 0 && first < second) subproof(first, 0, second, true, proof);
  if (refusal_) return *refusal_;
  return proof;
}

// PATH(m, D[from:to]) of RFC 9162 2.1.3.1.
void TileReader::path_to(std::uint64_t index, std::uint64_t from, std::uint64_t to, Proof& proof) {
  if (to - from == 1 || refusal_) return;
  const std::uint64_t middle = from + split_point(to - from);
  const bool left = index < middle;
  path_to(index, left ? from : middle, left ? middle : to, proof);
  if (const auto hash = left ? range(middle, to) : range(from, middle)) proof.push_back(*hash);
}

// SUBPROOF(m, D[from:to], b) of RFC 9162 2.1.4.1; `first` counts from the log's beginning.
void TileReader::subproof(
    std::uint64_t first, std::uint64_t from, std::uint64_t to, bool whole, Proof& proof) {
  if (refusal_) return;
  if (first == to) {
    if (whole) return;
    if (const auto hash = range(from, to)) proof.push_back(*hash);
    return;
  }
  const std::uint64_t middle = from + split_point(to - from);
  const bool left = first <= middle;
  subproof(first, left ? from : middle, left ? middle : to, whole && left, proof);
  if (const auto hash = left ? range(middle, to) : range(from, middle)) proof.push_back(*hash);
}

// `from` is where RFC 6962 splits: a multiple of the smallest power of two that is not below
// to - from. So a range of a power of two is one subtree.
std::optional<Digest> TileReader::range(std::uint64_t from, std::uint64_t to) {
  if (from == to) return empty_root();
  const std::uint64_t count = to - from;
  if (std::has_single_bit(count)) {
    const auto level = static_cast<unsigned>(std::bit_width(count) - 1);
    return subtree(level, from >> level);
  }
  const std::uint64_t middle = from + split_point(count);
  const auto left = range(from, middle);
  const auto right = left ? range(middle, to) : std::nullopt;
  if (!right) return std::nullopt;
  return node_hash(*left, *right);
}

std::optional<Digest> TileReader::subtree(unsigned level, std::uint64_t index) {
  const unsigned height = level % kTileHeight;
  const std::uint64_t first = index << height;
  const auto* hashes = tile(level / kTileHeight, first / kTileWidth);
  if (hashes == nullptr) return std::nullopt;
  return tree_root(std::span{*hashes}.subspan(static_cast<std::size_t>(first % kTileWidth),
                                              std::size_t{1} << height));
}

const std::vector<Digest>* TileReader::tile(unsigned level, std::uint64_t index) {
  if (refusal_) return nullptr;
  auto& loaded = loaded_.at(level);
  if (!loaded || loaded->index != index) {
    const std::size_t width = tile_width(level, index, size_);
    const auto octets = source_(tile_path(level, index, width));
    if (const auto* refusal = std::get_if<Refusal>(&octets)) {
      refusal_ = *refusal;
      return nullptr;
    }
    auto hashes = parse_tile(std::get<Bytes>(octets), width);
    if (const auto* refusal = std::get_if<Refusal>(&hashes)) {
      refusal_ = *refusal;
      return nullptr;
    }
    loaded = Loaded{index, std::get<std::vector<Digest>>(std::move(hashes))};
  }
  return &loaded->hashes;
}

}  // namespace keyferry::audit
