#include "token/layout.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/support/temp_folder.h"
#include "tests/token/token_fixture.h"

namespace keyferry::token {
namespace {

namespace fs = std::filesystem;

using test::id_filled;

const BatchId kBatch = id_filled<BatchId>(0xb1);
const StationId kStation = id_filled<StationId>(0x51);

void put(const fs::path& root, const std::string& name, const std::string& content = "x") {
  fs::create_directories((root / name).parent_path());
  std::ofstream{root / name} << content;
}

TEST(TokenNames, AreTheseTexts) {
  EXPECT_EQ(segment_name(kBatch, {7}),
            "keyferry/batch/b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1/segment-00007.kf");
  EXPECT_EQ(manifest_name(kBatch), "keyferry/batch/b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1/manifest.kf");
  EXPECT_EQ(answer_name(kStation), "keyferry/enrol/answer-51515151515151515151515151515151.kf");
  EXPECT_EQ(request_name(id_filled<Digest>(0xab)), "keyferry/enrol/request-abababababababab.kf");
  EXPECT_EQ(receipts_name(kStation, 1, 0, 18446744073709551615U),
            "keyferry/receipts/51515151515151515151515151515151-1-0-18446744073709551615.kf");
}

TEST(TokenNames, AreReadBack) {
  const std::vector<std::pair<std::string, TokenName>> names{
      {std::string{kTokenCardName}, TokenCardName{}},
      {std::string{kApplianceCardName}, ApplianceCardName{}},
      {std::string{kRevocationsName}, RevocationsName{}},
      {std::string{kCustodyName}, CustodyName{}},
      {request_name(id_filled<Digest>(0xab)), RequestName{"abababababababab"}},
      {answer_name(kStation), AnswerName{kStation}},
      {manifest_name(kBatch), ManifestName{kBatch}},
      {segment_name(kBatch, {kMaxSegmentNameIndex}), SegmentName{kBatch, {kMaxSegmentNameIndex}}},
      {receipts_name(kStation, 2, 10, 200), ReceiptsName{kStation, 2, 10, 200}},
  };
  for (const auto& [text, name] : names) {
    EXPECT_TRUE(is_medium_name(text)) << text;
    EXPECT_EQ(parse_name(text), name) << text;
  }
}

TEST(TokenNames, HaveOneSpellingOnly) {
  const std::string batch = "keyferry/batch/" + kBatch.hex();
  const std::string receipts = "keyferry/receipts/" + kStation.hex();
  for (const std::string& text :
       std::vector<std::string>{"",
                                "keyferry",
                                "keyferry/",
                                "/keyferry/card.kf",
                                "keyferry/card.kf/",
                                "keyferry//card.kf",
                                "KEYFERRY/card.kf",
                                "keyferry/card.KF",
                                "keyferry/card",
                                "keyferry/card.kf.tmp",
                                "keyferry/other.kf",
                                "keyferry/../keyferry/card.kf",
                                batch + ".kf",
                                batch + "/segment-1.kf",
                                batch + "/segment-000001.kf",
                                batch + "/segment-0000x.kf",
                                batch + "/segment--0001.kf",
                                batch + "/segment-+0001.kf",
                                batch + "/manifest.kf/x.kf",
                                batch + "/manifest-1.kf",
                                "keyferry/batch/B1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1/manifest.kf",
                                "keyferry/batch/b1/manifest.kf",
                                "keyferry/enrol/request-abc.kf",
                                "keyferry/enrol/request-ABABABABABABABAB.kf",
                                "keyferry/enrol/answer-51.kf",
                                receipts + "-01-0-1.kf",
                                receipts + "-1-00-1.kf",
                                receipts + "-1-0.kf",
                                receipts + "-1-0-1-2.kf",
                                receipts + "--1-0-1.kf",
                                receipts + "-1-0-18446744073709551616.kf",
                                receipts + "-4294967296-0-1.kf",
                                receipts + "-1-0-.kf",
                                receipts + "-1- 0-1.kf"}) {
    EXPECT_FALSE(parse_name(text)) << text;
  }
  EXPECT_THROW(segment_name(kBatch, {kMaxSegmentNameIndex + 1}), Error);
}

TEST(TokenListing, ShowsOursInOrderAndTheRestAsStrange) {
  const keyferry::test::TempFolder folder;
  put(folder.path(), "System Volume Information/x");  // beside ours: nobody's business
  put(folder.path(), "keyferry/token.kf", "12345");
  put(folder.path(), segment_name(kBatch, {1}));
  put(folder.path(), segment_name(kBatch, {0}));
  put(folder.path(), manifest_name(kBatch));
  put(folder.path(), manifest_name(kBatch) + ".tmp");
  put(folder.path(), receipts_name(kStation, 1, 0, 3));
  put(folder.path(), "keyferry/notes.txt");
  put(folder.path(), "keyferry/odd\x1b[2Jname");
  put(folder.path(), "keyferry/batch/deep/deeper/deepest/file");
  fs::create_symlink("/etc/passwd", folder / "keyferry/card.kf");
  fs::create_directory(folder / "keyferry/batch/manifest.kf");

  FolderMedium medium{folder.path()};
  const TokenListing listing = list_token(medium);
  std::vector<std::string> names;
  for (const TokenFile& file : listing.files) names.push_back(file.name);
  EXPECT_EQ(names,
            (std::vector<std::string>{manifest_name(kBatch),
                                      segment_name(kBatch, {0}),
                                      segment_name(kBatch, {1}),
                                      receipts_name(kStation, 1, 0, 3),
                                      std::string{kTokenCardName}}));
  EXPECT_EQ(listing.files.back().size_bytes, 5U);
  EXPECT_EQ(listing.strange,
            (std::vector<std::string>{"keyferry/batch/deep/deeper",
                                      "keyferry/card.kf",
                                      "keyferry/notes.txt",
                                      "keyferry/odd\\x1b[2Jname"}));
  EXPECT_FALSE(listing.too_many);
}

TEST(TokenListing, OfAnEmptyStickIsEmpty) {
  const keyferry::test::TempFolder folder;
  FolderMedium medium{folder.path()};
  const TokenListing listing = list_token(medium);
  EXPECT_TRUE(listing.files.empty());
  EXPECT_TRUE(listing.strange.empty());
}

TEST(TokenListing, DoesNotFollowAFolderThatIsALink) {
  const keyferry::test::TempFolder folder;
  put(folder.path(), "elsewhere/token.kf");
  fs::create_symlink("elsewhere", folder / "keyferry");
  FolderMedium medium{folder.path()};
  EXPECT_THROW(static_cast<void>(list_token(medium)), Error);
  EXPECT_THROW(static_cast<void>(medium.open("keyferry/token.kf", ReadFrom::Cache)), Error);
}

/// A stick that claims as many files as one asks for.
class EndlessMedium final : public test::ForwardMedium {
 public:
  using ForwardMedium::ForwardMedium;

  std::vector<MediumEntry> list(const std::string&, std::size_t max_entries) override {
    asked_ += max_entries;
    std::vector<MediumEntry> out;
    for (std::size_t i = 0; i < max_entries; ++i)
      out.push_back({std::to_string(i), EntryKind::File, 1});
    return out;
  }

  std::size_t asked_ = 0;
};

TEST(TokenListing, StopsAtAStickWithoutEnd) {
  const keyferry::test::TempFolder folder;
  FolderMedium medium{folder.path()};
  EndlessMedium endless{medium};
  const TokenListing listing = list_token(endless);
  EXPECT_TRUE(listing.too_many);
  EXPECT_TRUE(listing.files.empty());
  EXPECT_LE(endless.asked_, kMaxListedFiles + 1);
}

}  // namespace
}  // namespace keyferry::token
