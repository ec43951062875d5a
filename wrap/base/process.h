// Processes of ours: hardened, started with exactly the descriptors they need, ended with their parent.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "wrap/base/durable_file.h"
#include "wrap/base/secret_bytes.h"

namespace keyferry {

/// No core dumps (RLIMIT_CORE 0), not dumpable, no new privileges, umask 077, SIGPIPE ignored. First thing in main().
void harden_process();

/// This process gets SIGKILL when its parent ends. False when the parent has already gone.
[[nodiscard]] bool die_with_parent();

/// RLIMIT_MEMLOCK in bytes; nothing when unlimited.
[[nodiscard]] std::optional<std::uint64_t> memlock_limit_bytes();

/// A connected pair of Unix stream sockets, both close-on-exec.
[[nodiscard]] std::pair<Fd, Fd> socket_pair();

/// Connected to the Unix stream socket at `path`, close-on-exec. `what` listens there ("the gate"), `hint` says how it is
/// started. Error{Channel}.
[[nodiscard]] Fd connect_to_socket(const std::filesystem::path& path, const std::string& what, const std::string& hint = {});

struct ChildSpec {
  std::filesystem::path program;
  std::vector<std::string> arguments;                            // without argv[0]; never a secret
  std::vector<std::pair<int, int>> descriptors;                  // {ours, number in the child}; others are closed
  std::vector<std::pair<std::string, std::string>> environment;  // added or replaced; never a secret
  bool dies_with_parent = false;  // SIGKILL when the thread that started it ends, also by SIGKILL
};

/// A started process; the destructor kills it and waits.
class Child {
 public:
  Child() = default;
  explicit Child(const ChildSpec& spec);
  Child(Child&& other) noexcept;
  Child& operator=(Child&& other) noexcept;
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child();

  [[nodiscard]] pid_t pid() const { return pid_; }

  [[nodiscard]] bool running();

  /// Exit status, 128 + signal for a signal. Waits without limit.
  int wait();

  /// As wait(); nothing when the time is over.
  [[nodiscard]] std::optional<int> wait_for(std::chrono::milliseconds timeout);

  void kill(int signal);

 private:
  void stop();

  pid_t pid_ = -1;
  std::optional<int> status_;
};

/// The program `name` beside the running one (/proc/self/exe): our programs find each other in one folder.
[[nodiscard]] std::filesystem::path sibling_program(const std::string& name);

/// Reads a PIN or passphrase up to a newline or the end of `fd`; at most 255 octets. Error{Usage} when empty or longer.
[[nodiscard]] SecretBytes read_secret_line(int fd);

/// Asks on /dev/tty without echo (put back on signals too); Error{Usage} when there is no terminal.
[[nodiscard]] SecretBytes prompt_secret(const std::string& prompt);

/// First line of a regular file (no link) of this user with mode 0600 or 0400.
/// Error{Usage} otherwise.
[[nodiscard]] SecretBytes read_secret_file(const std::filesystem::path& path);

}  // namespace keyferry
