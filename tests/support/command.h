// Runs a command line of somebody else (openssl, gnutls-cli, ...) as an independent checker.
#pragma once

#include <stdio.h>
#include <sys/wait.h>

#include <array>
#include <stdexcept>
#include <string>

namespace keyferry::test {

struct CommandResult {
  int status = -1;     ///< exit status; -1 for a signal
  std::string output;  ///< stdout and stderr
};

/// Through the shell: the command and its file names are the test's own.
inline CommandResult run_command(const std::string& command) {
  FILE* pipe = popen((command + " 2>&1").c_str(), "r");
  if (pipe == nullptr) throw std::runtime_error("popen failed");
  CommandResult result;
  std::array<char, 4096> buffer{};
  for (std::size_t got = 0; (got = fread(buffer.data(), 1, buffer.size(), pipe)) > 0;) {
    result.output.append(buffer.data(), got);
  }
  const int status = pclose(pipe);
  if (WIFEXITED(status)) result.status = WEXITSTATUS(status);
  return result;
}

}  // namespace keyferry::test
