#include "token/audit/tree_file.h"

#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <limits>

#include "wrap/base/error.h"

namespace keyferry::audit {
namespace {

constexpr std::size_t kHash = Digest::kSizeBytes;
constexpr std::size_t kWaitingBytes = 64U << 10;
constexpr unsigned kTileLevel = 8;
constexpr std::uint64_t kTileLeaves = std::uint64_t{1} << kTileLevel;
constexpr std::uint64_t kNone = std::numeric_limits<std::uint64_t>::max();
/// Their hashes fit below the largest file offset; no log comes near.
constexpr std::uint64_t kMaxLeaves = std::uint64_t{1} << 56;

std::uint64_t popcount(std::uint64_t value) {
  return static_cast<std::uint64_t>(std::popcount(value));
}

/// Most leaves whose hashes are all among the first `hashes`.
std::uint64_t leaves_in(std::uint64_t hashes) {
  std::uint64_t low = 0, high = std::min(hashes, kMaxLeaves);
  while (low < high) {
    const std::uint64_t middle = low + (high - low + 1) / 2;
    if (stored_hashes(middle) <= hashes) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

std::vector<Digest> read_hashes(const Fd& file, std::uint64_t place, std::size_t count) {
  Bytes octets(count * kHash);
  if (!read_exactly_at(file, place * kHash, octets)) {
    throw Error{Code::Storage,
                "the tree file is shorter than its log",
                "remove it: it is made anew from the log"};
  }
  std::vector<Digest> hashes;
  hashes.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    hashes.push_back(*Digest::from_bytes(ByteView{octets}.subspan(i * kHash, kHash)));
  }
  return hashes;
}

void write_at(const Fd& file, std::uint64_t offset, ByteView octets) {
  while (!octets.empty()) {
    const ssize_t done =
        pwrite(file.get(), octets.data(), octets.size(), static_cast<off_t>(offset));
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) throw system_error(Code::Storage, "write the tree file", done < 0 ? errno : EIO);
    octets = octets.subspan(static_cast<std::size_t>(done));
    offset += static_cast<std::uint64_t>(done);
  }
}

}  // namespace

std::uint64_t stored_hashes(std::uint64_t leaves) {
  return 2 * leaves - popcount(leaves);
}

std::uint64_t stored_place(unsigned level, std::uint64_t index) {
  // After the last leaf below it come the roots that this leaf completes, lowest first.
  const std::uint64_t last_leaf = ((index + 1) << level) - 1;
  return stored_hashes(last_leaf) + level;
}

TreeFile::TreeFile(const Fd& file) : file_{file} {
  waiting_.reserve(kWaitingBytes);
  const std::uint64_t size = leaves_in(file_size_bytes(file) / kHash);
  written_bytes_ = stored_hashes(size) * kHash;
  Bytes frontier;
  append_u64be(frontier, size);
  for (std::uint64_t first = 0; first < size;) {
    const auto level = static_cast<unsigned>(std::bit_width(size - first) - 1);
    const Digest root = read_hashes(file, stored_place(level, first >> level), 1).front();
    keyferry::append(frontier, root.bytes());
    first += std::uint64_t{1} << level;
  }
  frontier_ = *Frontier::parse(frontier);
}

void TreeFile::append(const Digest& leaf_hash) {
  if (size() == kMaxLeaves) throw Error{Code::InvalidArgument, "a tree file of 2^56 leaves"};
  nodes_.clear();
  frontier_.append(leaf_hash, nodes_);
  for (const Digest& node : nodes_) keyferry::append(waiting_, node.bytes());
  if (waiting_.size() >= kWaitingBytes) flush();
}

void TreeFile::flush() {
  write_at(file_, written_bytes_, waiting_);
  written_bytes_ += waiting_.size();
  waiting_.clear();
}

TreeProver::TreeProver(const Fd& file, std::uint64_t size)
    : file_{file}, size_{size}, tile_{kNone}, upper_subtree_{0} {
  if (leaves_in(file_size_bytes(file) / kHash) < size) {
    throw Error{Code::InvalidArgument, "tree prover: the file has fewer leaves"};
  }
  for (std::uint64_t first = 0; first < size;) {
    const auto level = static_cast<unsigned>(std::bit_width(size - first) - 1);
    subtrees_.push_back({first, level, stored(level, first >> level), {}});
    first += std::uint64_t{1} << level;
  }
  for (std::size_t i = subtrees_.size(); i-- > 0;) {
    subtrees_[i].from_here = i + 1 == subtrees_.size()
                                 ? subtrees_[i].root
                                 : node_hash(subtrees_[i].root, subtrees_[i + 1].from_here);
  }
}

Digest TreeProver::root() const {
  return subtrees_.empty() ? empty_root() : subtrees_.front().from_here;
}

Digest TreeProver::stored(unsigned level, std::uint64_t index) const {
  return read_hashes(file_, stored_place(level, index), 1).front();
}

void TreeProver::load_tile(std::uint64_t tile) {
  const std::uint64_t first = tile * kTileLeaves;
  const std::uint64_t last = std::min(size_, first + kTileLeaves);
  // The root of a whole tile is not in it: it is a node of the levels above.
  const std::uint64_t count =
      std::min(stored_hashes(last) - stored_hashes(first), 2 * kTileLeaves - 2);
  tile_ = kNone;
  tile_hashes_ = read_hashes(file_, stored_hashes(first), static_cast<std::size_t>(count));
  tile_ = tile;
}

void TreeProver::load_upper(std::uint64_t index, std::size_t subtree) {
  upper_.clear();
  for (unsigned level = kTileLevel; level < subtrees_[subtree].level; ++level) {
    upper_.push_back(stored(level, (index >> level) ^ 1U));
  }
  if (subtree + 1 < subtrees_.size()) upper_.push_back(subtrees_[subtree + 1].from_here);
  for (std::size_t i = subtree; i-- > 0;) upper_.push_back(subtrees_[i].root);
  upper_subtree_ = subtree;
}

void TreeProver::inclusion(std::uint64_t index, Proof& proof) {
  if (index >= size_)
    throw Error{Code::InvalidArgument, "inclusion proof: no leaf of that index"};
  // The first bit in which index and size differ is the subtree's.
  const auto level = static_cast<unsigned>(std::bit_width(index ^ size_) - 1);
  const std::size_t subtree = static_cast<std::size_t>(popcount(size_ >> level)) - 1;
  if (const std::uint64_t tile = index / kTileLeaves; tile != tile_) {
    load_tile(tile);
    load_upper(index, subtree);
  } else if (subtree != upper_subtree_) {
    load_upper(index, subtree);
  }
  const unsigned in_tile = std::min(level, kTileLevel);
  const std::uint64_t leaf = index % kTileLeaves;
  proof.resize(in_tile + upper_.size());
  for (unsigned i = 0; i < in_tile; ++i) {
    proof[i] = tile_hashes_[static_cast<std::size_t>(stored_place(i, (leaf >> i) ^ 1U))];
  }
  std::ranges::copy(upper_, proof.begin() + in_tile);
}

}  // namespace keyferry::audit
