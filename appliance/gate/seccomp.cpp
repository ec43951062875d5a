#include "appliance/gate/seccomp.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <initializer_list>
#include <memory>

#include "appliance/gate/seccomp_lists.h"
#include "wrap/base/durable_file.h"

namespace keyferry::appliance {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitizers = true;
#else
constexpr bool kSanitizers = false;
#endif

constexpr std::uint64_t kWritableCode = PROT_WRITE | PROT_EXEC;
constexpr std::uint64_t kSocketTypeMask = 0xf;  // without SOCK_CLOEXEC and SOCK_NONBLOCK
constexpr int kLastSocketFamily = 45;           // AF_MCTP, linux/socket.h
constexpr std::uint64_t kNetlinkRoute = 0;      // NETLINK_ROUTE, linux/netlink.h
constexpr std::uint64_t kSetPtracer = 0x59616d61;   // PR_SET_PTRACER, linux/prctl.h
constexpr std::uint64_t kNameMemory = 0x53564d41;   // PR_SET_VMA
constexpr std::uint64_t kTerminalInput = TIOCSTI;
constexpr std::uint64_t kConsoleControl = 0x541C;   // TIOCLINUX
constexpr std::array kNewNamespaces{CLONE_NEWNS,  CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC,
                                    CLONE_NEWUSER, CLONE_NEWPID,   CLONE_NEWNET};

scmp_arg_cmp equal(unsigned arg, std::uint64_t value) { return {arg, SCMP_CMP_EQ, value, 0}; }

scmp_arg_cmp not_equal(unsigned arg, std::uint64_t value) { return {arg, SCMP_CMP_NE, value, 0}; }

scmp_arg_cmp above(unsigned arg, std::uint64_t value) { return {arg, SCMP_CMP_GT, value, 0}; }

scmp_arg_cmp masked(unsigned arg, std::uint64_t mask, std::uint64_t value) { return {arg, SCMP_CMP_MASKED_EQ, mask, value}; }

/// libseccomp lets a rule without conditions swallow those with conditions of the same call: for each call either one
/// rule without, or rules whose conditions exclude each other.
class Filter {
 public:
  explicit Filter(std::uint32_t otherwise) : otherwise_{otherwise}, context_{seccomp_init(otherwise)} {
    if (!context_) throw Error{Code::Internal, "libseccomp: no memory"};
    set(SCMP_FLTATR_CTL_TSYNC, 1);  // threads that a module started before
    set(SCMP_FLTATR_CTL_LOG, 1);
    set(SCMP_FLTATR_CTL_OPTIMIZE, 2);
    set(SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
  }

  void rule(std::uint32_t action, const char* name, std::initializer_list<scmp_arg_cmp> conditions = {}) {
    if (action == otherwise_) return;
    const int number = seccomp_syscall_resolve_name(name);
    if (number < 0) return;  // not on this processor
    const int failed = seccomp_rule_add_array(context_.get(), action, number, static_cast<unsigned>(conditions.size()),
                                              conditions.begin());
    if (failed != 0) throw system_error(Code::Internal, fmt::format("libseccomp: rule for {}", name), -failed);
  }

  void allow(const char* name, std::initializer_list<scmp_arg_cmp> conditions = {}) {
    rule(SCMP_ACT_ALLOW, name, conditions);
  }

  void kill(const char* name, std::initializer_list<scmp_arg_cmp> conditions = {}) {
    rule(SCMP_ACT_KILL_PROCESS, name, conditions);
  }

  template <typename Names>
  void allow_all(const Names& names) {
    for (const char* name : names) allow(name);
  }

  template <typename Names>
  void kill_all(const Names& names) {
    for (const char* name : names) kill(name);
  }

  void load() {
    const int failed = seccomp_load(context_.get());
    if (failed != 0) throw system_error(Code::Refused, "the kernel does not take the system call filter", -failed);
  }

 private:
  struct Release {
    void operator()(void* context) const { seccomp_release(context); }
  };

  void set(scmp_filter_attr attribute, std::uint32_t value) {
    const int failed = seccomp_attr_set(context_.get(), attribute, value);
    if (failed != 0) throw system_error(Code::Internal, "libseccomp: attribute", -failed);
  }

  std::uint32_t otherwise_;
  std::unique_ptr<void, Release> context_;
};

void add_memory(Filter& filter, bool may_write_code) {
  if (may_write_code) {
    filter.allow("mmap");
    filter.allow("mprotect");
    return;
  }
  filter.allow("mmap", {masked(2, PROT_EXEC, 0)});
  filter.allow("mmap", {masked(2, kWritableCode, PROT_EXEC)});
  filter.kill("mmap", {masked(2, kWritableCode, kWritableCode)});
  filter.allow("mprotect", {masked(2, PROT_EXEC, 0)});
  filter.kill("mprotect", {masked(2, PROT_EXEC, PROT_EXEC)});
  filter.kill("pkey_mprotect");
}

void add_sockets(Filter& filter, FilteredProcess process, SystemCallFilter level) {
  filter.kill("socketpair", {not_equal(0, AF_UNIX)});
  if (process == FilteredProcess::Gate) filter.allow("socketpair", {equal(0, AF_UNIX)});
  if (level == SystemCallFilter::Strict) {
    filter.kill("socket", {not_equal(0, AF_UNIX)});
    if (process == FilteredProcess::Gate) {
      filter.allow("socket", {equal(0, AF_UNIX)});
    } else {
      filter.allow("socket", {equal(0, AF_UNIX), masked(1, kSocketTypeMask, SOCK_DGRAM)});
    }
    return;
  }
  for (int family = 0; family <= kLastSocketFamily; ++family) {
    if (family == AF_UNIX || family == AF_INET || family == AF_INET6 || family == AF_NETLINK) continue;
    filter.kill("socket", {equal(0, static_cast<std::uint64_t>(family))});
  }
  filter.kill("socket", {above(0, kLastSocketFamily)});
  filter.kill("socket", {equal(0, AF_NETLINK), not_equal(2, kNetlinkRoute)});
}

void add_processes(Filter& filter, FilteredProcess process) {
  filter.rule(SCMP_ACT_ERRNO(ENOSYS), "clone3");  // its flags lie in memory; libc takes clone(2) then
  if (process == FilteredProcess::Worker) {
    filter.allow("clone", {masked(0, CLONE_THREAD, CLONE_THREAD)});
    filter.kill("clone", {masked(0, CLONE_THREAD, 0)});
    const auto self = static_cast<std::uint64_t>(getpid());
    filter.allow("tgkill", {equal(0, self)});
    filter.allow("kill", {equal(0, self)});
    filter.kill_all(calls::kDangerousToWorker);
    return;
  }
  std::uint64_t any = 0;
  for (const int flag : kNewNamespaces) {
    any |= static_cast<std::uint64_t>(flag);
    filter.kill("clone", {masked(0, static_cast<std::uint64_t>(flag), static_cast<std::uint64_t>(flag))});
  }
  filter.allow("clone", {masked(0, any, 0)});
}

void add_controls(Filter& filter, FilteredProcess process) {
  for (const int option : {PR_SET_NAME, PR_GET_NAME, PR_GET_DUMPABLE, PR_SET_PDEATHSIG, PR_GET_PDEATHSIG, PR_SET_NO_NEW_PRIVS,
                           PR_GET_NO_NEW_PRIVS, PR_GET_SECCOMP, PR_CAPBSET_READ}) {
    filter.allow("prctl", {equal(0, static_cast<std::uint64_t>(option))});
  }
  filter.allow("prctl", {equal(0, kNameMemory)});
  filter.allow("prctl", {equal(0, PR_SET_DUMPABLE), equal(1, 0)});
  filter.kill("prctl", {equal(0, PR_SET_DUMPABLE), not_equal(1, 0)});
  filter.kill("prctl", {equal(0, kSetPtracer)});
  // The kernel looks at the lower half of the request only.
  constexpr std::uint64_t kRequest = 0xffffffff;
  filter.kill("ioctl", {masked(1, kRequest, kTerminalInput)});
  filter.kill("ioctl", {masked(1, kRequest, kConsoleControl)});
  for (const std::uint64_t request :
       {std::uint64_t{TCGETS}, std::uint64_t{FIONREAD}, std::uint64_t{FIONBIO}, std::uint64_t{TIOCGWINSZ}}) {
    filter.allow("ioctl", {masked(1, kRequest, request)});
  }
  if (process == FilteredProcess::Worker) {
    filter.allow("prlimit64", {equal(2, 0)});  // reading only
    return;
  }
  for (const std::uint64_t request : {std::uint64_t{TCSETS}, std::uint64_t{TCSETSW}, std::uint64_t{TCSETSF}}) {
    filter.allow("ioctl", {masked(1, kRequest, request)});  // a prompt without echo
  }
}

std::string name_of(FilteredProcess process) { return process == FilteredProcess::Gate ? "gate" : "worker"; }

}  // namespace

std::optional<std::string> filter_missing(SystemCallFilter filter) {
  if (kSanitizers) return "seccomp (no system call filter: this build has sanitizers)";
  if (filter == SystemCallFilter::Off) return "seccomp (no system call filter: [gate] seccomp = \"off\")";
  return std::nullopt;
}

std::string install_filter(FilteredProcess process, SystemCallFilter level) {
  if (kSanitizers) return fmt::format("{}: no system call filter, this build has sanitizers", name_of(process));
  if (level == SystemCallFilter::Off) {
    return fmt::format("{}: no system call filter, the settings switch it off", name_of(process));
  }
  const bool strict = level == SystemCallFilter::Strict;
  Filter filter{strict ? SCMP_ACT_ERRNO(ENOSYS) : SCMP_ACT_ALLOW};
  filter.allow_all(calls::kAllowed);
  if (process == FilteredProcess::Gate) filter.allow_all(calls::kAllowedToGate);
  filter.kill_all(calls::kDangerous);
  add_memory(filter, !strict && process == FilteredProcess::Gate);
  add_sockets(filter, process, level);
  add_processes(filter, process);
  add_controls(filter, process);
  filter.load();
  return fmt::format("{}: system call filter {}", name_of(process), strict ? "strict" : "network-module");
}

std::optional<std::string> refused_system_call(pid_t pid) {
  const Fd log{open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC)};
  if (!log.valid()) return std::nullopt;
  const std::string ours = fmt::format(" pid={} ", pid);
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds{100};
  std::optional<std::string> found;
  std::array<char, 8192> record{};
  for (;;) {
    const ssize_t got = read(log.get(), record.data(), record.size());
    if (got < 0 && errno == EPIPE) continue;  // records were overwritten: the next read goes on behind them
    if (got < 0) {
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now()).count();
      pollfd waiting{log.get(), POLLIN, 0};
      if (errno != EAGAIN || found || left <= 0 || poll(&waiting, 1, static_cast<int>(left)) <= 0) return found;
      continue;
    }
    const std::string_view text{record.data(), static_cast<std::size_t>(got)};
    const std::size_t number = text.find(" syscall=");
    // type=1326: AUDIT_SECCOMP. A process number comes again: the newest record counts.
    if (text.find("type=1326 ") == std::string_view::npos || text.find(ours) == std::string_view::npos ||
        text.find(" sig=31 ") == std::string_view::npos || number == std::string_view::npos) {
      continue;
    }
    const long call = std::strtol(std::string{text.substr(number + 9)}.c_str(), nullptr, 10);
    char* const name = seccomp_syscall_resolve_num_arch(seccomp_arch_native(), static_cast<int>(call));
    found = name == nullptr ? fmt::format("number {}", call) : std::string{name};
    std::free(name);
  }
}

}  // namespace keyferry::appliance
