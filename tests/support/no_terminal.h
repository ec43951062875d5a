// For tests of programs that would ask a person: without a controlling terminal they have to say no instead.
#pragma once

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

namespace keyferry::test {

/// This process and what it starts have no controlling terminal from here on.
inline void leave_terminal() {
  const int terminal = open("/dev/tty", O_RDWR | O_CLOEXEC);
  if (terminal < 0) return;
  ioctl(terminal, TIOCNOTTY);
  close(terminal);
}

}  // namespace keyferry::test
