#include "wrap/base/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <thread>

extern "C" char** environ;

namespace keyferry {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxSecretBytes = 255;

std::vector<std::string> merged_environment(const ChildSpec& spec) {
  std::vector<std::string> merged;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const std::string_view name = text.substr(0, text.find('='));
    const bool replaced =
        std::ranges::any_of(spec.environment, [&](const auto& pair) { return pair.first == name; });
    if (!replaced) merged.emplace_back(text);
  }
  for (const auto& [name, value] : spec.environment) merged.push_back(name + "=" + value);
  return merged;
}

/// In the child, between fork and exec: async-signal-safe calls only.
[[noreturn]] void exec_child(const char* program,
                             char* const* argv,
                             char* const* envp,
                             const std::vector<std::pair<int, int>>& descriptors,
                             std::vector<int>& scratch,
                             pid_t dies_with) {
  if (dies_with != 0 && (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != dies_with)) _exit(127);
  // Two steps, so that a target number may equal another source number.
  int lowest_free = 3;
  for (const auto& [ours, theirs] : descriptors) lowest_free = std::max(lowest_free, theirs + 1);
  for (std::size_t i = 0; i < descriptors.size(); ++i) {
    scratch[i] = fcntl(descriptors[i].first, F_DUPFD, lowest_free);
    if (scratch[i] < 0) _exit(127);
  }
  for (std::size_t i = 0; i < descriptors.size(); ++i) {
    if (dup2(scratch[i], descriptors[i].second) < 0) _exit(127);
  }
  unsigned next = 3;  // stdin, stdout and stderr stay
  bool kept = true;
  while (kept) {
    kept = std::ranges::any_of(descriptors,
                               [next](const auto& pair) { return pair.second == static_cast<int>(next); });
    if (kept) ++next;
  }
  // Every number from `next` up is closed: our callers hand out consecutive numbers from 3.
  close_range(next, ~0U, 0);
  execve(program, argv, envp);
  _exit(127);
}

}  // namespace

void harden_process() {
  const rlimit none{0, 0};
  setrlimit(RLIMIT_CORE, &none);
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  umask(077);
  signal(SIGPIPE, SIG_IGN);
}

bool die_with_parent() {
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  return getppid() != 1;
}

std::optional<std::uint64_t> memlock_limit_bytes() {
  rlimit limit{};
  if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return std::nullopt;
  return limit.rlim_cur;
}

Fd connect_to_socket(const std::filesystem::path& path, const std::string& what, const std::string& hint) {
  Fd fd{socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  if (!fd.valid()) throw system_error(Code::Channel, "make a socket", errno);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string text = path.string();
  if (text.size() >= sizeof address.sun_path)
    throw Error{Code::Usage, "too long for the path of a socket: " + text, "name a shorter one"};
  std::memcpy(address.sun_path, text.c_str(), text.size() + 1);
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    const Error failed = system_error(Code::Channel, "connect to " + what + " at " + text, errno);
    throw Error{Code::Channel, failed.what(), hint};
  }
  return fd;
}

std::pair<Fd, Fd> socket_pair() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    throw system_error(Code::Internal, "socketpair", errno);
  }
  return {Fd{ends[0]}, Fd{ends[1]}};
}

Child::Child(const ChildSpec& spec) {
  std::vector<std::string> arguments{spec.program.string()};
  arguments.insert(arguments.end(), spec.arguments.begin(), spec.arguments.end());
  std::vector<std::string> environment = merged_environment(spec);
  std::vector<char*> argv, envp;
  for (std::string& text : arguments) argv.push_back(text.data());
  for (std::string& text : environment) envp.push_back(text.data());
  argv.push_back(nullptr);
  envp.push_back(nullptr);
  std::vector<int> scratch(spec.descriptors.size());
  if (access(spec.program.c_str(), X_OK) != 0) {
    throw system_error(Code::Channel, "start " + spec.program.string(), errno);
  }
  const pid_t dies_with = spec.dies_with_parent ? getpid() : 0;
  pid_ = fork();
  if (pid_ < 0) throw system_error(Code::Channel, "fork", errno);
  if (pid_ == 0) exec_child(argv[0], argv.data(), envp.data(), spec.descriptors, scratch, dies_with);
}

Child::Child(Child&& other) noexcept : pid_{std::exchange(other.pid_, -1)}, status_{other.status_} {}

Child& Child::operator=(Child&& other) noexcept {
  if (this != &other) {
    stop();
    pid_ = std::exchange(other.pid_, -1);
    status_ = other.status_;
  }
  return *this;
}

Child::~Child() { stop(); }

void Child::stop() {
  if (pid_ > 0 && !status_) {
    ::kill(pid_, SIGKILL);
    wait();
  }
}

bool Child::running() { return pid_ > 0 && !wait_for(std::chrono::milliseconds{0}); }

int Child::wait() {
  while (!status_) {
    int raw = 0;
    const pid_t got = waitpid(pid_, &raw, 0);
    if (got < 0 && errno == EINTR) continue;
    status_ = got < 0 ? 255 : WIFSIGNALED(raw) ? 128 + WTERMSIG(raw) : WEXITSTATUS(raw);
  }
  return *status_;
}

std::optional<int> Child::wait_for(std::chrono::milliseconds timeout) {
  const auto end = std::chrono::steady_clock::now() + timeout;
  while (!status_) {
    int raw = 0;
    const pid_t got = waitpid(pid_, &raw, WNOHANG);
    if (got == pid_) {
      status_ = WIFSIGNALED(raw) ? 128 + WTERMSIG(raw) : WEXITSTATUS(raw);
    } else if (got < 0 && errno != EINTR) {
      status_ = 255;
    } else if (std::chrono::steady_clock::now() >= end) {
      return std::nullopt;
    } else {
      std::this_thread::sleep_for(std::chrono::milliseconds{2});
    }
  }
  return status_;
}

void Child::kill(int signal) {
  if (pid_ > 0 && !status_) ::kill(pid_, signal);
}

fs::path sibling_program(const std::string& name) {
  std::error_code failed;
  const fs::path self = fs::read_symlink("/proc/self/exe", failed);
  if (failed) throw Error{Code::Internal, "cannot read /proc/self/exe"};
  return self.parent_path() / name;
}

SecretBytes read_secret_line(int fd) {
  SecretBytes secret{kMaxSecretBytes + 1};
  std::size_t size = 0;
  while (size <= kMaxSecretBytes) {
    const ssize_t got = read(fd, secret.expose_writable().data() + size, 1);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw system_error(Code::Usage, "read the PIN", errno);
    if (got == 0 || secret.expose()[size] == '\n') break;
    ++size;
  }
  if (size > 0 && secret.expose()[size - 1] == '\r') --size;
  if (size == 0) throw Error{Code::Usage, "the PIN or passphrase is empty"};
  if (size > kMaxSecretBytes) throw Error{Code::Usage, "the PIN or passphrase is longer than 255 octets"};
  secret.resize(size);
  return secret;
}

SecretBytes read_secret_file(const fs::path& path) {
  const Fd fd = open_regular_file(path, Code::Usage);
  struct stat status {};
  if (fstat(fd.get(), &status) != 0) throw system_error(Code::Usage, "stat " + path.string(), errno);
  const mode_t mode = status.st_mode & 07777;
  if (status.st_uid != geteuid() || (mode != 0600 && mode != 0400)) {
    throw Error{Code::Usage, "refused the PIN file " + path.string() + ": it is not ours, or its mode is not 0600 or 0400",
                "chown it to this user and chmod 600"};
  }
  return read_secret_line(fd.get());
}

}  // namespace keyferry
