#include "wrap/base/process_end.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/prctl.h>

namespace keyferry {
namespace {

constexpr int kSignalled = 128;

}  // namespace

bool ended_by_filter(int status) { return status == kSignalled + SIGSYS; }

std::string how_it_ended(int status) {
  if (ended_by_filter(status)) return "ended by its system call filter (SIGSYS)";
  if (status > kSignalled) return fmt::format("killed (signal {})", status - kSignalled);
  return fmt::format("exit status {}", status);
}

void terminate_with_parent() { prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0); }

}  // namespace keyferry
