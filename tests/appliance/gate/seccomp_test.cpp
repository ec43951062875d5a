// The filters, each tried in a process of its own: what they forbid kills it (SIGSYS) or fails, what gate and worker need
// works.
#include "appliance/gate/seccomp.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <thread>

#include "wrap/base/process.h"
#include "wrap/base/process_end.h"

namespace keyferry::appliance {
namespace {

constexpr int kWorked = 0;
constexpr int kFailed = 1;
constexpr int kKilled = 128 + SIGSYS;

struct Act {
  const char* name;
  std::function<bool()> tries;  // true: it worked
};

struct Ended {
  pid_t pid = -1;
  int status = -1;
};

Ended under_filter(FilteredProcess process, SystemCallFilter filter, const Act& act) {
  const pid_t pid = fork();
  if (pid == 0) {
    harden_process();
    install_filter(process, filter);
    _exit(act.tries() ? kWorked : kFailed);
  }
  int raw = 0;
  waitpid(pid, &raw, 0);
  return {pid, WIFSIGNALED(raw) ? 128 + WTERMSIG(raw) : WEXITSTATUS(raw)};
}

bool open_socket(int family, int type) {
  const int fd = socket(family, type, 0);
  if (fd >= 0) close(fd);
  return fd >= 0;
}

bool map_memory(int protection) {
  return mmap(nullptr, 4096, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED;
}

bool becomes_code() {
  void* const page = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return mprotect(page, 4096, PROT_READ | PROT_EXEC) == 0;
}

bool forks() {
  const pid_t pid = fork();
  if (pid == 0) _exit(0);
  int raw = 0;
  return pid > 0 && waitpid(pid, &raw, 0) == pid;
}

bool runs_a_program() {
  const char* const arguments[] = {"true", nullptr};
  const char* const environment[] = {nullptr};
  execve("/bin/true", const_cast<char* const*>(arguments), const_cast<char* const*>(environment));
  return false;
}

bool starts_a_thread() {
  bool ran = false;
  std::thread{[&ran] { ran = true; }}.join();
  return ran;
}

bool writes_a_file() {
  char name[] = "/tmp/keyferry-seccomp-XXXXXX";
  const int fd = mkstemp(name);
  const bool written = fd >= 0 && write(fd, "x", 1) == 1 && fsync(fd) == 0;
  return written && close(fd) == 0 && unlink(name) == 0;
}

bool talks_to_itself() {
  int ends[2];
  return socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0 && send(ends[0], "x", 1, 0) == 1;
}

bool calls(long number) { return syscall(number, 0L, 0L, 0L, 0L, 0L) >= 0; }

class Filters : public ::testing::Test {
 protected:
  void SetUp() override {
    if (filter_missing(SystemCallFilter::Strict)) GTEST_SKIP() << "no filters in a build with sanitizers";
  }

  static void expect(FilteredProcess process, SystemCallFilter filter, const std::vector<Act>& acts, int status) {
    for (const Act& act : acts) EXPECT_EQ(under_filter(process, filter, act).status, status) << act.name;
  }
};

const std::vector<Act> kNobodyMay{
    {"ptrace", [] { return ptrace(PTRACE_TRACEME, 0, 0, 0) == 0; }},
    {"process_vm_readv", [] { return calls(SYS_process_vm_readv); }},
    {"pidfd_getfd", [] { return calls(SYS_pidfd_getfd); }},
    {"perf_event_open", [] { return calls(SYS_perf_event_open); }},
    {"bpf", [] { return calls(SYS_bpf); }},
    {"io_uring_setup", [] { return calls(SYS_io_uring_setup); }},
    {"userfaultfd", [] { return calls(SYS_userfaultfd); }},
    {"init_module", [] { return calls(SYS_init_module); }},
    {"kexec_load", [] { return calls(SYS_kexec_load); }},
    {"mount", [] { return mount("none", "/nowhere", "tmpfs", 0, nullptr) == 0; }},
    {"unshare", [] { return unshare(CLONE_NEWUSER) == 0; }},
    {"setns", [] { return calls(SYS_setns); }},
    {"clone with a namespace", [] { return syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0) >= 0; }},
    {"chroot", [] { return chroot("/") == 0; }},
    {"setuid", [] { return setuid(getuid()) == 0; }},
    {"keyctl", [] { return calls(SYS_keyctl); }},
    {"clock_settime", [] { return calls(SYS_clock_settime); }},
    {"mknod", [] { return syscall(SYS_mknod, "/nowhere/x", S_IFCHR, 0) == 0; }},
    {"becoming dumpable", [] { return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0; }},
    {"a tracer of its choice", [] { return prctl(PR_SET_PTRACER, 1, 0, 0, 0) == 0; }},
    {"TIOCSTI", [] { return ioctl(0, TIOCSTI, "x") == 0; }},
    {"TIOCSTI with upper bits set", [] { return syscall(SYS_ioctl, 0, 0x100000000L | TIOCSTI, "x") == 0; }},
    {"socket AF_PACKET", [] { return open_socket(AF_PACKET, SOCK_RAW); }},
    {"socket AF_VSOCK", [] { return open_socket(AF_VSOCK, SOCK_STREAM); }},
    {"socket AF_ALG", [] { return open_socket(AF_ALG, SOCK_SEQPACKET); }},
    {"socket of an unknown family", [] { return open_socket(77, SOCK_STREAM); }},
    {"netlink but for routes", [] { return socket(AF_NETLINK, SOCK_RAW, 9) >= 0; }},
};

const std::vector<Act> kEverybodyMay{
    {"a thread", starts_a_thread},
    {"a file", writes_a_file},
    {"syslog's socket", [] { return open_socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC); }},
    {"memory", [] { return map_memory(PROT_READ | PROT_WRITE); }},
    {"code of a library", [] { return map_memory(PROT_READ | PROT_EXEC); }},
    {"locked memory", [] {
       void* const page = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
       return mlock(page, 4096) == 0;
     }},
    {"a look at its own filter", [] { return prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == 2; }},
};

/// First: the kernel writes few records of many kills.
TEST_F(Filters, EndAProcessInAWayThatIsToldByName) {
  const Ended ended =
      under_filter(FilteredProcess::Worker, SystemCallFilter::Strict, {"chroot", [] { return chroot("/") == 0; }});
  EXPECT_TRUE(ended_by_filter(ended.status));
  EXPECT_EQ(how_it_ended(ended.status), "ended by its system call filter (SIGSYS)");
  if (access("/dev/kmsg", R_OK) != 0) GTEST_SKIP() << "the kernel's log is not readable here";
  const auto call = refused_system_call(ended.pid);
  if (!call) GTEST_SKIP() << "this kernel writes no audit records to its log";
  EXPECT_EQ(*call, "chroot");
}

TEST_F(Filters, KillForWhatNobodyNeeds) {
  for (const FilteredProcess process : {FilteredProcess::Gate, FilteredProcess::Worker}) {
    expect(process, SystemCallFilter::Strict, kNobodyMay, kKilled);
    expect(process, SystemCallFilter::NetworkModule, kNobodyMay, kKilled);
  }
}

TEST_F(Filters, AllowWhatEverybodyNeeds) {
  for (const FilteredProcess process : {FilteredProcess::Gate, FilteredProcess::Worker}) {
    expect(process, SystemCallFilter::Strict, kEverybodyMay, kWorked);
    expect(process, SystemCallFilter::NetworkModule, kEverybodyMay, kWorked);
  }
}

TEST_F(Filters, OfAWorkerKillForAProgramAForkAndMemoryThatBecomesCode) {
  const std::vector<Act> acts{{"fork", forks},
                              {"execve", runs_a_program},
                              {"writable code", [] { return map_memory(PROT_READ | PROT_WRITE | PROT_EXEC); }},
                              {"memory that becomes code", becomes_code}};
  expect(FilteredProcess::Worker, SystemCallFilter::Strict, acts, kKilled);
  expect(FilteredProcess::Worker, SystemCallFilter::NetworkModule, acts, kKilled);
}

TEST_F(Filters, OfAGateLetItStartWorkersAndTalkToThem) {
  const std::vector<Act> acts{{"fork", forks}, {"execve", runs_a_program}, {"socketpair", talks_to_itself}};
  expect(FilteredProcess::Gate, SystemCallFilter::Strict, acts, kWorked);
}

TEST_F(Filters, KillForSocketsOfTheInternetUnlessTheModuleIsBehindANetwork) {
  const std::vector<Act> acts{{"IPv4", [] { return open_socket(AF_INET, SOCK_STREAM); }},
                              {"IPv6", [] { return open_socket(AF_INET6, SOCK_DGRAM); }},
                              {"netlink route", [] { return open_socket(AF_NETLINK, SOCK_RAW); }}};
  for (const FilteredProcess process : {FilteredProcess::Gate, FilteredProcess::Worker}) {
    expect(process, SystemCallFilter::Strict, acts, kKilled);
    expect(process, SystemCallFilter::NetworkModule, acts, kWorked);
  }
}

TEST_F(Filters, LetAWorkerReachNoOtherServiceOfThisMachine) {
  expect(FilteredProcess::Worker, SystemCallFilter::Strict,
         {{"a stream socket", [] { return open_socket(AF_UNIX, SOCK_STREAM); }}}, kFailed);
}

TEST_F(Filters, AnswerAnUnknownCallAsAnOldKernelWould) {
  expect(FilteredProcess::Worker, SystemCallFilter::Strict,
         {{"not there", [] { return syscall(SYS_memfd_create, "x", 0) < 0 && errno == ENOSYS; }}}, kWorked);
}

TEST_F(Filters, BindThreadsThatRanBefore) {
  const pid_t pid = fork();
  if (pid == 0) {
    harden_process();
    int ends[2];
    if (pipe(ends) != 0) _exit(kFailed);
    std::thread earlier{[&ends] {
      char octet = 0;
      static_cast<void>(read(ends[0], &octet, 1) == 1 && open_socket(AF_INET, SOCK_STREAM));
      _exit(kWorked);
    }};
    install_filter(FilteredProcess::Worker, SystemCallFilter::Strict);
    if (write(ends[1], "x", 1) != 1) _exit(kFailed);
    earlier.join();
  }
  int raw = 0;
  waitpid(pid, &raw, 0);
  EXPECT_TRUE(WIFSIGNALED(raw) && WTERMSIG(raw) == SIGSYS);
}

TEST_F(Filters, SwitchedOffAreNamedAsAnOverride) {
  EXPECT_FALSE(filter_missing(SystemCallFilter::Strict));
  EXPECT_EQ(filter_missing(SystemCallFilter::Off), "seccomp (no system call filter: [gate] seccomp = \"off\")");
}

}  // namespace
}  // namespace keyferry::appliance
