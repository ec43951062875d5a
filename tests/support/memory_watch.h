// How much memory a command and every process that it starts take at most, by program.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>

#include "wrap/base/process.h"

namespace keyferry::test_support {

struct MemoryWatch {
  int status = -1;  // exit status; 128 + signal
  /// Largest resident set (VmHWM) in bytes of any one process of that program, by the program's
  /// file name. Parents and children alike, the command itself included; of a process that lived
  /// less than a sample's distance nothing is known.
  std::map<std::string, std::uint64_t> peak_bytes;

  /// One line for each program, for messages of a test.
  [[nodiscard]] std::string text() const;
};

/// Starts the command and looks at its process tree every `distance` until it ends. VmHWM is the
/// kernel's own high-water mark, so a peak between two looks is not missed; only what a process
/// adds after the last look at it is.
[[nodiscard]] MemoryWatch watch_memory(
    const ChildSpec& command, std::chrono::milliseconds distance = std::chrono::milliseconds{20});

}  // namespace keyferry::test_support
