// What people and scripts see (style.md section 10): the result on stdout, plain or as one JSON
// object; progress and prompts on stderr.
#pragma once

#include <chrono>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace keyferry::appliance {

using Json = nlohmann::ordered_json;  // fields in the order they were set

enum class OutputForm { Plain, Machine };

class Output {
 public:
  explicit Output(OutputForm form) : form_{form} {}

  [[nodiscard]] bool json() const { return form_ == OutputForm::Machine; }

  /// The command's one result: `object` with "schema": "keyferry.NOUN.v1" put in front, or the
  /// lines. Strings in `object` must be ASCII or UTF-8 that was checked; text from outside goes
  /// through printable().
  void result(std::string_view noun, const Json& object, const std::vector<std::string>& lines);

  /// A line of a long plain result; nothing with --json.
  void line(std::string_view text);

  /// A line on stderr.
  void note(std::string_view text);

 private:
  OutputForm form_;
};

/// Rate and remaining time of long work on stderr: on a terminal rewritten in place, else a line
/// each ten seconds.
class Progress {
 public:
  /// total 0: unknown. `what`: "importing rows".
  Progress(std::string what, std::uint64_t total);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// `done` so far in all.
  void at(std::uint64_t done);

 private:
  void show(std::uint64_t done);

  std::string what_;
  std::uint64_t total_;
  std::chrono::steady_clock::time_point began_;
  std::chrono::steady_clock::time_point shown_;
  bool terminal_;
  bool on_line_ = false;
};

}  // namespace keyferry::appliance
