#include "appliance/reader/sandbox.h"

#include <fcntl.h>
#include <linux/landlock.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <memory>
#include <utility>

#include "wrap/base/durable_file.h"
#include "wrap/base/error.h"

namespace keyferry::appliance {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitizers = true;
#else
constexpr bool kSanitizers = false;
#endif

// Access rights by the version of Landlock that brought them (linux/landlock.h; Debian 12's headers know versions 1 to 3).
constexpr std::uint64_t kRightsOfVersion1 = (1ULL << 13) - 1;
constexpr std::uint64_t kRefer = 1ULL << 13;
constexpr std::uint64_t kTruncate = 1ULL << 14;

/// As of version 4, which also knows TCP: bind and connect.
struct Ruleset {
  std::uint64_t files = 0;
  std::uint64_t network = 0;
};

std::uint64_t rights_of(long version) {
  return kRightsOfVersion1 | (version >= 2 ? kRefer : 0) | (version >= 3 ? kTruncate : 0);
}

/// False when this kernel has no Landlock.
bool restrict_files(const std::filesystem::path& token) {
  const long version = syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  if (version < 1) return false;
  const Ruleset wanted{rights_of(version), version >= 4 ? 3ULL : 0ULL};
  const std::size_t size = version >= 4 ? sizeof wanted : sizeof wanted.files;
  const Fd ruleset{static_cast<int>(syscall(SYS_landlock_create_ruleset, &wanted, size, 0))};
  if (!ruleset.valid()) throw system_error(Code::Refused, "restrict the token reader (Landlock)", errno);
  const Fd folder{open(token.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)};
  if (!folder.valid()) throw system_error(Code::Medium, "open token " + token.string(), errno);
  landlock_path_beneath_attr beneath{};
  beneath.allowed_access = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
  beneath.parent_fd = folder.get();
  if (syscall(SYS_landlock_add_rule, ruleset.get(), LANDLOCK_RULE_PATH_BENEATH, &beneath, 0) != 0 ||
      syscall(SYS_landlock_restrict_self, ruleset.get(), 0) != 0) {
    throw system_error(Code::Refused, "restrict the token reader (Landlock)", errno);
  }
  return true;
}

constexpr std::array kAllowed{
    "read",          "readv",          "pread64",   "write",        "writev",        "close",       "lseek",
    "openat",        "newfstatat",     "fstat",     "statx",        "getdents64",    "fcntl",       "fadvise64",
    "fstatfs",       "statfs",         "brk",       "munmap",       "mremap",        "madvise",     "futex",
    "exit",          "exit_group",     "getrandom", "clock_gettime", "poll",         "ppoll",       "rt_sigaction",
    "rt_sigprocmask", "rt_sigreturn",  "getpid",    "gettid",       "recvfrom",      "sendto",      "recvmsg",
    "sendmsg",       "restart_syscall", "membarrier", "rseq",       "sched_yield"};

void restrict_calls() {
  const auto release = [](void* context) { seccomp_release(context); };
  const std::unique_ptr<void, decltype(release)> filter{seccomp_init(SCMP_ACT_ERRNO(ENOSYS)), release};
  if (!filter) throw Error{Code::Internal, "libseccomp gives no filter"};
  for (const char* name : kAllowed) {
    const int number = seccomp_syscall_resolve_name(name);
    if (number != __NR_SCMP_ERROR) seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, number, 0);
  }
  // Memory for data, never for code.
  seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
  seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
  for (const int number : {SCMP_SYS(execve), SCMP_SYS(execveat), SCMP_SYS(fork), SCMP_SYS(vfork), SCMP_SYS(clone),
                           SCMP_SYS(clone3), SCMP_SYS(socket), SCMP_SYS(connect), SCMP_SYS(ptrace), SCMP_SYS(mount)}) {
    seccomp_rule_add(filter.get(), SCMP_ACT_KILL_PROCESS, number, 0);
  }
  const int failed = seccomp_load(filter.get());
  if (failed != 0) throw system_error(Code::Refused, "restrict the token reader (seccomp)", -failed);
}

}  // namespace

std::vector<std::string> enter_sandbox(const std::filesystem::path& token) {
  std::vector<std::string> missing;
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) throw system_error(Code::Refused, "give privileges up", errno);
  if (!restrict_files(token)) missing.push_back("this kernel has no Landlock: the token reader can open other files");
  if (kSanitizers) {
    missing.push_back("a build with sanitizers: the token reader has no system call filter");
  } else {
    restrict_calls();
  }
  return missing;
}

}  // namespace keyferry::appliance
