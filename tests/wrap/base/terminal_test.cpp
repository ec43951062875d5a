// prompt_secret on a real terminal (a pseudo-terminal that is the child's own): no echo while it waits, and the echo comes
// back whatever ends it.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include <utmp.h>

#include <string>

#include "wrap/base/process.h"

namespace keyferry {
namespace {

constexpr std::string_view kPrompt = "PIN: ";

class Prompt : public ::testing::Test {
 protected:
  void SetUp() override {
    int main_end = -1, terminal = -1;
    ASSERT_EQ(openpty(&main_end, &terminal, nullptr, nullptr, nullptr), 0);
    main_ = Fd{main_end};
    terminal_ = Fd{terminal};
  }

  void TearDown() override {
    if (child_ > 0) {
      kill(child_, SIGKILL);
      waitpid(child_, nullptr, 0);
    }
  }

  void start() {
    child_ = fork();
    if (child_ != 0) return;
    if (login_tty(terminal_.release()) != 0) _exit(100);
    main_.reset();
    try {
      _exit(to_string(prompt_secret(std::string{kPrompt}).expose()) == "1234" ? 0 : 1);
    } catch (const Error& error) {
      _exit(error.code() == Code::Usage ? 2 : 3);
    }
  }

  /// What the terminal showed up to and with `end`.
  std::string read_up_to(std::string_view end) {
    std::string shown;
    while (!shown.ends_with(end)) {
      char octet = 0;
      pollfd waiting{main_.get(), POLLIN, 0};
      if (poll(&waiting, 1, 10'000) <= 0 || read(main_.get(), &octet, 1) != 1) break;
      shown += octet;
    }
    EXPECT_TRUE(shown.ends_with(end)) << shown;
    return shown;
  }

  void type(std::string_view text) { write_all(main_, as_bytes(text), "terminal"); }

  [[nodiscard]] bool echoes() const {
    termios mode{};
    tcgetattr(terminal_.get(), &mode);
    return (mode.c_lflag & ECHO) != 0;
  }

  /// The echo is switched off behind the prompt: wait for it without guessing how long.
  void wait_until_hidden() {
    while (echoes() && waitpid(child_, nullptr, WNOHANG) == 0) sched_yield();
  }

  int wait_for_end() {
    int raw = 0;
    waitpid(child_, &raw, 0);
    child_ = -1;
    return WIFSIGNALED(raw) ? 128 + WTERMSIG(raw) : WEXITSTATUS(raw);
  }

  Fd main_, terminal_;
  pid_t child_ = -1;
};

TEST_F(Prompt, ShowsNothingOfWhatIsTyped) {
  start();
  read_up_to(kPrompt);
  wait_until_hidden();
  type("1234\n");
  EXPECT_EQ(read_up_to("\n").find("1234"), std::string::npos);
  EXPECT_EQ(wait_for_end(), 0);
  EXPECT_TRUE(echoes());
}

TEST_F(Prompt, RefusesNothing) {
  start();
  read_up_to(kPrompt);
  wait_until_hidden();
  type("\n");
  EXPECT_EQ(wait_for_end(), 2);
  EXPECT_TRUE(echoes());
}

TEST_F(Prompt, RefusesALineWithoutEnd) {
  start();
  read_up_to(kPrompt);
  wait_until_hidden();
  type(std::string(256, 'x') + "\n");
  EXPECT_EQ(wait_for_end(), 2);
  EXPECT_TRUE(echoes());
}

TEST_F(Prompt, PutsTheEchoBackWhenASignalEndsIt) {
  for (const int signal : {SIGTERM, SIGHUP, SIGQUIT, SIGINT}) {
    start();
    read_up_to(kPrompt);
    wait_until_hidden();
    type("12");
    kill(child_, signal);
    EXPECT_EQ(wait_for_end(), 128 + signal);
    EXPECT_TRUE(echoes()) << signal;
    SetUp();
  }
}

TEST_F(Prompt, PutsTheEchoBackForTheInterruptKey) {
  start();
  read_up_to(kPrompt);
  wait_until_hidden();
  type("12\x03");
  EXPECT_EQ(wait_for_end(), 128 + SIGINT);
  EXPECT_TRUE(echoes());
}

}  // namespace
}  // namespace keyferry
