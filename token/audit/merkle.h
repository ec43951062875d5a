// Merkle trees of RFC 6962 section 2 / RFC 9162 section 2.1 over SHA-256: the log, and the SE list
// of a plan. Functions take leaf *hashes* (32 octets each), never leaves, except leaf_hash itself.
// See FORMAT.md.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "wrap/base/bytes.h"
#include "wrap/base/ids.h"

namespace keyferry::audit {

using Proof =
    std::vector<Digest>;  ///< audit or consistency path, as RFC 9162 orders it; at most 65 hashes

/// SHA-256(0x00 || leaf).
[[nodiscard]] Digest leaf_hash(ByteView leaf);

/// SHA-256(0x01 || left || right).
[[nodiscard]] Digest node_hash(const Digest& left, const Digest& right);

/// Root of no leaves: SHA-256 of nothing.
[[nodiscard]] Digest empty_root();

/// What must be kept of a log to go on appending: its size and the roots of its full subtrees,
/// largest (leftmost) first: one hash for each 1 bit of the size, so at most 64.
class Frontier {
 public:
  Frontier() = default;

  [[nodiscard]] std::uint64_t size() const { return size_; }

  [[nodiscard]] std::span<const Digest> hashes() const { return hashes_; }

  /// Error{InvalidArgument} beyond 2^64 - 1 leaves.
  void append(const Digest& leaf_hash);
  void append(std::span<const Digest> leaf_hashes);

  /// The same, and adds the leaf hash and the root of each subtree that it completes to `nodes`,
  /// lowest first.
  void append(const Digest& leaf_hash, std::vector<Digest>& nodes);

  /// O(log size).
  [[nodiscard]] Digest root() const;

  /// u64be size, then the hashes: 8 + 32 * popcount(size) octets.
  [[nodiscard]] Bytes serialise() const;

  /// Nothing unless the length is exactly the one that the size asks for.
  [[nodiscard]] static std::optional<Frontier> parse(ByteView bytes);

  friend bool operator==(const Frontier&, const Frontier&) = default;

 private:
  void append_to(const Digest& leaf_hash, std::vector<Digest>* nodes);

  std::uint64_t size_ = 0;
  std::vector<Digest> hashes_;
};

/// Root over all leaf hashes; O(n) time, O(log n) memory.
[[nodiscard]] Digest tree_root(std::span<const Digest> leaf_hashes);

/// RFC 9162 2.1.3.1. Error{InvalidArgument} unless index < leaf_hashes.size(). O(n).
[[nodiscard]] Proof inclusion_proof(std::span<const Digest> leaf_hashes, std::uint64_t index);

/// RFC 9162 2.1.3.2: false for anything but the exact path.
[[nodiscard]] bool verify_inclusion(const Digest& leaf_hash,
                                    std::uint64_t index,
                                    std::uint64_t size,
                                    std::span<const Digest> proof,
                                    const Digest& root);

/// RFC 9162 2.1.4.1 from the first `first` leaves to all. Empty for first = 0 and for first = all.
/// Error{InvalidArgument} when first is more than there are. O(n).
[[nodiscard]] Proof consistency_proof(std::span<const Digest> leaf_hashes, std::uint64_t first);

/// RFC 9162 2.1.4.2. Sizes that are equal: true for equal roots and no proof. first = 0: true if
/// first_root is the empty root and there is no proof, since every log extends the empty one. first
/// > second: false.
[[nodiscard]] bool verify_consistency(std::uint64_t first,
                                      std::uint64_t second,
                                      const Digest& first_root,
                                      const Digest& second_root,
                                      std::span<const Digest> proof);

// --- aligned blocks
// --------------------------------------------------------------------------------------------------
// Leaves in blocks of a power of two; the last may be shorter. Each block is a node of the RFC 6962
// tree over all leaves, and the part of the tree above the blocks has the shape of a tree with the
// blocks as leaves. So a block's path is the inclusion path among block roots. A reader computes
// the block's root from the entries themselves and must know the total, which tells how long the
// block is (block_length).

/// ceil(total / block_size). Error{InvalidArgument} unless block_size is a power of two.
[[nodiscard]] std::uint64_t block_count(std::uint64_t total, std::uint64_t block_size);

/// Leaves in that block: block_size, fewer in the last. Error{InvalidArgument} unless block_index <
/// block_count.
[[nodiscard]] std::uint64_t block_length(std::uint64_t block_index,
                                         std::uint64_t block_size,
                                         std::uint64_t total);

/// Roots of all blocks.
[[nodiscard]] std::vector<Digest> block_roots(std::span<const Digest> leaf_hashes,
                                              std::uint64_t block_size);

/// Path of one block. `roots`: block_roots of all `total` leaves; Error{InvalidArgument} when their
/// number does not fit, or the index.
[[nodiscard]] Proof subtree_path(std::span<const Digest> roots,
                                 std::uint64_t block_index,
                                 std::uint64_t block_size,
                                 std::uint64_t total);

/// False for anything but the exact path, and for a block_size that is no power of two.
[[nodiscard]] bool verify_subtree(const Digest& block_root,
                                  std::uint64_t block_index,
                                  std::uint64_t block_size,
                                  std::uint64_t total,
                                  std::span<const Digest> path,
                                  const Digest& root);

}  // namespace keyferry::audit
