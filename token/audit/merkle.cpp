#include "token/audit/merkle.h"

#include <algorithm>
#include <array>
#include <bit>
#include <limits>

#include "wrap/base/error.h"
#include "wrap/crypto/hash.h"

namespace keyferry::audit {
namespace {

constexpr std::uint8_t kLeafPrefix = 0x00;  // RFC 6962 2.1
constexpr std::uint8_t kNodePrefix = 0x01;
constexpr std::size_t kHash = Digest::kSizeBytes;

/// Largest power of two smaller than n; n >= 2.
std::uint64_t split_point(std::uint64_t n) {
  return std::bit_floor(n - 1);
}

std::span<const Digest> checked_blocks(std::span<const Digest> roots,
                                       std::uint64_t block_size,
                                       std::uint64_t total) {
  if (block_count(total, block_size) != roots.size()) {
    throw Error{Code::InvalidArgument,
                "subtree path: the number of block roots does not fit the total"};
  }
  return roots;
}

}  // namespace

Digest leaf_hash(ByteView leaf) {
  constexpr std::uint8_t kPrefix[] = {kLeafPrefix};
  return crypto::sha256_of({kPrefix, leaf});
}

Digest node_hash(const Digest& left, const Digest& right) {
  std::array<std::uint8_t, 1 + 2 * kHash> octets{kNodePrefix};
  std::ranges::copy(left.bytes(), octets.begin() + 1);
  std::ranges::copy(right.bytes(), octets.begin() + 1 + kHash);
  return crypto::sha256(octets);
}

Digest empty_root() {
  return crypto::sha256({});
}

void Frontier::append(const Digest& leaf_hash) {
  append_to(leaf_hash, nullptr);
}

void Frontier::append(const Digest& leaf_hash, std::vector<Digest>& nodes) {
  append_to(leaf_hash, &nodes);
}

void Frontier::append_to(const Digest& leaf_hash, std::vector<Digest>* nodes) {
  if (size_ == std::numeric_limits<std::uint64_t>::max()) {
    throw Error{Code::InvalidArgument, "a Merkle tree of more than 2^64 - 1 leaves"};
  }
  Digest hash = leaf_hash;
  if (nodes != nullptr) nodes->push_back(hash);
  // Each trailing 1 bit of the size is a full subtree that the new leaf completes to the next power
  // of two.
  for (std::uint64_t bits = size_; (bits & 1U) != 0; bits >>= 1) {
    hash = node_hash(hashes_.back(), hash);
    hashes_.pop_back();
    if (nodes != nullptr) nodes->push_back(hash);
  }
  hashes_.push_back(hash);
  ++size_;
}

void Frontier::append(std::span<const Digest> leaf_hashes) {
  for (const Digest& hash : leaf_hashes) append(hash);
}

Digest Frontier::root() const {
  if (hashes_.empty()) return empty_root();
  Digest root = hashes_.back();
  for (std::size_t i = hashes_.size() - 1; i-- > 0;) root = node_hash(hashes_[i], root);
  return root;
}

Bytes Frontier::serialise() const {
  Bytes out;
  out.reserve(sizeof size_ + hashes_.size() * kHash);
  append_u64be(out, size_);
  for (const Digest& hash : hashes_) keyferry::append(out, hash.bytes());
  return out;
}

std::optional<Frontier> Frontier::parse(ByteView bytes) {
  if (bytes.size() < sizeof size_) return std::nullopt;
  Frontier frontier;
  frontier.size_ = read_u64be(bytes);
  const ByteView hashes = bytes.subspan(sizeof size_);
  const auto count = static_cast<std::size_t>(std::popcount(frontier.size_));
  if (hashes.size() != count * kHash) return std::nullopt;
  frontier.hashes_.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    frontier.hashes_.push_back(*Digest::from_bytes(hashes.subspan(i * kHash, kHash)));
  }
  return frontier;
}

Digest tree_root(std::span<const Digest> leaf_hashes) {
  Frontier frontier;
  frontier.append(leaf_hashes);
  return frontier.root();
}

Proof inclusion_proof(std::span<const Digest> leaf_hashes, std::uint64_t index) {
  if (index >= leaf_hashes.size()) {
    throw Error{Code::InvalidArgument, "inclusion proof: no leaf of that index"};
  }
  // RFC 9162 2.1.3.1 from the root down; the path is written from the leaf up.
  Proof proof;
  while (leaf_hashes.size() > 1) {
    const std::uint64_t split = split_point(leaf_hashes.size());
    if (index < split) {
      proof.push_back(tree_root(leaf_hashes.subspan(split)));
      leaf_hashes = leaf_hashes.first(split);
    } else {
      proof.push_back(tree_root(leaf_hashes.first(split)));
      leaf_hashes = leaf_hashes.subspan(split);
      index -= split;
    }
  }
  std::ranges::reverse(proof);
  return proof;
}

bool verify_inclusion(const Digest& leaf_hash,
                      std::uint64_t index,
                      std::uint64_t size,
                      std::span<const Digest> proof,
                      const Digest& root) {
  // RFC 9162 2.1.3.2, step by step.
  if (index >= size) return false;  // 1
  std::uint64_t fn = index;         // 2
  std::uint64_t sn = size - 1;
  Digest r = leaf_hash;            // 3
  for (const Digest& p : proof) {  // 4
    if (sn == 0) return false;
    if ((fn & 1U) != 0 || fn == sn) {
      r = node_hash(p, r);
      while ((fn & 1U) == 0 && fn != 0) {
        fn >>= 1;
        sn >>= 1;
      }
    } else {
      r = node_hash(r, p);
    }
    fn >>= 1;
    sn >>= 1;
  }
  return sn == 0 && r == root;  // 5
}

Proof consistency_proof(std::span<const Digest> leaf_hashes, std::uint64_t first) {
  if (first > leaf_hashes.size()) {
    throw Error{Code::InvalidArgument, "consistency proof: the earlier tree is larger"};
  }
  Proof proof;
  if (first == 0 || first == leaf_hashes.size()) return proof;
  // RFC 9162 2.1.4.1, SUBPROOF(m, D_n, b), from the root down; written from the bottom up.
  bool complete = true;  // b: the subtree of the earlier tree is one whose root the verifier knows
  while (first != leaf_hashes.size()) {
    const std::uint64_t split = split_point(leaf_hashes.size());
    if (first <= split) {
      proof.push_back(tree_root(leaf_hashes.subspan(split)));
      leaf_hashes = leaf_hashes.first(split);
    } else {
      proof.push_back(tree_root(leaf_hashes.first(split)));
      leaf_hashes = leaf_hashes.subspan(split);
      first -= split;
      complete = false;
    }
  }
  if (!complete) proof.push_back(tree_root(leaf_hashes));
  std::ranges::reverse(proof);
  return proof;
}

bool verify_consistency(std::uint64_t first,
                        std::uint64_t second,
                        const Digest& first_root,
                        const Digest& second_root,
                        std::span<const Digest> proof) {
  if (first > second) return false;
  if (first == second) return proof.empty() && first_root == second_root;
  if (first == 0) return proof.empty() && first_root == empty_root();
  if (proof.empty()) return false;  // RFC 9162 2.1.4.2, step 1
  // 2: a full earlier tree is its own first component.
  const bool full = std::has_single_bit(first);
  Digest fr = full ? first_root : proof.front();
  Digest sr = fr;
  if (!full) proof = proof.subspan(1);
  std::uint64_t fn = first - 1;  // 3
  std::uint64_t sn = second - 1;
  while ((fn & 1U) != 0) {  // 4
    fn >>= 1;
    sn >>= 1;
  }
  for (const Digest& c : proof) {  // 5, 6
    if (sn == 0) return false;
    if ((fn & 1U) != 0 || fn == sn) {
      fr = node_hash(c, fr);
      sr = node_hash(c, sr);
      while ((fn & 1U) == 0 && fn != 0) {
        fn >>= 1;
        sn >>= 1;
      }
    } else {
      sr = node_hash(sr, c);
    }
    fn >>= 1;
    sn >>= 1;
  }
  return sn == 0 && fr == first_root && sr == second_root;  // 7
}

std::uint64_t block_count(std::uint64_t total, std::uint64_t block_size) {
  if (!std::has_single_bit(block_size)) {
    throw Error{Code::InvalidArgument, "a block of leaves is a power of two"};
  }
  return total / block_size + (total % block_size != 0 ? 1 : 0);
}

std::uint64_t block_length(std::uint64_t block_index,
                           std::uint64_t block_size,
                           std::uint64_t total) {
  if (block_index >= block_count(total, block_size)) {
    throw Error{Code::InvalidArgument, "no block of that index"};
  }
  return std::min(block_size, total - block_index * block_size);
}

std::vector<Digest> block_roots(std::span<const Digest> leaf_hashes, std::uint64_t block_size) {
  std::vector<Digest> roots;
  roots.reserve(block_count(leaf_hashes.size(), block_size));
  while (!leaf_hashes.empty()) {
    const std::size_t length = std::min<std::uint64_t>(block_size, leaf_hashes.size());
    roots.push_back(tree_root(leaf_hashes.first(length)));
    leaf_hashes = leaf_hashes.subspan(length);
  }
  return roots;
}

Proof subtree_path(std::span<const Digest> roots,
                   std::uint64_t block_index,
                   std::uint64_t block_size,
                   std::uint64_t total) {
  // Every split point above the blocks is a multiple of the block size (FORMAT.md, "Blocks"), so
  // the blocks are the leaves of a tree of the same shape.
  return inclusion_proof(checked_blocks(roots, block_size, total), block_index);
}

bool verify_subtree(const Digest& block_root,
                    std::uint64_t block_index,
                    std::uint64_t block_size,
                    std::uint64_t total,
                    std::span<const Digest> path,
                    const Digest& root) {
  if (!std::has_single_bit(block_size)) return false;
  return verify_inclusion(block_root, block_index, block_count(total, block_size), path, root);
}

}  // namespace keyferry::audit
