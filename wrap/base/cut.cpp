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
  const std::string line = std::string{name} + " " + std::to_string(getpid()) + "\n";
  if (write(fd, line.data(), line.size()) < 0) {
    // A lost trace line makes the test that reads it fail, which is the right outcome.
  }
  close(fd);
}

void hold(const std::string& spec, const char* name) {
  const std::size_t colon = spec.find(':');
  if (colon == std::string::npos || spec.substr(0, colon) != name) return;
  const int fd = open(spec.c_str() + colon + 1, O_RDONLY | O_CLOEXEC);  // waits for a writer
  if (fd < 0) return;
  char octet = 0;
  while (read(fd, &octet, 1) > 0) {
  }
  close(fd);
}

}  // namespace

void cut_point(const char* name) {
  if (const char* file = std::getenv("KEYFERRY_CUT_TRACE")) trace(file, name);
  if (const char* spec = std::getenv("KEYFERRY_HOLD")) hold(spec, name);
  const std::lock_guard lock{mutex};
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
