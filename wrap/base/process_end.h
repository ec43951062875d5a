// How a process ended, in words, and parents that end.
#pragma once

#include <string>

namespace keyferry {

/// `status` as of Child::wait(): "exit status 3", "killed (signal 9)", "ended by its system call filter (SIGSYS)".
[[nodiscard]] std::string how_it_ended(int status);

/// 128 + SIGSYS: the process made a system call that its filter kills for.
[[nodiscard]] bool ended_by_filter(int status);

/// As die_with_parent(), with SIGTERM: for the time in which a terminal's echo is off and has to be put back.
void terminate_with_parent();

}  // namespace keyferry
