#include "token/medium.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "tests/support/temp_folder.h"
#include "tests/token/token_fixture.h"

namespace keyferry::token {
namespace {

namespace fs = std::filesystem;

using keyferry::test::TempFolder;

Bytes read_whole(MediumFile& file) {
  Bytes out(static_cast<std::size_t>(file.size_bytes()));
  EXPECT_EQ(file.read_at(0, out), out.size());
  return out;
}

void put(const fs::path& path, ByteView content) {
  std::ofstream out{path, std::ios::binary};
  out.write(reinterpret_cast<const char*>(content.data()),
            static_cast<std::streamsize>(content.size()));
}

TEST(MediumName, HasItsPattern) {
  for (const char* good : {"a", "keyferry/token.kf", "a/b/c/d", "a-1.2.3", "0"})
    EXPECT_TRUE(is_medium_name(good)) << good;
  for (const char* bad : {"",
                          "/",
                          "/a",
                          "a/",
                          "a//b",
                          ".",
                          "..",
                          "a/../b",
                          ".hidden",
                          "a/.b",
                          "A",
                          "a b",
                          "a_b",
                          "a\\b",
                          "a/b/c/d/e",
                          "\xc3\xa4"}) {
    EXPECT_FALSE(is_medium_name(bad)) << bad;
  }
  EXPECT_FALSE(is_medium_name(std::string(101, 'a')));
}

TEST(FolderMedium, RefusesAFolderThatIsNotThere) {
  const TempFolder folder;
  try {
    FolderMedium medium{folder / "absent"};
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::Medium);
  }
}

TEST(FolderMedium, RefusesNamesThatLeadAway) {
  const TempFolder folder;
  FolderMedium medium{folder.path()};
  EXPECT_THROW(static_cast<void>(medium.open("../x", ReadFrom::Cache)), Error);
  EXPECT_THROW(static_cast<void>(medium.create("/etc/x")), Error);
  EXPECT_THROW(medium.remove(""), Error);
}

TEST(FolderMedium, ReadsTheSameFromCacheAndDevice) {
  const TempFolder folder;
  const Bytes content = test::pattern((3U << 20) + 4097);
  put(folder / "file", content);
  FolderMedium medium{folder.path()};
  EXPECT_EQ(read_whole(*medium.open("file", ReadFrom::Cache)), content);
  const auto device = medium.open("file", ReadFrom::Device);
  EXPECT_EQ(read_whole(*device), content);
  for (const std::size_t offset : {std::size_t{1},
                                   std::size_t{4095},
                                   std::size_t{4096},
                                   std::size_t{1} << 20,
                                   content.size() - 10}) {
    Bytes part(5000);
    const std::size_t there = std::min(part.size(), content.size() - offset);
    ASSERT_EQ(device->read_at(offset, part), there) << offset;
    EXPECT_TRUE(equal(ByteView{part}.first(there), ByteView{content}.subspan(offset, there)))
        << offset;
  }
  Bytes beyond(10);
  EXPECT_EQ(device->read_at(content.size(), beyond), 0U);
}

TEST(FolderMedium, OpensNoLinksPipesAndFolders) {
  const TempFolder folder;
  put(folder / "file", test::pattern(10));
  fs::create_symlink("file", folder / "link");
  fs::create_directory(folder / "folder");
  fs::create_directory_symlink("folder", folder / "linked-folder");
  put(folder / "folder/file", test::pattern(10));
  ASSERT_EQ(mkfifo((folder / "pipe").c_str(), 0600), 0);
  FolderMedium medium{folder.path()};
  for (const char* name : {"link", "folder", "pipe", "linked-folder/file", "file/x"}) {
    try {
      static_cast<void>(medium.open(name, ReadFrom::Cache));
      ADD_FAILURE() << name;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Code::Refused) << name;
    }
  }
  EXPECT_EQ(medium.open("absent", ReadFrom::Cache), nullptr);
  EXPECT_EQ(medium.open("absent/file", ReadFrom::Cache), nullptr);
  EXPECT_NE(medium.open("file", ReadFrom::Cache), nullptr)
      << "a refusal is not a failure of the stick";
}

TEST(FolderMedium, LooksWithoutFollowingLinks) {
  const TempFolder folder;
  put(folder / "file", test::pattern(10));
  fs::create_symlink("file", folder / "link");
  fs::create_directory(folder / "folder");
  FolderMedium medium{folder.path()};
  EXPECT_FALSE(medium.look("absent"));
  EXPECT_EQ(medium.look("file")->kind, EntryKind::File);
  EXPECT_EQ(medium.look("file")->size_bytes, 10U);
  EXPECT_EQ(medium.look("link")->kind, EntryKind::Other);
  EXPECT_EQ(medium.look("folder")->kind, EntryKind::Folder);
}

TEST(FolderMedium, MakesFilesThatAnotherUserCanRead) {
  const TempFolder folder;
  const mode_t before = umask(077);
  FolderMedium medium{folder.path()};
  medium.make_folder("a");
  medium.create("a/file")->write(test::pattern(3));
  umask(before);
  EXPECT_EQ(fs::status(folder / "a/file").permissions(), static_cast<fs::perms>(0644));
  EXPECT_EQ(fs::status(folder / "a").permissions(), static_cast<fs::perms>(0755));
}

TEST(FolderMedium, IsNotAskedAgainAfterItsFirstFailure) {
  const TempFolder folder;
  FolderMedium medium{folder.path()};
  put(folder / "taken", test::pattern(3));
  EXPECT_THROW(static_cast<void>(medium.create("taken")), Error);
  try {
    static_cast<void>(medium.list("", 10));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::Medium);
    EXPECT_NE(std::string{error.what()}.find("create taken"), std::string::npos)
        << "it says what came first";
  }
}

TEST(FolderMedium, StopsFilesThatAreOpenWhenItIsGivenUp) {
  const TempFolder folder;
  put(folder / "file", test::pattern(10));
  FolderMedium medium{folder.path()};
  const auto file = medium.open("file", ReadFrom::Cache);
  const auto writer = medium.create("new");
  medium.give_up("a test says so");
  Bytes out(4);
  EXPECT_THROW(static_cast<void>(file->read_at(0, out)), Error);
  EXPECT_THROW(writer->write(out), Error);
  EXPECT_THROW(writer->sync(), Error);
}

}  // namespace
}  // namespace keyferry::token
