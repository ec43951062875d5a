#include "token/audit/tiles.h"

#include <gtest/gtest.h>

#include <map>

#include "wrap/base/error.h"

namespace keyferry::audit {
namespace {

constexpr std::uint64_t kMaxSize = 300;

Bytes leaf(std::uint64_t index) {
  Bytes octets;
  append_u64be(octets, index);
  octets.resize(index % 17);  // some are empty
  octets.push_back(static_cast<std::uint8_t>(index));
  return octets;
}

using Tiles = std::map<std::string, Bytes>;

Tiles tiles_of(std::uint64_t size, TileMaker::Entries entries = TileMaker::Entries::Made) {
  Tiles tiles;
  TileMaker maker{[&](const std::string& path, ByteView octets) {
                    EXPECT_TRUE(tiles.emplace(path, to_bytes(octets)).second) << path;
                  },
                  entries};
  for (std::uint64_t at = 0; at < size; ++at) maker.append(leaf(at));
  maker.finish();
  EXPECT_EQ(maker.size(), size);
  return tiles;
}

TileReader reader_of(const Tiles& tiles, std::uint64_t size) {
  return TileReader{[&tiles](const std::string& path) -> std::variant<Bytes, Refusal> {
                      const auto found = tiles.find(path);
                      if (found == tiles.end()) return Refusal{"absent", path, ""};
                      return found->second;
                    },
                    size};
}

const std::vector<Digest>& hashes() {
  static const std::vector<Digest> kHashes = [] {
    std::vector<Digest> all;
    for (std::uint64_t at = 0; at < 66'000; ++at) all.push_back(leaf_hash(leaf(at)));
    return all;
  }();
  return kHashes;
}

std::span<const Digest> first(std::uint64_t count) {
  return std::span{hashes()}.first(count);
}

TEST(TilePath, IsTheOneOfTlogTiles) {
  EXPECT_EQ(tile_path(0, 0, 256), "tile/0/000");
  EXPECT_EQ(tile_path(1, 1'234'067, 256), "tile/1/x001/x234/067");
  EXPECT_EQ(tile_path(3, 1'000, 5), "tile/3/x001/000.p/5");
  EXPECT_EQ(entry_bundle_path(999, 255), "tile/entries/999.p/255");
  EXPECT_EQ(tile_path(0, 273, 112), "tile/0/273.p/112");  // the specification's own example
}

TEST(TilePath, IsOfNoOtherLevelOrWidth) {
  EXPECT_THROW(static_cast<void>(tile_path(8, 0, 1)), Error);
  EXPECT_THROW(static_cast<void>(tile_path(0, 0, 0)), Error);
  EXPECT_THROW(static_cast<void>(entry_bundle_path(0, 257)), Error);
}

TEST(TileMaker, MakesTheTilesThatTheSpecificationCounts) {
  // tlog-tiles, "Partial tiles": a tree of 70,000 leaves has 273 full tiles at level 0 and one of
  // 112, one full tile at level 1 and one of 17, and a tile of one hash at level 2.
  std::map<std::string, std::size_t> sizes;
  TileMaker maker{[&](const std::string& path, ByteView octets) { sizes[path] = octets.size(); },
                  TileMaker::Entries::LeftOut};
  for (std::uint64_t at = 0; at < 70'000; ++at) maker.append(leaf(at));
  maker.finish();
  EXPECT_EQ(sizes.size(), 273U + 1 + 1 + 1 + 1);
  EXPECT_EQ(sizes.at("tile/0/272"), 256U * 32);
  EXPECT_EQ(sizes.at("tile/0/273.p/112"), 112U * 32);
  EXPECT_EQ(sizes.at("tile/1/000"), 256U * 32);
  EXPECT_EQ(sizes.at("tile/1/001.p/17"), 17U * 32);
  EXPECT_EQ(sizes.at("tile/2/000.p/1"), 32U);
}

TEST(TileMaker, LeavesComeBackFromEntryBundles) {
  for (const std::uint64_t size : {1U, 255U, 256U, 257U, 512U, 700U}) {
    const Tiles tiles = tiles_of(size);
    std::uint64_t at = 0;
    for (std::uint64_t index = 0; at < size; ++index) {
      const std::size_t width = tile_width(0, index, size);
      const auto parsed = parse_entry_bundle(tiles.at(entry_bundle_path(index, width)), width);
      ASSERT_TRUE(std::holds_alternative<std::vector<ByteView>>(parsed)) << size << " " << index;
      for (const ByteView one : std::get<std::vector<ByteView>>(parsed)) {
        ASSERT_TRUE(equal(one, leaf(at))) << at;
        ++at;
      }
    }
    EXPECT_EQ(at, size);
  }
}

TEST(TileMaker, LeavesEntriesOut) {
  for (const auto& [path, octets] : tiles_of(300, TileMaker::Entries::LeftOut)) {
    EXPECT_EQ(path.find("entries"), std::string::npos);
  }
}

TEST(TileMaker, TakesNoLeafThatABundleCannotHold) {
  TileMaker maker{[](const std::string&, ByteView) {}, TileMaker::Entries::Made};
  maker.append(Bytes(kMaxEntryBytes));
  EXPECT_THROW(maker.append(Bytes(kMaxEntryBytes + 1)), Error);
  EXPECT_THROW(maker.append_hash(Digest{}), Error);
}

TEST(TileReader, RootsAndInclusionAreThoseOfTheTreeForAllSizesTo300) {
  for (std::uint64_t size = 0; size <= kMaxSize; ++size) {
    const Tiles tiles = tiles_of(size, TileMaker::Entries::LeftOut);
    TileReader reader = reader_of(tiles, size);
    const Digest root = tree_root(first(size));
    ASSERT_EQ(std::get<Digest>(reader.root(size)), root) << size;
    for (std::uint64_t index = 0; index < size; ++index) {
      const Proof proof = std::get<Proof>(reader.inclusion(index, size));
      ASSERT_TRUE(verify_inclusion(hashes()[index], index, size, proof, root))
          << index << " of " << size;
      ASSERT_EQ(std::get<Digest>(reader.leaf(index)), hashes()[index]);
    }
  }
}

TEST(TileReader, ConsistencyHoldsBetweenAllSizesTo300) {
  std::vector<Digest> roots;
  for (std::uint64_t size = 0; size <= kMaxSize; ++size) roots.push_back(tree_root(first(size)));
  const Tiles tiles = tiles_of(kMaxSize, TileMaker::Entries::LeftOut);
  TileReader reader = reader_of(tiles, kMaxSize);
  for (std::uint64_t second = 0; second <= kMaxSize; ++second) {
    ASSERT_EQ(std::get<Digest>(reader.root(second)), roots[second]) << second;
    for (std::uint64_t from = 0; from <= second; ++from) {
      const Proof proof = std::get<Proof>(reader.consistency(from, second));
      ASSERT_TRUE(verify_consistency(from, second, roots[from], roots[second], proof))
          << from << "-" << second;
    }
  }
}

TEST(TileReader, ProofsAreThoseOfTheDefinition) {
  const Tiles tiles = tiles_of(kMaxSize, TileMaker::Entries::LeftOut);
  TileReader reader = reader_of(tiles, kMaxSize);
  for (std::uint64_t at = 1; at < kMaxSize; at += 13) {
    EXPECT_EQ(std::get<Proof>(reader.inclusion(at, kMaxSize)),
              inclusion_proof(first(kMaxSize), at));
    EXPECT_EQ(std::get<Proof>(reader.consistency(at, kMaxSize)),
              consistency_proof(first(kMaxSize), at));
  }
}

TEST(TileReader, GoesThroughThreeLevels) {
  const std::uint64_t size = hashes().size();
  const Tiles tiles = tiles_of(size, TileMaker::Entries::LeftOut);
  TileReader reader = reader_of(tiles, size);
  const Digest root = tree_root(hashes());
  EXPECT_EQ(std::get<Digest>(reader.root(size)), root);
  for (const std::uint64_t index :
       {std::uint64_t{0}, std::uint64_t{65'535}, std::uint64_t{65'536}, size - 1}) {
    EXPECT_TRUE(verify_inclusion(
        hashes()[index], index, size, std::get<Proof>(reader.inclusion(index, size)), root));
  }
  for (const std::uint64_t from :
       {std::uint64_t{1}, std::uint64_t{65'536}, std::uint64_t{65'700}}) {
    EXPECT_TRUE(verify_consistency(
        from, size, tree_root(first(from)), root, std::get<Proof>(reader.consistency(from, size))));
  }
}

TEST(TileReader, NamesATileThatIsNotThere) {
  Tiles tiles = tiles_of(kMaxSize, TileMaker::Entries::LeftOut);
  tiles.erase("tile/0/001.p/44");
  TileReader reader = reader_of(tiles, kMaxSize);
  const auto root = reader.root(kMaxSize);
  EXPECT_EQ(std::get<Refusal>(root).text, "tile/0/001.p/44");
}

TEST(TileReader, RefusesATileOfAnotherLength) {
  for (const int more : {-32, -1, 1, 32}) {
    Tiles tiles = tiles_of(100, TileMaker::Entries::LeftOut);
    Bytes& tile = tiles.at("tile/0/000.p/100");
    tile.resize(static_cast<std::size_t>(static_cast<int>(tile.size()) + more));
    TileReader reader = reader_of(tiles, 100);
    EXPECT_EQ(std::get<Refusal>(reader.inclusion(3, 100)).reason, "tile-size") << more;
  }
}

TEST(EntryBundle, RefusesWhatIsCutOrLongerAtEveryOctet) {
  const Tiles tiles = tiles_of(40);
  const Bytes& bundle = tiles.at("tile/entries/000.p/40");
  for (std::size_t size = 0; size < bundle.size(); ++size) {
    const auto parsed = parse_entry_bundle(ByteView{bundle}.first(size), 40);
    ASSERT_TRUE(std::holds_alternative<Refusal>(parsed)) << size;
  }
  Bytes longer = bundle;
  longer.push_back(0);
  EXPECT_TRUE(std::holds_alternative<Refusal>(parse_entry_bundle(longer, 40)));
  longer.push_back(0);  // an empty leaf
  EXPECT_TRUE(std::holds_alternative<Refusal>(parse_entry_bundle(longer, 40)));
  EXPECT_TRUE(std::holds_alternative<Refusal>(parse_entry_bundle(bundle, 39)));
  EXPECT_TRUE(std::holds_alternative<Refusal>(parse_entry_bundle(bundle, 41)));
}

}  // namespace
}  // namespace keyferry::audit
