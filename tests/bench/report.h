// What all commands of the benchmark share: the folder, rounds in alternation, the printed result.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace keyferry::bench {

using Json = nlohmann::ordered_json;

/// A folder of its own, removed at the end unless it was asked for by name.
class WorkFolder {
 public:
  /// Error{Usage} when `asked` is not empty and holds something.
  explicit WorkFolder(const std::filesystem::path& asked);
  ~WorkFolder();
  WorkFolder(const WorkFolder&) = delete;
  WorkFolder& operator=(const WorkFolder&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  bool keep_;
};

[[nodiscard]] double median(std::vector<double> values);

/// With so many decimals, as far as a double has them.
[[nodiscard]] double rounded(double value, int decimals);

/// Seconds that `work` took.
[[nodiscard]] double seconds_of(const std::function<void()>& work);

/// Calls work(thread) on so many threads and waits for all of them.
void on_threads(unsigned threads, const std::function<void(unsigned thread)>& work);

/// A long step on stderr: how much is done, how fast, how long it will take still. At most two
/// lines a second.
class Progress {
 public:
  Progress(std::string what, std::uint64_t total);
  void at(std::uint64_t done);

 private:
  using Clock = std::chrono::steady_clock;

  std::string what_;
  std::uint64_t total_;
  Clock::time_point start_;
  Clock::time_point said_;
};

/// One thing that is measured in each round; gives its rate.
struct Side {
  std::string name;  // of its field in `rounds`
  std::function<double()> rate;
};

/// Rates of each side, one for each round.
struct Rounds {
  std::vector<std::vector<double>> rates;
  std::string unit;
};

/// In each round every side once; who goes first changes from round to round, so that a machine
/// that gets slower or faster favours none. One round before them is thrown away: files, caches and
/// the processor's clock are the same for all then.
[[nodiscard]] Rounds alternate(std::uint32_t rounds,
                               const std::string& unit,
                               const std::vector<Side>& sides);

/// The common fields of keyferry.bench.v1, from side 0 (figure) and side 1 (raw); other sides are
/// in `rounds` only. `more` comes behind them.
[[nodiscard]] Json result_json(const std::string& name,
                               const std::vector<Side>& sides,
                               const Rounds& rounds,
                               const Json& more);

/// The object on one line, or its numbers as text.
void print_result(const Json& result, bool json);

}  // namespace keyferry::bench
