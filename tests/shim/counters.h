// How often each function was called in this process: a text file that is right at any moment, also
// after SIGKILL (a shared mapping; digits are counted up in place).
#pragma once

#include <cstddef>
#include <mutex>
#include <string>

#include "tests/shim/script.h"

namespace keyferry::shim {

class Counters {
 public:
  Counters() = default;
  Counters(const Counters&) = delete;
  Counters& operator=(const Counters&) = delete;
  ~Counters();

  /// FILE.PID, one line for each function and each rule of `script`: name, blank, 12 digits. Goes
  /// on where this process stopped before C_Finalize.
  void open(const Script& script);

  void function_called(Fn fn) { up(index_of(fn)); }

  void rule_met(std::size_t rule) { up(kFunctionCount + rule); }

 private:
  void up(std::size_t line);
  void close();

  std::mutex mutex_;
  char* text_ = nullptr;
  std::size_t size_bytes_ = 0;
};

}  // namespace keyferry::shim
