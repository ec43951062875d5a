#include "token/bundle/index.h"

#include <gtest/gtest.h>

namespace keyferry::bundle {
namespace {

Digest digest_of(std::uint8_t octet) {
  return *Digest::from_bytes(Bytes(32, octet));
}

Index sample() {
  return {.origin = "keyferry/0123456789abcdef0123456789abcdef",
          .environment = token::Environment::Production,
          .log_size = 7,
          .root = digest_of(1),
          .last_leaf = UtcMillis{1'700'000'000'000},
          .scope = {ScopeKind::Site, "site-1"},
          .batches = {*BatchId::from_bytes(Bytes(16, 2))},
          .software_version = "0.1.0",
          .software_sha256 = digest_of(3),
          .files = {{"README.txt", 10, digest_of(4)}, {"tile/0/000.p/7", 224, digest_of(5)}}};
}

std::string reason_of(std::string_view text) {
  const auto parsed = parse_index(as_bytes(text));
  const auto* refusal = std::get_if<Refusal>(&parsed);
  return refusal == nullptr ? "" : refusal->reason;
}

std::string text_of(const Index& index) {
  return to_string(serialise(index));
}

TEST(BundleIndex, ComesBackFromItsText) {
  EXPECT_EQ(std::get<Index>(parse_index(serialise(sample()))), sample());
}

TEST(BundleIndex, IsRefusedWhereAnyOctetIsMissing) {
  const std::string text = text_of(sample());
  for (std::size_t at = 0; at < text.size(); ++at) {
    std::string cut = text;
    cut.erase(at, 1);
    const auto parsed = parse_index(as_bytes(cut));
    const auto* other = std::get_if<Index>(&parsed);
    ASSERT_TRUE(other == nullptr || *other != sample())
        << at;  // another number or name is another index
  }
}

TEST(BundleIndex, HasOneText) {
  std::string text = text_of(sample());
  EXPECT_EQ(reason_of(text + " "), "index-malformed");
  EXPECT_EQ(reason_of(text.substr(0, text.size() - 1)), "index-malformed");
  std::string twice = text;
  twice.insert(twice.find(" \"root\""), " \"log_size\": 7,\n");
  EXPECT_EQ(reason_of(twice), "index-malformed");
  std::string more = text;
  more.insert(more.find(" \"root\""), " \"note\": 1,\n");
  EXPECT_EQ(reason_of(more), "index-malformed");
}

TEST(BundleIndex, StopsReadingWhatIsNested) {
  EXPECT_EQ(reason_of(std::string(1'000'000, '[')), "index-malformed");
  std::string objects;
  for (int i = 0; i < 100'000; ++i) objects += "{\"a\":";
  EXPECT_EQ(reason_of(objects), "index-malformed");
}

TEST(BundleIndex, HasALimit) {
  EXPECT_EQ(reason_of(""), "index-size");
  EXPECT_EQ(reason_of(std::string(kMaxIndexBytes + 1, ' ')), "index-size");
}

TEST(BundleIndex, NamesNoFileTwiceOrOutOfOrder) {
  Index index = sample();
  index.files.push_back(index.files.back());
  EXPECT_THROW(static_cast<void>(serialise(index)), Error);
  std::swap(index.files.front(), index.files.back());
  EXPECT_THROW(static_cast<void>(serialise(index)), Error);
}

TEST(BundlePath, LeadsNowhereElse) {
  for (const std::string_view path : {"",
                                      "/",
                                      "/a",
                                      "a/",
                                      "a//b",
                                      ".",
                                      "..",
                                      "a/..",
                                      "../a",
                                      "a/../b",
                                      ".a",
                                      "a/.b",
                                      "A",
                                      "a b",
                                      "a\\b",
                                      "a\n",
                                      "a:b",
                                      "1/2/3/4/5/6/7/8/9/10/11"}) {
    EXPECT_FALSE(is_bundle_path(path)) << path;
  }
  EXPECT_FALSE(is_bundle_path(std::string(kMaxPathChars + 1, 'a')));
  for (const std::string_view path :
       {"README.txt", "card.kf", "tile/0/x001/234.p/7", "checkpoints/000000000001"})
    EXPECT_TRUE(is_bundle_path(path)) << path;
}

TEST(BundlePath, IsOneForEveryNameThatWeGive) {
  const Digest digest = digest_of(9);
  const BatchId batch = *BatchId::from_bytes(Bytes(16, 2));
  for (const std::string& path :
       {checkpoint_path(~std::uint64_t{0}),
        plan_path(digest),
        approval_path(digest, *KeyId::from_bytes(digest.bytes())),
        batch_path(batch, certificates_name(99'999)),
        batch_path(batch, receipts_name(0)),
        certificate_path(digest),
        crl_path(digest),
        custody_path(digest),
        transcript_path(digest),
        leaves_path(0),
        station_log_path(*StationId::from_bytes(Bytes(16, 3)), 4'000'000'000U) +
            "tile/0/x200/000.p/255"})
    EXPECT_TRUE(is_bundle_path(path)) << path;
}

}  // namespace
}  // namespace keyferry::bundle
