// transparency-dev/merkle's inclusion vectors: tests/vectors/merkle-rfc6962 (its SOURCE says which
// revision).
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "token/audit/merkle.h"
#include "wrap/base/base64.h"

namespace keyferry::audit {
namespace {

struct Vector {
  std::string name;
  nlohmann::json content;
};

void PrintTo(const Vector& vector, std::ostream* out) {
  *out << vector.name;
}

std::vector<Vector> vectors() {
  const std::filesystem::path folder = KEYFERRY_VECTORS_DIR "/merkle-rfc6962/inclusion";
  std::vector<Vector> found;
  for (const auto& entry : std::filesystem::recursive_directory_iterator{folder}) {
    if (entry.path().extension() != ".json") continue;
    std::ifstream file{entry.path()};
    found.push_back(
        {std::filesystem::relative(entry.path(), folder).string(), nlohmann::json::parse(file)});
  }
  std::ranges::sort(found, {}, &Vector::name);
  return found;
}

/// Nothing for what is no hash of 32 octets: such a vector is refused before any hashing, by type.
std::optional<Digest> digest(const nlohmann::json& value) {
  const auto octets = from_base64(value.is_null() ? "" : value.get<std::string>());
  return octets ? Digest::from_bytes(*octets) : std::nullopt;
}

class InclusionVector : public testing::TestWithParam<Vector> {};

TEST_P(InclusionVector, IsAcceptedOrRefusedAsItSays) {
  const nlohmann::json& vector = GetParam().content;
  const auto leaf = digest(vector.at("leafHash"));
  const auto root = digest(vector.at("root"));
  Proof proof;
  bool well_formed = leaf && root;
  if (!vector.at("proof").is_null()) {
    for (const auto& item : vector.at("proof")) {
      const auto hash = digest(item);
      well_formed = well_formed && hash;
      if (hash) proof.push_back(*hash);
    }
  }
  const bool accepted = well_formed && verify_inclusion(*leaf,
                                                        vector.at("leafIdx").get<std::uint64_t>(),
                                                        vector.at("treeSize").get<std::uint64_t>(),
                                                        proof,
                                                        *root);
  EXPECT_EQ(accepted, !vector.at("wantErr").get<bool>()) << vector.dump();
}

INSTANTIATE_TEST_SUITE_P(TransparencyDev, InclusionVector, testing::ValuesIn(vectors()));

TEST(InclusionVectors, AreAllThere) {
  const auto all = vectors();
  EXPECT_EQ(all.size(), 98U);
  EXPECT_GT(std::ranges::count_if(
                all, [](const Vector& v) { return !v.content.at("wantErr").get<bool>(); }),
            4);
}

}  // namespace
}  // namespace keyferry::audit
