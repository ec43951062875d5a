#include "token/transfer.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include <fstream>

#include "tests/support/temp_folder.h"
#include "tests/token/sample_items.h"
#include "tests/token/token_fixture.h"
#include "wrap/crypto/hash.h"

namespace keyferry::token {
namespace {

namespace fs = std::filesystem;

using keyferry::test::TempFolder;
using test::container_of;
using test::pattern;
using test::reason_of;

constexpr std::uint64_t kLimit = std::uint64_t{1} << 30;
const std::string kName = "keyferry/batch/file.kf";

class Transfer : public testing::Test {
 protected:
  TempFolder stick_;
  TempFolder disk_;
  FolderMedium medium_{stick_.path()};

  void put(const std::string& name, ByteView content) const {
    fs::create_directories((stick_ / name).parent_path());
    const Fd fd{open((stick_ / name).c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)};
    write_all(fd, content, name);
  }

  Bytes on_stick(const std::string& name) const { return read_file(stick_ / name, kLimit); }

  std::variant<CopiedIn, Refusal> copy(Medium& medium, std::uint64_t limit = kLimit) const {
    return copy_in(medium, kName, disk_ / "copy", FileForm::Container, limit);
  }

  bool nothing_copied() const { return fs::is_empty(disk_.path()); }
};

Code code_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    return error.code();
  }
  return Code::Internal;
}

// --- in
// ---------------------------------------------------------------------------------------------------------------

TEST_F(Transfer, CopiesAContainerWhole) {
  const Bytes content = container_of(pattern(3U << 20), test::plain_header(8U << 20));
  put(kName, content);
  const auto copied = copy(medium_);
  ASSERT_EQ(reason_of(copied), "");
  EXPECT_EQ(std::get<CopiedIn>(copied).size_bytes, content.size());
  EXPECT_EQ(std::get<CopiedIn>(copied).sha256, crypto::sha256(content));
  EXPECT_EQ(read_file(disk_ / "copy", kLimit), content);
}

TEST_F(Transfer, RefusesTenGigabytesOfZerosWithoutCopying) {
  put(kName, Bytes{});
  fs::resize_file(stick_ / kName, std::uintmax_t{10} << 30);
  EXPECT_EQ(reason_of(copy(medium_)), "too-large");
  EXPECT_EQ(reason_of(copy(medium_, std::uint64_t{1} << 40)), "magic");
  EXPECT_TRUE(nothing_copied());
}

TEST_F(Transfer, RefusesAGoodHeaderWithGigabytesBehindIt) {
  put(kName, encode(test::plain_header()));
  fs::resize_file(stick_ / kName, std::uintmax_t{10} << 30);
  EXPECT_EQ(reason_of(copy(medium_, std::uint64_t{1} << 40)), "size");
  EXPECT_TRUE(nothing_copied());
}

TEST_F(Transfer, RefusesWhatIsNotThereEmptyOrNoFile) {
  EXPECT_EQ(reason_of(copy(medium_)), "absent");
  put(kName, Bytes{});
  EXPECT_EQ(reason_of(copy(medium_)), "empty");
  fs::remove(stick_ / kName);
  fs::create_symlink("/etc/passwd", stick_ / kName);
  EXPECT_EQ(reason_of(copy(medium_)), "link");
  fs::remove(stick_ / kName);
  fs::create_directory(stick_ / kName);
  EXPECT_EQ(reason_of(copy(medium_)), "link");
  fs::remove(stick_ / kName);
  put(kName, Bytes(50, 'x'));
  EXPECT_EQ(reason_of(copy(medium_)), "size");
  put(kName, encode(test::plain_header()));
  EXPECT_EQ(reason_of(copy(medium_)), "size");
  EXPECT_TRUE(nothing_copied());
}

TEST_F(Transfer, RefusesAFileBehindAFolderThatIsALink) {
  fs::create_directories(stick_ / "elsewhere/batch");
  put("elsewhere/batch/file.kf", container_of(pattern(10)));
  fs::create_directory_symlink("elsewhere", stick_ / "keyferry");
  EXPECT_EQ(reason_of(copy(medium_)), "link");
}

TEST_F(Transfer, ReadsASignedFileToMemory) {
  const Bytes content = encode(test::sample_signed_card());
  put("keyferry/card.kf", content);
  const auto got = read_in(medium_, "keyferry/card.kf");
  ASSERT_EQ(reason_of(got), "");
  EXPECT_EQ(std::get<Bytes>(got), content);
  put("keyferry/card.kf", Bytes(kMaxSignedBytes + 1, 1));
  EXPECT_EQ(reason_of(read_in(medium_, "keyferry/card.kf")), "too-large");
  EXPECT_EQ(reason_of(read_in(medium_, "keyferry/absent.kf")), "absent");
}

TEST_F(Transfer, ReplacesAnOlderCopy) {
  put(kName, container_of(pattern(10)));
  ASSERT_EQ(reason_of(copy(medium_)), "");
  const Bytes newer = container_of(pattern(20));
  put(kName, newer);
  ASSERT_EQ(reason_of(copy(medium_)), "");
  EXPECT_EQ(read_file(disk_ / "copy", kLimit), newer);
}

/// A file that answers with other sizes and contents than it has.
class LyingFile final : public MediumFile {
 public:
  LyingFile(std::unique_ptr<MediumFile> inner, std::int64_t size_change, bool flip)
      : inner_{std::move(inner)}, size_change_{size_change}, flip_{flip} {}

  [[nodiscard]] std::uint64_t size_bytes() const override {
    return inner_->size_bytes() + static_cast<std::uint64_t>(size_change_);
  }

  [[nodiscard]] std::size_t read_at(std::uint64_t offset, std::span<std::uint8_t> out) override {
    const std::size_t got = inner_->read_at(offset, out);
    if (flip_ && got > 0 && offset == 0) out[got / 2] = static_cast<std::uint8_t>(out[got / 2] ^ 1);
    return got;
  }

 private:
  std::unique_ptr<MediumFile> inner_;
  std::int64_t size_change_;
  bool flip_;
};

class LyingMedium final : public test::ForwardMedium {
 public:
  LyingMedium(Medium& inner, ReadFrom lies_about, std::int64_t size_change, bool flip)
      : ForwardMedium{inner}, lies_about_{lies_about}, size_change_{size_change}, flip_{flip} {}

  std::unique_ptr<MediumFile> open(const std::string& name, ReadFrom from) override {
    auto inner = ForwardMedium::open(name, from);
    if (from != lies_about_ || inner == nullptr) return inner;
    return std::make_unique<LyingFile>(std::move(inner), size_change_, flip_);
  }

 private:
  ReadFrom lies_about_;
  std::int64_t size_change_;
  bool flip_;
};

TEST_F(Transfer, NoticesAFileThatIsNotAsLongAsItSaid) {
  put(kName, container_of(pattern(3U << 20), test::plain_header(8U << 20)));
  LyingMedium shorter{medium_, ReadFrom::Cache, 10, false};
  EXPECT_EQ(reason_of(copy(shorter)), "changed");
  LyingMedium longer{medium_, ReadFrom::Cache, -10, false};
  EXPECT_EQ(reason_of(copy(longer)), "changed");
  EXPECT_TRUE(nothing_copied());
}

// --- out
// --------------------------------------------------------------------------------------------------------------

TEST_F(Transfer, WritesFromMemoryAndFromAFile) {
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{1}, std::size_t{1} << 20, (std::size_t{5} << 20) + 17}) {
    const Bytes content = pattern(size);
    const std::string name = "keyferry/from-memory-" + std::to_string(size);
    EXPECT_EQ(write_out(medium_, name, content, Overwrite::Refuse), WriteOut::Written);
    EXPECT_EQ(on_stick(name), content);
    const std::string other = "keyferry/from-file-" + std::to_string(size);
    EXPECT_EQ(write_out(medium_, other, test::file_of(content), Overwrite::Refuse),
              WriteOut::Written);
    EXPECT_EQ(on_stick(other), content);
  }
}

TEST_F(Transfer, LeavesNoTemporaryFileAndRemovesAnOldOne) {
  put(kName + ".tmp", pattern(100));
  write_out(medium_, kName, pattern(50), Overwrite::Refuse);
  EXPECT_FALSE(fs::exists(stick_ / (kName + ".tmp")));
  EXPECT_EQ(on_stick(kName), pattern(50));
}

TEST_F(Transfer, LeavesAnEqualFileAlone) {
  const Bytes content = pattern((2U << 20) + 5);
  ASSERT_EQ(write_out(medium_, kName, content, Overwrite::Refuse), WriteOut::Written);

  struct stat before {};

  ASSERT_EQ(stat((stick_ / kName).c_str(), &before), 0);
  EXPECT_EQ(write_out(medium_, kName, content, Overwrite::Refuse), WriteOut::AlreadyThere);

  struct stat after {};

  ASSERT_EQ(stat((stick_ / kName).c_str(), &after), 0);
  EXPECT_EQ(before.st_ino, after.st_ino);
}

TEST_F(Transfer, ReplacesAnotherContentOnlyWhenTold) {
  write_out(medium_, kName, pattern(10), Overwrite::Refuse);
  EXPECT_EQ(code_of([&] { write_out(medium_, kName, pattern(11), Overwrite::Refuse); }),
            Code::Refused);
  EXPECT_EQ(on_stick(kName), pattern(10));
  EXPECT_EQ(write_out(medium_, kName, pattern(11), Overwrite::Replace), WriteOut::Written);
  EXPECT_EQ(on_stick(kName), pattern(11));
}

TEST_F(Transfer, DoesNotWriteOverALink) {
  fs::create_directories(stick_ / "keyferry/batch");
  fs::create_symlink(disk_ / "victim", stick_ / kName);
  fs::create_symlink(disk_ / "victim", stick_ / (kName + ".tmp"));
  EXPECT_EQ(code_of([&] { write_out(medium_, kName, pattern(10), Overwrite::Replace); }),
            Code::Refused);
  fs::remove(stick_ / kName);
  EXPECT_EQ(write_out(medium_, kName, pattern(10), Overwrite::Replace), WriteOut::Written);
  EXPECT_TRUE(nothing_copied());
}

TEST_F(Transfer, NoticesAMediumThatAnswersTheSecondReadDifferently) {
  LyingMedium lying{medium_, ReadFrom::Device, 0, true};
  try {
    write_out(lying, kName, pattern(100), Overwrite::Refuse);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::Medium);
    EXPECT_NE(std::string{error.what()}.find("answers the second read differently"),
              std::string::npos);
  }
  EXPECT_EQ(code_of([&] { write_out(medium_, "keyferry/other", pattern(1), Overwrite::Refuse); }),
            Code::Medium)
      << "given up for good";
}

/// A stick with a fault: little room, or a step that fails.
class FaultyMedium final : public test::ForwardMedium {
 public:
  using ForwardMedium::ForwardMedium;

  std::uint64_t free_bytes() override { return room_.value_or(ForwardMedium::free_bytes()); }

  std::unique_ptr<MediumWriter> create(const std::string& name) override {
    created_ = true;
    return std::make_unique<Writer>(ForwardMedium::create(name), *this);
  }

  void rename(const std::string& from, const std::string& to) override {
    step();
    ForwardMedium::rename(from, to);
  }

  void sync_folder(const std::string& folder) override {
    step();
    ForwardMedium::sync_folder(folder);
  }

  /// The n-th write, fsync, rename or folder fsync fails, and each after it: the stick was pulled.
  void step() {
    ++steps_;
    if (fails_at_ != 0 && steps_ >= fails_at_) throw system_error(Code::Medium, "pulled", EIO);
  }

  std::optional<std::uint64_t> room_;
  int fails_at_ = 0;
  int steps_ = 0;
  bool created_ = false;

 private:
  class Writer final : public MediumWriter {
   public:
    Writer(std::unique_ptr<MediumWriter> inner, FaultyMedium& medium)
        : inner_{std::move(inner)}, medium_{medium} {}

    void write(ByteView content) override {
      medium_.step();
      inner_->write(content);
    }

    void sync() override {
      medium_.step();
      inner_->sync();
    }

   private:
    std::unique_ptr<MediumWriter> inner_;
    FaultyMedium& medium_;
  };
};

TEST_F(Transfer, LooksForRoomBeforeItWrites) {
  FaultyMedium full{medium_};
  full.room_ = kRoomToSpareBytes + 99;
  EXPECT_EQ(code_of([&] { write_out(full, kName, pattern(100), Overwrite::Refuse); }),
            Code::Medium);
  EXPECT_FALSE(full.created_);
  full.room_ = kRoomToSpareBytes + 100;
  EXPECT_EQ(write_out(full, kName, pattern(100), Overwrite::Refuse), WriteOut::Written);
}

TEST_F(Transfer, PulledAtAnyStepTheNameIsAbsentOrWholeAndTheNextRunFinishes) {
  const Bytes content = pattern((3U << 20) + 5);
  FaultyMedium counting{medium_};
  write_out(counting, "keyferry/batch/count.kf", content, Overwrite::Refuse);
  ASSERT_GT(counting.steps_, 9);
  for (int n = 1; n <= counting.steps_; ++n) {
    const std::string name = "keyferry/batch/" + std::to_string(n) + ".kf";
    FaultyMedium faulty{medium_};
    faulty.fails_at_ = n;
    EXPECT_EQ(code_of([&] { write_out(faulty, name, content, Overwrite::Refuse); }), Code::Medium)
        << n;
    EXPECT_TRUE(!fs::exists(stick_ / name) || on_stick(name) == content) << n;
    FolderMedium again{stick_.path()};
    write_out(again, name, content, Overwrite::Refuse);
    EXPECT_EQ(on_stick(name), content);
  }
}

TEST_F(Transfer, AFileSystemThatEndsInTheMiddleLeavesNoName) {
  // RLIMIT_FSIZE stands for the last block: write gives less, then EFBIG.
  const auto before_signal = signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  rlimit small = before;
  small.rlim_cur = (1U << 20) + 1000;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const Code code =
      code_of([&] { write_out(medium_, kName, pattern(3U << 20), Overwrite::Refuse); });
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  signal(SIGXFSZ, before_signal);
  EXPECT_EQ(code, Code::Medium);
  EXPECT_FALSE(fs::exists(stick_ / kName));
  EXPECT_EQ(code_of([&] { write_out(medium_, kName, pattern(10), Overwrite::Refuse); }),
            Code::Medium);
  FolderMedium again{stick_.path()};
  EXPECT_EQ(write_out(again, kName, pattern(10), Overwrite::Refuse), WriteOut::Written);
}

TEST_F(Transfer, OurOwnFullDiskIsNotTheSticksFault) {
  put(kName, container_of(pattern(3U << 20), test::plain_header(8U << 20)));
  const auto before_signal = signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  rlimit small = before;
  small.rlim_cur = 1U << 20;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const Code code = code_of([&] { static_cast<void>(copy(medium_)); });
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  signal(SIGXFSZ, before_signal);
  EXPECT_EQ(code, Code::Storage);
  EXPECT_TRUE(nothing_copied());
  EXPECT_EQ(reason_of(copy(medium_)), "");
}

}  // namespace
}  // namespace keyferry::token
