#include "token/audit/tree_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/support/temp_folder.h"
#include "wrap/base/base64.h"
#include "wrap/base/error.h"

namespace keyferry::audit {
namespace {

constexpr std::uint64_t kSizes = 600;  // more than two tiles

std::vector<Digest> leaves(std::uint64_t count) {
  std::vector<Digest> hashes;
  for (std::uint64_t i = 0; i < count; ++i) {
    Bytes leaf;
    append_u64be(leaf, i);
    hashes.push_back(leaf_hash(leaf));
  }
  return hashes;
}

class TreeFileTest : public testing::Test {
 protected:
  [[nodiscard]] Fd open_file() const {
    return Fd{open((folder_ / "tree").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)};
  }

  void fill(std::span<const Digest> hashes) const {
    const Fd file = open_file();
    TreeFile tree{file};
    for (const Digest& hash : hashes) tree.append(hash);
    tree.flush();
  }

  keyferry::test::TempFolder folder_;
};

TEST_F(TreeFileTest, ProvesEachLeafAtEachSizeAsTheRfcDoes) {
  const std::vector<Digest> all = leaves(kSizes);
  fill(all);
  const Fd file = open_file();
  Proof proof;
  for (std::uint64_t size = 1; size <= kSizes; size += size < 300 ? 1 : 37) {
    const auto first = std::span{all}.first(size);
    TreeProver prover{file, size};
    ASSERT_EQ(prover.root(), tree_root(first)) << size;
    // Each leaf at sizes around a tile's end, some of them elsewhere.
    const std::uint64_t step = size < 20 || (size > 250 && size < 262) ? 1 : 13;
    for (std::uint64_t index = 0; index < size; index += step) {
      prover.inclusion(index, proof);
      ASSERT_EQ(proof, inclusion_proof(first, index)) << index << " of " << size;
    }
  }
}

TEST_F(TreeFileTest, ProvesInAnyOrder) {
  const std::vector<Digest> all = leaves(kSizes);
  fill(all);
  const Fd file = open_file();
  TreeProver prover{file, kSizes};
  Proof proof;
  for (std::uint64_t i = 0, index = 0; i < 200; ++i, index = (index + 389) % kSizes) {
    prover.inclusion(index, proof);
    ASSERT_TRUE(verify_inclusion(all[index], index, kSizes, proof, prover.root())) << index;
  }
}

TEST_F(TreeFileTest, GoesOnWhereItEnded) {
  const std::vector<Digest> all = leaves(100);
  for (std::uint64_t from = 0; from < 100; from += 7) {
    fill(std::span{all}.subspan(from, std::min<std::uint64_t>(7, 100 - from)));
  }
  const Fd file = open_file();
  EXPECT_EQ(TreeFile{file}.size(), 100U);
  EXPECT_EQ(TreeFile{file}.root(), tree_root(all));
  EXPECT_EQ(TreeProver(file, 100).root(), tree_root(all));
  EXPECT_EQ(file_size_bytes(file), stored_hashes(100) * Digest::kSizeBytes);
}

TEST_F(TreeFileTest, WritesOverWhatACutLeftOfALeaf) {
  const std::vector<Digest> all = leaves(64);
  for (std::uint64_t bytes = 0; bytes < stored_hashes(64) * Digest::kSizeBytes; bytes += 11) {
    std::filesystem::remove(folder_ / "tree");
    fill(all);
    std::filesystem::resize_file(folder_ / "tree", bytes);
    const Fd file = open_file();
    TreeFile tree{file};
    for (std::uint64_t i = tree.size(); i < 64; ++i) tree.append(all[i]);
    tree.flush();
    ASSERT_EQ(TreeProver(file, 64).root(), tree_root(all)) << bytes;
  }
}

TEST_F(TreeFileTest, IsEmptyAtFirst) {
  const Fd file = open_file();
  EXPECT_EQ(TreeFile{file}.size(), 0U);
  EXPECT_EQ(TreeProver(file, 0).root(), empty_root());
}

TEST_F(TreeFileTest, RefusesALeafThatIsNotThere) {
  fill(leaves(5));
  const Fd file = open_file();
  EXPECT_THROW(TreeProver(file, 6), Error);
  TreeProver prover{file, 4};
  Proof proof;
  EXPECT_THROW(prover.inclusion(4, proof), Error);
}

TEST_F(TreeFileTest, SaysWhenTheFileBecameShorter) {
  fill(leaves(kSizes));
  const Fd file = open_file();
  TreeProver prover{file, kSizes};
  std::filesystem::resize_file(folder_ / "tree", 1000);
  Proof proof;
  EXPECT_THROW(prover.inclusion(kSizes - 1, proof), Error);
}

TEST_F(TreeFileTest, AProverOfAnEarlierSizeIsNotDisturbedByGrowth) {
  const std::vector<Digest> all = leaves(kSizes);
  fill(std::span{all}.first(300));
  const Fd file = open_file();
  TreeProver prover{file, 300};
  fill(std::span{all}.subspan(300));
  Proof proof;
  prover.inclusion(299, proof);
  EXPECT_TRUE(verify_inclusion(all[299], 299, 300, proof, prover.root()));
}

TEST_F(TreeFileTest, HoldsTheSubtreesWhereTheFormatSays) {
  // FORMAT.md: five leaves are 0 1 01 2 3 23 0123 4.
  EXPECT_EQ(stored_place(0, 0), 0U);
  EXPECT_EQ(stored_place(1, 0), 2U);
  EXPECT_EQ(stored_place(1, 1), 5U);
  EXPECT_EQ(stored_place(2, 0), 6U);
  EXPECT_EQ(stored_place(0, 4), 7U);
  EXPECT_EQ(stored_hashes(5), 8U);
}

// transparency-dev's vectors verify proofs of trees whose leaves are in them one by one: the good
// ones of one size are the tree.
TEST_F(TreeFileTest, MakesTheProofsOfThePublishedTree) {
  // RFC 6962 test data as Certificate Transparency's own tests have it: eight leaves.
  const std::vector<std::string> inputs{"",
                                        "00",
                                        "10",
                                        "2021",
                                        "3031",
                                        "40414243",
                                        "5051525354555657",
                                        "606162636465666768696a6b6c6d6e6f"};
  std::vector<Digest> hashes;
  for (const std::string& input : inputs) hashes.push_back(leaf_hash(*from_hex(input)));
  fill(hashes);
  const Fd file = open_file();
  int seen = 0;
  const std::filesystem::path vectors = KEYFERRY_VECTORS_DIR "/merkle-rfc6962/inclusion";
  for (const auto& entry : std::filesystem::recursive_directory_iterator{vectors}) {
    if (entry.path().extension() != ".json") continue;
    std::ifstream text{entry.path()};
    const auto vector = nlohmann::json::parse(text);
    const auto index = vector.at("leafIdx").get<std::uint64_t>();
    const auto size = vector.at("treeSize").get<std::uint64_t>();
    if (vector.at("wantErr").get<bool>() || size > hashes.size() || index >= size) continue;
    TreeProver prover{file, size};
    const auto root = from_base64(vector.at("root").get<std::string>());
    if (!root || !equal(*root, prover.root().bytes())) continue;  // a tree of other leaves
    Proof proof;
    prover.inclusion(index, proof);
    Proof expected;
    if (!vector.at("proof").is_null()) {
      for (const auto& item : vector.at("proof")) {
        expected.push_back(*Digest::from_bytes(*from_base64(item.get<std::string>())));
      }
    }
    EXPECT_EQ(proof, expected) << entry.path();
    ++seen;
  }
  EXPECT_GE(seen, 4);
}

}  // namespace
}  // namespace keyferry::audit
