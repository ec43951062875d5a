// Terminal, and prompt_secret of process.h. The terminal's echo comes back whatever ends the prompt, but for SIGKILL: signals that would
// end or stop the process are taken from a descriptor while the echo is off and raised when it is on again.
#include "wrap/base/terminal.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <thread>

#include "wrap/base/process.h"

namespace keyferry {
namespace {

constexpr std::size_t kMaxSecretBytes = 255;
constexpr std::array kWatched{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGALRM};

/// Blocks the watched signals for its scope. SIGTTOU too: a prompt whose front end has died restores the terminal from
/// the background.
class BlockedSignals {
 public:
  BlockedSignals() {
    sigset_t blocked;
    sigemptyset(&blocked);
    for (const int signal : kWatched) sigaddset(&blocked, signal);
    watched_ = Fd{signalfd(-1, &blocked, SFD_CLOEXEC | SFD_NONBLOCK)};
    sigaddset(&blocked, SIGTTOU);
    pthread_sigmask(SIG_BLOCK, &blocked, &before_);
    if (!watched_.valid()) throw system_error(Code::Internal, "signalfd", errno);
  }

  ~BlockedSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

  BlockedSignals(const BlockedSignals&) = delete;
  BlockedSignals& operator=(const BlockedSignals&) = delete;

  [[nodiscard]] int fd() const { return watched_.get(); }

  /// 0 when none has come.
  [[nodiscard]] int take() const {
    signalfd_siginfo info{};
    if (read(watched_.get(), &info, sizeof info) != static_cast<ssize_t>(sizeof info)) return 0;
    return static_cast<int>(info.ssi_signo);
  }

 private:
  Fd watched_;
  sigset_t before_{};
};

class HiddenEcho {
 public:
  explicit HiddenEcho(int terminal) : terminal_{terminal} {
    if (tcgetattr(terminal_, &shown_) != 0) throw system_error(Code::Usage, "/dev/tty", errno);
    termios hidden = shown_;
    hidden.c_lflag &= ~static_cast<tcflag_t>(ECHO | ECHONL);
    if (tcsetattr(terminal_, TCSAFLUSH, &hidden) != 0) throw system_error(Code::Usage, "/dev/tty", errno);
  }

  ~HiddenEcho() { tcsetattr(terminal_, TCSAFLUSH, &shown_); }

  HiddenEcho(const HiddenEcho&) = delete;
  HiddenEcho& operator=(const HiddenEcho&) = delete;

 private:
  int terminal_;
  termios shown_{};
};

/// What we said before goes through a pipe to whoever started us and shows it (a guided ceremony): it is to stand above the
/// prompt, which goes to the terminal at once. A moment at most: a reader that does not read gets its prompt too.
void let_our_words_arrive() {
  constexpr auto kStep = std::chrono::milliseconds{10};
  constexpr auto kShown = std::chrono::milliseconds{60};  // read, and on its way to the screen
  constexpr int kMostSteps = 100;
  bool piped = false;
  for (const int fd : {STDOUT_FILENO, STDERR_FILENO}) {
    struct stat facts {};
    if (fstat(fd, &facts) != 0 || !S_ISFIFO(facts.st_mode)) continue;
    piped = true;
    int unread = 0;
    for (int step = 0; step < kMostSteps && ioctl(fd, FIONREAD, &unread) == 0 && unread > 0; ++step) {
      std::this_thread::sleep_for(kStep);
    }
  }
  if (piped) std::this_thread::sleep_for(kShown);
}

/// A line without echo, or the signal that came before it was whole.
struct Typed {
  std::optional<SecretBytes> line;
  int signal = 0;
};

/// The prompt comes when the echo is off already: who is quick is not shown either.
Typed type_line(const Fd& terminal, std::string_view prompt) {
  const BlockedSignals signals;
  const HiddenEcho hidden{terminal.get()};
  std::fflush(stdout);
  let_our_words_arrive();
  write_all(terminal, as_bytes(prompt), "/dev/tty");
  SecretBytes secret{kMaxSecretBytes + 1};
  std::size_t size = 0;
  for (;;) {
    std::array<pollfd, 2> waiting{pollfd{signals.fd(), POLLIN, 0}, pollfd{terminal.get(), POLLIN, 0}};
    if (poll(waiting.data(), waiting.size(), -1) < 0 && errno != EINTR) throw system_error(Code::Usage, "/dev/tty", errno);
    if (const int signal = signals.take(); signal != 0) return {std::nullopt, signal};
    if (waiting[1].revents == 0) continue;
    std::uint8_t& place = secret.expose_writable()[size];
    const ssize_t got = read(terminal.get(), &place, 1);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw system_error(Code::Usage, "read the PIN", errno);
    if (got == 0 || place == '\n') break;
    if (++size > kMaxSecretBytes) throw Error{Code::Usage, "the PIN or passphrase is longer than 255 octets"};
  }
  secret.resize(size);
  return {std::move(secret), 0};
}

/// Asks until a whole line was typed.
SecretBytes asked_line(const Fd& terminal, std::string_view prompt) {
  for (;;) {
    Typed typed = type_line(terminal, prompt);
    write_all(terminal, as_bytes("\n"), "/dev/tty");
    if (typed.line) return std::move(*typed.line);
    raise(typed.signal);  // ends us, or stops us and asks again when we go on
  }
}

}  // namespace

SecretBytes prompt_secret(const std::string& prompt) {
  const Fd terminal{open("/dev/tty", O_RDWR | O_CLOEXEC)};
  if (!terminal.valid()) {
    throw Error{Code::Usage, "a PIN or passphrase is needed and there is no terminal to ask on",
                "give it by --pin-fd N or by pin-source=file: in the URI"};
  }
  SecretBytes line = asked_line(terminal, prompt);
  if (line.empty()) throw Error{Code::Usage, "the PIN or passphrase is empty"};
  return line;
}

Terminal::Terminal(std::string_view needed_for) : terminal_{open("/dev/tty", O_RDWR | O_CLOEXEC)} {
  if (terminal_.valid()) return;
  throw Error{Code::Usage, std::string{needed_for} + ", and there is no terminal", "start the command at a terminal"};
}

bool Terminal::available() { return Fd{open("/dev/tty", O_RDWR | O_CLOEXEC)}.valid(); }

void Terminal::clear() { show("\033[2J\033[3J\033[H"); }

void Terminal::show(std::string_view text) {
  std::fflush(stdout);
  let_our_words_arrive();
  write_all(terminal_, as_bytes(text), "/dev/tty");
}

void Terminal::show_secret(const SecretBytes& text) { write_all(terminal_, text.expose(), "/dev/tty"); }

SecretBytes Terminal::ask(std::string_view prompt) { return asked_line(terminal_, prompt); }

void Terminal::wait_for_enter(std::string_view prompt) { static_cast<void>(ask(prompt)); }

}  // namespace keyferry
