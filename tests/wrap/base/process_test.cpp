#include "wrap/base/process.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/temp_folder.h"

namespace keyferry {
namespace {

namespace fs = std::filesystem;

template <typename Action>
std::optional<Code> code_of(Action action) {
  try {
    action();
  } catch (const Error& error) {
    return error.code();
  }
  return std::nullopt;
}

/// The read end of a pipe that holds `content` and then ends.
Fd pipe_with(std::string_view content) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) throw system_error(Code::Internal, "pipe2", errno);
  write_all(Fd{ends[1]}, as_bytes(content), "pipe");
  return Fd{ends[0]};
}

std::string read_line_of(std::string_view content) {
  return to_string(read_secret_line(pipe_with(content).get()).expose());
}

Child shell(const std::string& script, std::vector<std::pair<int, int>> descriptors = {}) {
  return Child{ChildSpec{.program = "/bin/sh",
                         .arguments = {"-c", script},
                         .descriptors = std::move(descriptors),
                         .environment = {{"KEYFERRY_TEST_VALUE", "given"}}}};
}

TEST(SecretLine, EndsAtANewlineOrAtTheEnd) {
  EXPECT_EQ(read_line_of("1234\n"), "1234");
  EXPECT_EQ(read_line_of("1234"), "1234");
  EXPECT_EQ(read_line_of("1234\r\n"), "1234");
  EXPECT_EQ(read_line_of("12 34 \nnext"), "12 34 ");
}

TEST(SecretLine, LeavesWhatFollowsForTheNextReader) {
  const Fd fd = pipe_with("first\nsecond\n");
  EXPECT_EQ(to_string(read_secret_line(fd.get()).expose()), "first");
  EXPECT_EQ(to_string(read_secret_line(fd.get()).expose()), "second");
}

TEST(SecretLine, HasOneTo255Octets) {
  EXPECT_EQ(read_line_of(std::string(255, 'x') + "\n").size(), 255U);
  for (const std::string& bad :
       {std::string{}, std::string{"\n"}, std::string{"\r\n"}, std::string(256, 'x')}) {
    EXPECT_EQ(code_of([&] { static_cast<void>(read_line_of(bad)); }), Code::Usage) << bad.size();
  }
}

class SecretFile : public testing::Test {
 protected:
  void SetUp() override { write_file_durably(file_, as_bytes("1234\n"), Overwrite::Refuse); }

  test::TempFolder folder_;
  fs::path file_ = folder_ / "pin";
};

TEST_F(SecretFile, IsReadWhenItIsForItsOwnerOnly) {
  for (const mode_t mode : {0600U, 0400U}) {
    ASSERT_EQ(chmod(file_.c_str(), mode), 0);
    EXPECT_EQ(to_string(read_secret_file(file_).expose()), "1234") << mode;
  }
}

TEST_F(SecretFile, IsRefusedWhenOthersMayTouchIt) {
  for (const mode_t mode : {0640U, 0620U, 0610U, 0604U, 0602U, 0601U, 0666U, 0700U, 04600U}) {
    ASSERT_EQ(chmod(file_.c_str(), mode), 0);
    EXPECT_EQ(code_of([&] { static_cast<void>(read_secret_file(file_)); }), Code::Usage) << mode;
  }
}

TEST_F(SecretFile, IsRefusedAsALinkAFolderOrNothing) {
  fs::create_symlink(file_, folder_ / "link");
  for (const fs::path& path : {folder_ / "link", folder_.path(), folder_ / "absent"}) {
    EXPECT_EQ(code_of([&] { static_cast<void>(read_secret_file(path)); }), Code::Usage) << path;
  }
}

TEST_F(SecretFile, OfAnotherUserIsRefused) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can give a file away";
  ASSERT_EQ(chown(file_.c_str(), 1, 0), 0);
  EXPECT_EQ(code_of([&] { static_cast<void>(read_secret_file(file_)); }), Code::Usage);
}

TEST(ChildProcess, TellsHowItEnded) {
  EXPECT_EQ(shell("exit 0").wait(), 0);
  EXPECT_EQ(shell("exit 7").wait(), 7);
  EXPECT_EQ(shell("kill -TERM $$").wait(), 128 + SIGTERM);
}

TEST(ChildProcess, GetsTheDescriptorsItIsGivenAndNoOthers) {
  const Fd leaked{open("/dev/null", O_RDONLY)};  // without O_CLOEXEC, on purpose
  ASSERT_TRUE(leaked.valid());
  const Fd content = pipe_with("hello\n");
  EXPECT_EQ(shell("read -r line <&3 && [ \"$line\" = hello ]", {{content.get(), 3}}).wait(), 0);
  EXPECT_EQ(shell("[ ! -e /proc/$$/fd/" + std::to_string(leaked.get()) + " ]").wait(), 0);
}

TEST(ChildProcess, MayGetDescriptorsWhoseNumbersCross) {
  const Fd a = pipe_with("a\n");
  const Fd b = pipe_with("b\n");
  EXPECT_EQ(
      shell("read -r x <&3; read -r y <&4; [ \"$x$y\" = ba ]", {{a.get(), 4}, {b.get(), 3}}).wait(),
      0);
}

TEST(ChildProcess, GetsTheEnvironmentAddedToOurs) {
  EXPECT_EQ(shell("[ \"$KEYFERRY_TEST_VALUE\" = given ] && [ -n \"$PATH\" ]").wait(), 0);
}

TEST(ChildProcess, IsKilledWithItsOwner) {
  auto [ours, theirs] = socket_pair();
  {
    Child child = shell("read -r line <&3", {{theirs.get(), 3}});
    theirs.reset();
    EXPECT_TRUE(child.running());
    EXPECT_FALSE(child.wait_for(std::chrono::milliseconds{0}));
  }
  char octet = 0;
  EXPECT_EQ(read(ours.get(), &octet, 1), 0) << "the other end is closed: the process has gone";
}

TEST(ChildProcess, AnswersAskedForWithSignalsToo) {
  auto [ours, theirs] = socket_pair();
  Child child = shell("read -r line <&3", {{theirs.get(), 3}});
  child.kill(SIGKILL);
  EXPECT_EQ(child.wait(), 128 + SIGKILL);
  EXPECT_FALSE(child.running());
}

TEST(ChildProcess, ThatIsNotThereIsAnError) {
  EXPECT_EQ(
      code_of([] {
        Child{ChildSpec{
            .program = "/no/such/program", .arguments = {}, .descriptors = {}, .environment = {}}};
      }),
      Code::Channel);
}

TEST(Sibling, IsInTheFolderOfTheRunningProgram) {
  EXPECT_EQ(sibling_program("x").filename(), "x");
  EXPECT_TRUE(fs::exists(sibling_program(fs::read_symlink("/proc/self/exe").filename().string())));
}

}  // namespace
}  // namespace keyferry
