#include "wrap/base/durable_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "tests/support/temp_folder.h"

namespace keyferry {
namespace {

namespace fs = std::filesystem;

Bytes text(std::string_view content) {
  return to_bytes(as_bytes(content));
}

void put(const fs::path& path, std::string_view content) {
  std::ofstream{path} << content;
}

class DurableFile : public testing::Test {
 protected:
  [[nodiscard]] std::size_t entries() const {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator{folder_.path()}, {}));
  }

  test::TempFolder folder_;
  fs::path file_ = folder_ / "file";
};

/// The code with which `action` throws; nothing if it does not.
template <typename Action>
std::optional<Code> code_of(Action action) {
  try {
    action();
  } catch (const Error& error) {
    return error.code();
  }
  return std::nullopt;
}

TEST_F(DurableFile, IsWholeAndForItsOwnerOnly) {
  write_file_durably(file_, text("content"), Overwrite::Refuse);
  EXPECT_EQ(read_file(file_, 100), text("content"));

  struct stat status {};

  ASSERT_EQ(stat(file_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600U);
  EXPECT_EQ(entries(), 1U) << "no temporary file is left";
}

TEST_F(DurableFile, IsNotOverwrittenUnlessToldTo) {
  write_file_durably(file_, text("old"), Overwrite::Refuse);
  EXPECT_EQ(code_of([&] { write_file_durably(file_, text("new"), Overwrite::Refuse); }),
            Code::Refused);
  EXPECT_EQ(read_file(file_, 100), text("old"));
  write_file_durably(file_, text("new"), Overwrite::Replace);
  EXPECT_EQ(read_file(file_, 100), text("new"));
}

TEST_F(DurableFile, IsNotWrittenWhereADanglingLinkStands) {
  fs::create_symlink(folder_ / "elsewhere", file_);
  EXPECT_EQ(code_of([&] { write_file_durably(file_, text("new"), Overwrite::Refuse); }),
            Code::Refused);
  EXPECT_FALSE(fs::exists(folder_ / "elsewhere"));
}

TEST_F(DurableFile, ReplacesALinkAndNotWhatItPointsTo) {
  put(folder_ / "elsewhere", "untouched");
  fs::create_symlink(folder_ / "elsewhere", file_);
  write_file_durably(file_, text("new"), Overwrite::Replace);
  EXPECT_EQ(read_file(folder_ / "elsewhere", 100), text("untouched"));
  EXPECT_FALSE(fs::is_symlink(file_));
}

TEST_F(DurableFile, DoesNotFollowALinkUnderItsTemporaryName) {
  put(folder_ / "elsewhere", "untouched");
  fs::create_symlink(folder_ / "elsewhere", folder_ / "file.tmp");
  EXPECT_EQ(code_of([&] { write_file_durably(file_, text("new"), Overwrite::Replace); }),
            Code::Storage);
  EXPECT_EQ(read_file(folder_ / "elsewhere", 100), text("untouched"));
}

TEST_F(DurableFile, SaysStorageWhenTheFolderIsNotThere) {
  EXPECT_EQ(
      code_of([&] { write_file_durably(folder_ / "no/file", text("x"), Overwrite::Replace); }),
      Code::Storage);
}

TEST_F(DurableFile, GrowsUnderATemporaryNameUntilCommitted) {
  put(file_, "old");
  {
    DurableWriter writer{file_};
    writer.write(text("new "));
    writer.sync();
    EXPECT_EQ(read_file(file_, 100), text("old"));
    writer.write(text("content"));
    EXPECT_EQ(writer.size_bytes(), 11U);
    writer.commit();
  }
  EXPECT_EQ(read_file(file_, 100), text("new content"));
  EXPECT_EQ(entries(), 1U);
}

TEST_F(DurableFile, LeavesNothingWhenItIsNotCommitted) {
  put(file_, "old");
  { DurableWriter{file_}.write(text("new")); }
  EXPECT_EQ(read_file(file_, 100), text("old"));
  EXPECT_EQ(entries(), 1U);
}

TEST_F(DurableFile, WritesOverATemporaryFileThatAPowerCutLeft) {
  put(folder_ / "file.tmp", "longer than what is written now");
  write_file_durably(file_, text("new"), Overwrite::Refuse);
  EXPECT_EQ(read_file(file_, 100), text("new"));
  EXPECT_EQ(entries(), 1U);
}

class ReadingAFile : public DurableFile {};

TEST_F(ReadingAFile, StopsAtTheLimit) {
  put(file_, "12345");
  EXPECT_EQ(read_file(file_, 5), text("12345"));
  EXPECT_EQ(code_of([&] { static_cast<void>(read_file(file_, 4)); }), Code::Storage);
}

TEST_F(ReadingAFile, RefusesASymbolicLink) {
  put(folder_ / "elsewhere", "content");
  fs::create_symlink(folder_ / "elsewhere", file_);
  EXPECT_EQ(code_of([&] { static_cast<void>(read_file(file_, 100)); }), Code::Storage);
  EXPECT_EQ(code_of([&] { static_cast<void>(read_file_if_exists(file_, 100)); }), Code::Storage);
  EXPECT_EQ(code_of([&] { static_cast<void>(open_regular_file(file_, Code::Medium)); }),
            Code::Medium);
}

TEST_F(ReadingAFile, RefusesAPipeWithoutHangingAFolderAndADevice) {
  ASSERT_EQ(mkfifo(file_.c_str(), 0600), 0);
  EXPECT_EQ(code_of([&] { static_cast<void>(read_file(file_, 100)); }), Code::Storage);
  EXPECT_EQ(code_of([&] { static_cast<void>(read_file(folder_.path(), 100)); }), Code::Storage);
  EXPECT_EQ(code_of([&] { static_cast<void>(read_file("/dev/zero", 100)); }), Code::Storage);
}

TEST_F(ReadingAFile, TellsAbsenceFromRefusal) {
  EXPECT_FALSE(read_file_if_exists(file_, 100));
  EXPECT_EQ(code_of([&] { static_cast<void>(read_file(file_, 100)); }), Code::Storage);
  put(file_, "");
  EXPECT_EQ(read_file_if_exists(file_, 100), Bytes{});
}

TEST_F(ReadingAFile, AtAnOffsetNeedsAllOctetsToBeThere) {
  put(file_, "0123456789");
  const Fd fd = open_regular_file(file_, Code::Storage);
  EXPECT_EQ(file_size_bytes(fd), 10U);
  Bytes out(4);
  EXPECT_TRUE(read_exactly_at(fd, 6, out));
  EXPECT_EQ(out, text("6789"));
  EXPECT_FALSE(read_exactly_at(fd, 7, out));
  EXPECT_FALSE(read_exactly_at(fd, 100, out));
}

TEST_F(DurableFile, FolderIsMadeWithItsParentsForItsOwnerOnly) {
  make_private_directory(folder_ / "a/b/c");

  struct stat status {};

  ASSERT_EQ(stat((folder_ / "a/b/c").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0700U);
  make_private_directory(folder_ / "a/b/c");
}

TEST_F(DurableFile, TreeIsSyncedWithLinksThatLeadNowhereInIt) {
  make_private_directory(folder_ / "tree/sub");
  put(folder_ / "tree/sub/file", "content");
  fs::create_symlink("nowhere", folder_ / "tree/link");
  EXPECT_NO_THROW(sync_tree(folder_ / "tree"));
  EXPECT_NO_THROW(sync_directory(folder_.path()));
}

TEST_F(DurableFile, LockIsHeldByOneAtATime) {
  const fs::path lock = folder_ / "lock";
  {
    const FileLock held{lock};
    EXPECT_EQ(code_of([&] { const FileLock second{lock}; }), Code::Storage);
  }
  EXPECT_NO_THROW(FileLock{lock});
}

TEST_F(DurableFile, DescriptorClosesItselfOnce) {
  Fd first = open_regular_file(
      [&] {
        put(file_, "x");
        return file_;
      }(),
      Code::Storage);
  const int number = first.get();
  Fd second = std::move(first);
  EXPECT_FALSE(first.valid());  // NOLINT(bugprone-use-after-move): that is what is tested
  EXPECT_EQ(second.get(), number);
  second.reset();
  EXPECT_EQ(fcntl(number, F_GETFD), -1);
}

}  // namespace
}  // namespace keyferry
