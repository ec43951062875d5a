// All full subtrees of a Merkle log in one file, so that any leaf is proved from stored hashes and
// no leaf is read again. Derived data: it may be lost and made anew from the leaves, needs no
// fsync, and is not trusted: a proof from it holds when it leads to a signed root. FORMAT.md,
// "Tree file".
#pragma once

#include <cstdint>
#include <vector>

#include "token/audit/merkle.h"
#include "wrap/base/bytes.h"
#include "wrap/base/durable_file.h"
#include "wrap/base/ids.h"

namespace keyferry::audit {

/// Hashes that a tree file of so many leaves holds: 2 * leaves - popcount(leaves).
[[nodiscard]] std::uint64_t stored_hashes(std::uint64_t leaves);

/// Place, counted in hashes, of the root of the `index`-th subtree of 2^level leaves.
[[nodiscard]] std::uint64_t stored_place(unsigned level, std::uint64_t index);

/// Appends to a tree file. Memory: 64 KiB and one hash for each 1 bit of the size.
class TreeFile {
 public:
  /// `file`: opened for reading and writing, empty or a tree file; must outlive this. What a cut
  /// left of a leaf that was not written whole is written over. Error{Storage} when it cannot be
  /// read.
  explicit TreeFile(const Fd& file);

  [[nodiscard]] std::uint64_t size() const { return frontier_.size(); }

  [[nodiscard]] Digest root() const { return frontier_.root(); }

  /// Nothing of it is in the file before flush(). Error{Storage} when it cannot be written.
  void append(const Digest& leaf_hash);

  void flush();

 private:
  const Fd& file_;
  Frontier frontier_;
  std::vector<Digest> nodes_;  // of one append
  Bytes waiting_;
  std::uint64_t written_bytes_ = 0;
};

/// Proofs for the first `size` leaves of a tree file. Memory: 511 hashes, whatever the size; leaves
/// that are proved in order cost one read for 256 of them. The file may grow meanwhile.
class TreeProver {
 public:
  /// Error{InvalidArgument} when the file has fewer leaves, Error{Storage} when it cannot be read.
  /// `file` must outlive this.
  TreeProver(const Fd& file, std::uint64_t size);

  [[nodiscard]] std::uint64_t size() const { return size_; }

  [[nodiscard]] Digest root() const;

  /// RFC 9162 2.1.3.1 into `proof`, whose room is used again. Error{InvalidArgument} unless index <
  /// size.
  void inclusion(std::uint64_t index, Proof& proof);

 private:
  /// A full subtree of the size's binary form.
  struct Subtree {
    std::uint64_t first = 0;  // leaf
    unsigned level = 0;
    Digest root;
    Digest from_here;  // root over `first` to the end
  };

  [[nodiscard]] Digest stored(unsigned level, std::uint64_t index) const;
  void load_tile(std::uint64_t tile);
  void load_upper(std::uint64_t index, std::size_t subtree);

  const Fd& file_;
  std::uint64_t size_;
  std::vector<Subtree> subtrees_;  // largest, leftmost first
  std::vector<Digest> tile_hashes_;
  std::uint64_t tile_;         // loaded; all ones: none
  std::size_t upper_subtree_;  // upper_ is for tile_ and this
  Proof upper_;                // path above the tile, the same for all of its leaves in one subtree
};

}  // namespace keyferry::audit
