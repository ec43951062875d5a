#include "wrap/base/random.h"

#include <sys/random.h>

#include <cerrno>

#include "wrap/base/error.h"

namespace keyferry {

void SystemRandom::fill(std::span<std::uint8_t> out) {
  while (!out.empty()) {
    const ssize_t got = getrandom(out.data(), out.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) throw system_error(Code::Internal, "getrandom", errno);
    out = out.subspan(static_cast<std::size_t>(got));
  }
}

}  // namespace keyferry
