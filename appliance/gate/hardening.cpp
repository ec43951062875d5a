#include "appliance/gate/hardening.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <fstream>

#include "wrap/base/durable_file.h"
#include "wrap/base/locked_memory.h"

namespace keyferry::appliance {
namespace {

constexpr int kFirstOwn = 3;
constexpr int kSeccompFilter = 2;  // SECCOMP_MODE_FILTER, proc(5) "Seccomp"

/// Number behind `field` in /proc/self/status; -1 when there is none.
long status_number(const std::string& field) {
  std::ifstream status{"/proc/self/status"};
  std::string line;
  while (std::getline(status, line)) {
    if (line.starts_with(field + ":")) return std::strtol(line.c_str() + field.size() + 1, nullptr, 10);
  }
  return -1;
}

std::string core_sentence() {
  rlimit core{};
  getrlimit(RLIMIT_CORE, &core);
  return fmt::format("{}, {}",
                     prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0 ? "not dumpable" : "DUMPABLE: others may read its memory",
                     core.rlim_cur == 0 && core.rlim_max == 0 ? "no core image" : "CORE IMAGES are not shut out");
}

std::string parent_sentence() {
  int signal = 0;
  prctl(PR_GET_PDEATHSIG, &signal, 0, 0, 0);
  return signal == SIGKILL ? "ends with its parent" : "does not end with its parent: a service";
}

std::string memory_sentence(const SecretBytes& pin) {
  const SecretBytes fresh{32};
  const bool pin_locked = pin.empty() || memory_is_locked(pin.expose());
  const bool pool_locked = memory_is_locked(fresh.expose());
  return fmt::format("{}, {} ({} KiB locked)", pin_locked ? "the PIN is in locked memory" : "the PIN is NOT in locked memory",
                     pool_locked ? "keys come from locked memory" : "keys come from memory that is NOT locked",
                     status_number("VmLck"));
}

}  // namespace

void close_descriptors_but(std::vector<int> keep) {
  for (int fd = 0; fd < kFirstOwn; ++fd) {
    if (fcntl(fd, F_GETFD) < 0) static_cast<void>(open("/dev/null", O_RDWR));  // gets the lowest free number: this one
  }
  std::ranges::sort(keep);
  auto next = static_cast<unsigned>(kFirstOwn);
  for (const int fd : keep) {
    if (fd < kFirstOwn || static_cast<unsigned>(fd) < next) continue;
    if (static_cast<unsigned>(fd) > next) close_range(next, static_cast<unsigned>(fd) - 1, 0);
    next = static_cast<unsigned>(fd) + 1;
  }
  close_range(next, ~0U, 0);
}

void detach_input() {
  const Fd nothing{open("/dev/null", O_RDONLY | O_CLOEXEC)};
  if (!nothing.valid() || dup2(nothing.get(), STDIN_FILENO) < 0) throw system_error(Code::Internal, "/dev/null", errno);
}

std::vector<std::string> hardening_facts(FilteredProcess process, const SecretBytes& pin) {
  const std::string who = process == FilteredProcess::Gate ? "gate: " : "worker: ";
  return {who + core_sentence(),
          who + (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? "no new privileges" : "NEW PRIVILEGES are possible"),
          who + parent_sentence(),
          who + (status_number("Seccomp") == kSeccompFilter
                     ? fmt::format("under {} system call filter(s)", status_number("Seccomp_filters"))
                     : "NO system call filter"),
          who + memory_sentence(pin)};
}

}  // namespace keyferry::appliance
