#include "token/audit/merkle.h"

#include <gtest/gtest.h>

#include <map>

#include "wrap/base/error.h"
#include "wrap/crypto/hash.h"

namespace keyferry::audit {
namespace {

constexpr std::uint64_t kMaxSize = 300;

std::vector<Digest> leaves(std::uint64_t count) {
  std::vector<Digest> hashes;
  for (std::uint64_t i = 0; i < count; ++i) {
    Bytes leaf;
    append_u64be(leaf, i);
    hashes.push_back(leaf_hash(leaf));
  }
  return hashes;
}

/// The definition of RFC 6962 2.1 and nothing else, remembering what it computed: what everything
/// is held against.
class BruteForce {
 public:
  explicit BruteForce(std::vector<Digest> hashes) : hashes_{std::move(hashes)} {}

  Digest root(std::uint64_t from, std::uint64_t to) {
    if (from == to) return crypto::sha256({});
    if (to - from == 1) return hashes_[from];
    const auto known = roots_.find({from, to});
    if (known != roots_.end()) return known->second;
    std::uint64_t split = 1;
    while (split * 2 < to - from) split *= 2;
    constexpr std::uint8_t kPrefix[] = {0x01};
    const Digest left = root(from, from + split), right = root(from + split, to);
    return roots_[{from, to}] = crypto::sha256_of({kPrefix, left.bytes(), right.bytes()});
  }

  /// PATH(m, D[from:to])
  Proof path(std::uint64_t m, std::uint64_t from, std::uint64_t to) {
    if (to - from == 1) return {};
    std::uint64_t split = 1;
    while (split * 2 < to - from) split *= 2;
    const bool left = m < split;
    Proof proof = left ? path(m, from, from + split) : path(m - split, from + split, to);
    proof.push_back(left ? root(from + split, to) : root(from, from + split));
    return proof;
  }

  /// SUBPROOF(m, D[from:to], b)
  Proof subproof(std::uint64_t m, std::uint64_t from, std::uint64_t to, bool b) {
    if (m == to - from) return b ? Proof{} : Proof{root(from, to)};
    std::uint64_t split = 1;
    while (split * 2 < to - from) split *= 2;
    Proof proof;
    if (m <= split) {
      proof = subproof(m, from, from + split, b);
      proof.push_back(root(from + split, to));
    } else {
      proof = subproof(m - split, from + split, to, false);
      proof.push_back(root(from, from + split));
    }
    return proof;
  }

 private:
  std::vector<Digest> hashes_;
  std::map<std::pair<std::uint64_t, std::uint64_t>, Digest> roots_;
};

const std::vector<Digest>& all_leaves() {
  static const std::vector<Digest> kLeaves = leaves(kMaxSize);
  return kLeaves;
}

BruteForce& brute_force() {
  static BruteForce tree{all_leaves()};
  return tree;
}

std::span<const Digest> first(std::uint64_t count) {
  return std::span{all_leaves()}.first(count);
}

Digest flipped(const Digest& digest) {
  Bytes octets = to_bytes(digest.bytes());
  octets[7] = static_cast<std::uint8_t>(octets[7] ^ 0x10);
  return *Digest::from_bytes(octets);
}

TEST(Merkle, HashesLeavesAndNodesApart) {
  EXPECT_EQ(empty_root().hex(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(leaf_hash({}).hex(),
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
  EXPECT_EQ(leaf_hash(as_bytes("L123456")).hex(),
            "395aa064aa4c29f7010acfe3f25db9485bbd4b91897b6ad7ad547639252b4d56");
  EXPECT_EQ(leaf_hash(as_bytes("\x01"
                               "x")),
            crypto::sha256(*from_hex("000178")));
}

TEST(TreeRoot, IsTheDefinitionForAllSizesTo300) {
  Frontier frontier;
  for (std::uint64_t size = 0; size <= kMaxSize; ++size) {
    const Digest expected = brute_force().root(0, size);
    ASSERT_EQ(tree_root(first(size)), expected) << size;
    ASSERT_EQ(frontier.root(), expected) << size;
    ASSERT_EQ(frontier.size(), size);
    if (size < kMaxSize) frontier.append(all_leaves()[size]);
  }
}

TEST(Frontier, ComesBackFromItsOctetsAtEverySize) {
  Frontier frontier;
  for (std::uint64_t size = 0; size <= kMaxSize; ++size) {
    const Bytes octets = frontier.serialise();
    const auto parsed = Frontier::parse(octets);
    ASSERT_TRUE(parsed.has_value()) << size;
    ASSERT_EQ(*parsed, frontier) << size;
    if (size < kMaxSize) frontier.append(all_leaves()[size]);
  }
}

TEST(Frontier, GoesOnAfterItWasParsed) {
  for (const std::uint64_t cut : {0U, 1U, 2U, 5U, 127U, 128U, 255U, 299U}) {
    Frontier before;
    before.append(first(cut));
    Frontier after = *Frontier::parse(before.serialise());
    after.append(std::span{all_leaves()}.subspan(cut));
    EXPECT_EQ(after.root(), brute_force().root(0, kMaxSize)) << cut;
  }
}

TEST(Frontier, RefusesOctetsOfAnotherLength) {
  Frontier frontier;
  frontier.append(first(7));
  const Bytes octets = frontier.serialise();
  EXPECT_EQ(octets.size(), 8U + 3 * 32U);
  for (std::size_t size = 0; size < octets.size(); ++size) {
    EXPECT_FALSE(Frontier::parse(ByteView{octets}.first(size)).has_value()) << size;
  }
  Bytes longer = octets;
  longer.resize(longer.size() + 32);
  EXPECT_FALSE(Frontier::parse(longer).has_value());
}

TEST(Frontier, HoldsAtMost64Hashes) {
  Bytes octets(8, 0xff);
  octets.resize(8 + 64 * 32, 0x5a);
  auto full = Frontier::parse(octets);
  ASSERT_TRUE(full.has_value());
  EXPECT_EQ(full->hashes().size(), 64U);
  EXPECT_THROW(full->append(all_leaves()[0]), Error);
}

TEST(InclusionProof, IsTheDefinitionAndVerifiesForAllSizesTo300) {
  for (std::uint64_t size = 1; size <= kMaxSize; ++size) {
    const Digest root = brute_force().root(0, size);
    for (std::uint64_t index = 0; index<size; index += size> 64 ? 7 : 1) {
      const Proof proof = inclusion_proof(first(size), index);
      ASSERT_EQ(proof, brute_force().path(index, 0, size)) << index << " of " << size;
      ASSERT_TRUE(verify_inclusion(all_leaves()[index], index, size, proof, root))
          << index << " of " << size;
    }
  }
}

TEST(InclusionProof, VerifiesEveryLeafOfEverySizeByTheDefinition) {
  for (std::uint64_t size = 1; size <= kMaxSize; ++size) {
    const Digest root = brute_force().root(0, size);
    for (std::uint64_t index = 0; index < size; ++index) {
      const Proof proof = brute_force().path(index, 0, size);
      ASSERT_TRUE(verify_inclusion(all_leaves()[index], index, size, proof, root))
          << index << " of " << size;
    }
  }
}

TEST(InclusionProof, HoldsForItsLeafIndexAndSizeOnly) {
  for (std::uint64_t size = 1; size <= 40; ++size) {
    const Digest root = brute_force().root(0, size);
    for (std::uint64_t index = 0; index < size; ++index) {
      const Digest& leaf = all_leaves()[index];
      const Proof proof = inclusion_proof(first(size), index);
      for (std::uint64_t other = 0; other <= size; ++other) {
        if (other != index) {
          ASSERT_FALSE(verify_inclusion(leaf, other, size, proof, root)) << index << " " << other;
        }
      }
      ASSERT_FALSE(verify_inclusion(flipped(leaf), index, size, proof, root));
      ASSERT_FALSE(verify_inclusion(leaf, index, size, proof, flipped(root)));
      for (std::size_t i = 0; i < proof.size(); ++i) {
        Proof changed = proof;
        changed[i] = flipped(changed[i]);
        ASSERT_FALSE(verify_inclusion(leaf, index, size, changed, root));
        changed = proof;
        changed.erase(changed.begin() + static_cast<std::ptrdiff_t>(i));
        ASSERT_FALSE(verify_inclusion(leaf, index, size, changed, root));
      }
      Proof longer = proof;
      longer.push_back(root);
      ASSERT_FALSE(verify_inclusion(leaf, index, size, longer, root));
    }
  }
}

TEST(InclusionProof, NeedsALeafOfThatIndex) {
  EXPECT_THROW(static_cast<void>(inclusion_proof(first(3), 3)), Error);
  EXPECT_THROW(static_cast<void>(inclusion_proof({}, 0)), Error);
  EXPECT_FALSE(verify_inclusion(all_leaves()[0], 0, 0, {}, empty_root()));
}

TEST(InclusionProof, StaysFiniteForTheLargestSizes) {
  const Proof proof(64, all_leaves()[0]);
  EXPECT_FALSE(verify_inclusion(
      all_leaves()[0], ~std::uint64_t{0} - 1, ~std::uint64_t{0}, proof, empty_root()));
}

TEST(ConsistencyProof, IsTheDefinitionAndVerifiesForAllSizesTo300) {
  for (std::uint64_t size = 1; size <= kMaxSize; ++size) {
    const Digest root = brute_force().root(0, size);
    for (std::uint64_t from = 1; from <= size; ++from) {
      const Proof expected = brute_force().subproof(from, 0, size, true);
      if (size <= 64 || from % 13 == 0) {
        ASSERT_EQ(consistency_proof(first(size), from), expected) << from << "-" << size;
      }
      ASSERT_TRUE(verify_consistency(from, size, brute_force().root(0, from), root, expected))
          << from << "-" << size;
    }
  }
}

TEST(ConsistencyProof, HoldsForItsSizesAndRootsOnly) {
  for (std::uint64_t size = 1; size <= 40; ++size) {
    const Digest root = brute_force().root(0, size);
    for (std::uint64_t from = 1; from < size; ++from) {
      const Digest from_root = brute_force().root(0, from);
      const Proof proof = consistency_proof(first(size), from);
      ASSERT_FALSE(verify_consistency(from, size, flipped(from_root), root, proof));
      ASSERT_FALSE(verify_consistency(from, size, from_root, flipped(root), proof));
      ASSERT_FALSE(verify_consistency(size, from, root, from_root, proof));
      ASSERT_FALSE(verify_consistency(from, from, from_root, root, proof));
      for (std::size_t i = 0; i < proof.size(); ++i) {
        Proof changed = proof;
        changed[i] = flipped(changed[i]);
        ASSERT_FALSE(verify_consistency(from, size, from_root, root, changed))
            << from << "-" << size << " " << i;
        changed = proof;
        changed.erase(changed.begin() + static_cast<std::ptrdiff_t>(i));
        ASSERT_FALSE(verify_consistency(from, size, from_root, root, changed))
            << from << "-" << size << " " << i;
      }
      Proof longer = proof;
      longer.push_back(root);
      ASSERT_FALSE(verify_consistency(from, size, from_root, root, longer));
    }
  }
}

TEST(ConsistencyProof, IsEmptyFromNothingAndToItself) {
  const Digest root = tree_root(first(7));
  EXPECT_TRUE(consistency_proof(first(7), 0).empty());
  EXPECT_TRUE(consistency_proof(first(7), 7).empty());
  EXPECT_TRUE(verify_consistency(0, 7, empty_root(), root, {}));
  EXPECT_TRUE(verify_consistency(7, 7, root, root, {}));
  EXPECT_TRUE(verify_consistency(0, 0, empty_root(), empty_root(), {}));
  EXPECT_FALSE(verify_consistency(0, 7, root, root, {}));
  EXPECT_FALSE(verify_consistency(0, 7, empty_root(), root, Proof{root}));
  EXPECT_FALSE(verify_consistency(7, 7, root, root, Proof{root}));
  EXPECT_FALSE(verify_consistency(7, 7, root, empty_root(), {}));
  EXPECT_FALSE(verify_consistency(4, 7, tree_root(first(4)), root, {}));
  EXPECT_THROW(static_cast<void>(consistency_proof(first(7), 8)), Error);
}

TEST(Blocks, AreNodesOfTheTreeForAllTotalsTo130) {
  for (const std::uint64_t block_size : {1U, 2U, 4U, 16U}) {
    for (std::uint64_t total = 1; total <= 130; ++total) {
      const Digest root = brute_force().root(0, total);
      const std::vector<Digest> roots = block_roots(first(total), block_size);
      const std::uint64_t count = block_count(total, block_size);
      ASSERT_EQ(roots.size(), count);
      std::uint64_t covered = 0;
      for (std::uint64_t index = 0; index < count; ++index) {
        const std::uint64_t from = index * block_size;
        const std::uint64_t length = block_length(index, block_size, total);
        ASSERT_EQ(roots[index], brute_force().root(from, from + length));
        // The block's path is the tail of the path of each of its leaves.
        const Proof path = subtree_path(roots, index, block_size, total);
        const Proof leaf_path = brute_force().path(from, 0, total);
        ASSERT_LE(path.size(), leaf_path.size());
        ASSERT_EQ(
            path,
            Proof(leaf_path.end() - static_cast<std::ptrdiff_t>(path.size()), leaf_path.end()));
        ASSERT_TRUE(verify_subtree(roots[index], index, block_size, total, path, root))
            << index << " of " << total;
        covered += length;
      }
      ASSERT_EQ(covered, total);
    }
  }
}

TEST(Blocks, VerifyForTheirIndexAndTotalOnly) {
  for (std::uint64_t total = 1; total <= 70; ++total) {
    constexpr std::uint64_t kBlock = 4;
    const Digest root = brute_force().root(0, total);
    const std::vector<Digest> roots = block_roots(first(total), kBlock);
    for (std::uint64_t index = 0; index < roots.size(); ++index) {
      const Proof path = subtree_path(roots, index, kBlock, total);
      for (std::uint64_t other = 0; other <= roots.size(); ++other) {
        if (other != index) {
          ASSERT_FALSE(verify_subtree(roots[index], other, kBlock, total, path, root));
        }
      }
      ASSERT_FALSE(verify_subtree(flipped(roots[index]), index, kBlock, total, path, root));
      Proof longer = path;
      longer.push_back(root);
      ASSERT_FALSE(verify_subtree(roots[index], index, kBlock, total, longer, root));
      ASSERT_FALSE(verify_subtree(roots[index], index, 3, total, path, root));
      ASSERT_FALSE(verify_subtree(roots[index], index, 0, total, path, root));
    }
  }
}

TEST(Blocks, RefuseSizesAndNumbersThatDoNotFit) {
  EXPECT_THROW(static_cast<void>(block_count(10, 0)), Error);
  EXPECT_THROW(static_cast<void>(block_count(10, 6)), Error);
  EXPECT_EQ(block_count(0, 4), 0U);
  EXPECT_EQ(block_count(~std::uint64_t{0}, std::uint64_t{1} << 63), 2U);
  EXPECT_THROW(static_cast<void>(block_length(3, 4, 12)), Error);
  EXPECT_EQ(block_length(2, 4, 9), 1U);
  EXPECT_THROW(static_cast<void>(subtree_path(first(3), 0, 4, 9 + 4)), Error);
  EXPECT_THROW(static_cast<void>(subtree_path(first(3), 3, 4, 9)), Error);
}

}  // namespace
}  // namespace keyferry::audit
