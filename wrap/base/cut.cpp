#include "wrap/base/cut.h"

#ifdef KEYFERRY_TEST_HOOKS

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <mutex>
#include <string>

namespace keyferry {
namespace {

std::mutex mutex;

void trace(const char* file, const char* name) {
  const int fd = open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return;
  const std::string line = std::string{name} + "\n";
  if (write(fd, line.data(), line.size()) < 0) {
    // A lost trace line makes the test that reads it fail, which is the right outcome.
  }
  close(fd);
}

}  // namespace

void cut_point(const char* name) {
  const std::lock_guard lock{mutex};
  if (const char* file = std::getenv("KEYFERRY_CUT_TRACE")) trace(file, name);
  const char* wanted = std::getenv("KEYFERRY_CUT");
  if (wanted == nullptr) return;
  static const std::string spec = wanted;
  static const std::size_t colon = spec.find(':');
  static const std::string cut_name = spec.substr(0, colon);
  static long left = colon == std::string::npos ? 1 : std::strtol(spec.c_str() + colon + 1, nullptr, 10);
  if (cut_name != name || --left > 0) return;
  kill(getpid(), SIGKILL);
}

}  // namespace keyferry

#endif
