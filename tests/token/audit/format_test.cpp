// Reads token/audit/FORMAT.md and holds its worked example against the code.
#include <gtest/gtest.h>

#include <sstream>

#include "token/audit/checkpoint.h"
#include "token/audit/merkle.h"
#include "wrap/base/durable_file.h"
#include "wrap/crypto/hash.h"

namespace keyferry::audit {
namespace {

std::string page() {
  return to_string(read_file(KEYFERRY_SOURCE_DIR "/token/audit/FORMAT.md", 1U << 20));
}

/// The hash that stands behind `label` in the example.
Digest hash(const std::string& label) {
  const std::string text = page();
  const std::size_t at = text.find("    " + label);
  if (at == std::string::npos) return Digest{};
  const std::size_t from = text.find_first_not_of(" \n", at + 4 + label.size());
  return Digest::from_hex(text.substr(from, 64)).value_or(Digest{});
}

/// Lines of the page, without indentation, from the one that is `first` to the one before the next
/// empty line.
std::string block_from(const std::string& first) {
  std::istringstream lines{page()};
  std::string line, out;
  bool inside = false;
  while (std::getline(lines, line)) {
    inside = inside || line == "    " + first;
    if (inside && line.empty()) break;
    if (inside) out += line.substr(4) + "\n";
  }
  return out;
}

std::string line_that_begins(const std::string& start) {
  std::istringstream lines{page()};
  std::string line;
  while (std::getline(lines, line)) {
    if (line.starts_with("    " + start)) return line.substr(4);
  }
  return {};
}

std::vector<Digest> leaves() {
  std::vector<Digest> hashes;
  for (const char* leaf : {"a", "b", "c", "d", "e"}) hashes.push_back(leaf_hash(as_bytes(leaf)));
  return hashes;
}

TEST(FormatExample, HasTheTreeOfTheCode) {
  const auto all = leaves();
  for (std::size_t i = 0; i < all.size(); ++i)
    EXPECT_EQ(hash("leaf " + std::to_string(i)), all[i]) << i;
  EXPECT_EQ(hash("node 0-1"), tree_root(std::span{all}.first(2)));
  EXPECT_EQ(hash("node 2-3"), tree_root(std::span{all}.subspan(2, 2)));
  EXPECT_EQ(hash("node 0-3"), tree_root(std::span{all}.first(4)));
  EXPECT_EQ(hash("root 0-4"), tree_root(all));
  EXPECT_EQ(hash("root of the first three leaves"), tree_root(std::span{all}.first(3)));
}

TEST(FormatExample, HasTheProofsOfTheCode) {
  const auto all = leaves();
  EXPECT_EQ(inclusion_proof(all, 2), (Proof{hash("leaf 3"), hash("node 0-1"), hash("leaf 4")}));
  EXPECT_EQ(consistency_proof(all, 3),
            (Proof{hash("leaf 2"), hash("leaf 3"), hash("node 0-1"), hash("leaf 4")}));
  const auto roots = block_roots(all, 2);
  EXPECT_EQ(roots, (std::vector<Digest>{hash("node 0-1"), hash("node 2-3"), hash("leaf 4")}));
  EXPECT_EQ(subtree_path(roots, 1, 2, 5), (Proof{hash("node 0-1"), hash("leaf 4")}));
  EXPECT_EQ(subtree_path(roots, 2, 2, 5), (Proof{hash("node 0-3")}));
  Frontier frontier;
  frontier.append(all);
  EXPECT_EQ(to_hex(frontier.serialise()),
            "0000000000000005" + hash("node 0-3").hex() + hash("leaf 4").hex());
}

TEST(FormatExample, HasACheckpointThatVerifies) {
  const auto key = parse_verifier_key(line_that_begins("keyferry/example+"));
  ASSERT_TRUE(std::holds_alternative<VerifierKey>(key));
  const auto& verifier = std::get<VerifierKey>(key);
  EXPECT_NE(page().find(to_hex(verifier.key.point().subspan(1, 32))), std::string::npos);
  const std::string text = block_from("keyferry/example");
  const std::string line = line_that_begins("\xe2\x80\x94 keyferry/example ");
  const auto checkpoint =
      verify_checkpoint(text + "\n" + line + "\n", "keyferry/example", verifier.key);
  ASSERT_TRUE(std::holds_alternative<Checkpoint>(checkpoint)) << std::get<Refusal>(checkpoint).text;
  EXPECT_EQ(std::get<Checkpoint>(checkpoint),
            (Checkpoint{"keyferry/example", 5, tree_root(leaves())}));
  EXPECT_EQ(text, checkpoint_text("keyferry/example", 5, tree_root(leaves())));
  EXPECT_NE(page().find(checkpoint_words(std::get<Checkpoint>(checkpoint))), std::string::npos);
  EXPECT_NE(page().find(checkpoint_digest(std::get<Checkpoint>(checkpoint)).hex()),
            std::string::npos);
}

}  // namespace
}  // namespace keyferry::audit
