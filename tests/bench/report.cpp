#include "tests/bench/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>

#include "wrap/base/durable_file.h"
#include "wrap/base/error.h"

namespace keyferry::bench {

namespace fs = std::filesystem;

WorkFolder::WorkFolder(const fs::path& asked) : path_{asked}, keep_{!asked.empty()} {
  if (keep_) {
    path_ = fs::absolute(asked).lexically_normal();
    if (fs::exists(path_) && !fs::is_empty(path_)) {
      throw Error{
          Code::Usage, path_.string() + " is not empty", "--dir is a new or empty folder"};
    }
    make_private_directory(path_);
    return;
  }
  std::string name = (fs::temp_directory_path() / "keyferry-bench-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) throw system_error(Code::Storage, "mkdtemp " + name, errno);
  path_ = name;
}

WorkFolder::~WorkFolder() {
  std::error_code ignored;
  if (!keep_) fs::remove_all(path_, ignored);
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

double rounded(double value, int decimals) {
  const double scale = std::pow(10.0, decimals);
  return std::round(value * scale) / scale;
}

double seconds_of(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void on_threads(unsigned threads, const std::function<void(unsigned thread)>& work) {
  std::mutex mutex;
  std::exception_ptr error;
  const auto run = [&](unsigned thread) {
    try {
      work(thread);
    } catch (...) {
      const std::lock_guard lock{mutex};
      if (!error) error = std::current_exception();
    }
  };
  {
    std::vector<std::jthread> others;
    for (unsigned i = 1; i < threads; ++i) others.emplace_back(run, i);
    run(0);
  }
  if (error) std::rethrow_exception(error);
}

Progress::Progress(std::string what, std::uint64_t total)
    : what_{std::move(what)}, total_{total}, start_{Clock::now()}, said_{start_} {}

void Progress::at(std::uint64_t done) {
  const auto now = Clock::now();
  if (now - said_ < std::chrono::milliseconds{500}) return;
  said_ = now;
  const double seconds = std::chrono::duration<double>(now - start_).count();
  const double rate = static_cast<double>(done) / seconds;
  fmt::print(stderr,
             "{}: {} of {}, {:.0f}/s, {:.0f} s left\n",
             what_,
             done,
             total_,
             rate,
             static_cast<double>(total_ - done) / rate);
}

Rounds alternate(std::uint32_t rounds, const std::string& unit, const std::vector<Side>& sides) {
  Rounds measured{std::vector<std::vector<double>>(sides.size()), unit};
  for (const Side& side : sides) static_cast<void>(side.rate());
  const auto start = std::chrono::steady_clock::now();
  for (std::uint32_t round = 1; round <= rounds; ++round) {
    for (std::size_t i = 0; i < sides.size(); ++i) {
      const std::size_t at = (i + round) % sides.size();
      measured.rates[at].push_back(sides[at].rate());
    }
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    std::string line = fmt::format("round {} of {}:", round, rounds);
    for (std::size_t i = 0; i < sides.size(); ++i)
      line += fmt::format(" {} {:.0f}", sides[i].name, measured.rates[i].back());
    fmt::print(stderr, "{} {}, {:.0f} s left\n", line, unit, seconds / round * (rounds - round));
  }
  return measured;
}

Json result_json(const std::string& name,
                 const std::vector<Side>& sides,
                 const Rounds& rounds,
                 const Json& more) {
  const double figure = median(rounds.rates[0]);
  const double raw = median(rounds.rates[1]);
  Json each = Json::array();
  for (std::size_t round = 0; round < rounds.rates[0].size(); ++round) {
    Json one = Json::object();
    for (std::size_t i = 0; i < sides.size(); ++i)
      one[sides[i].name] = rounded(rounds.rates[i][round], 1);
    each.push_back(std::move(one));
  }
  Json result{{"schema", "keyferry.bench.v1"},
              {"name", name},
              {"figure", rounded(figure, 1)},
              {"raw", rounded(raw, 1)},
              {"ratio", rounded(figure / raw, 3)},
              {"unit", rounds.unit},
              {"rounds", std::move(each)}};
  result.update(more);
  return result;
}

void print_result(const Json& result, bool json) {
  if (json) {
    fmt::print("{}\n", result.dump());
    return;
  }
  fmt::print("figure {:10.1f} {}\nraw    {:10.1f} {}\nratio  {:10.3f}\n",
             result.at("figure").get<double>(),
             result.at("unit").get<std::string>(),
             result.at("raw").get<double>(),
             result.at("unit").get<std::string>(),
             result.at("ratio").get<double>());
  if (result.contains("age") && result.at("age").contains("figure")) {
    fmt::print("age    {:10.1f} {}\n",
               result.at("age").at("figure").get<double>(),
               result.at("unit").get<std::string>());
  }
}

}  // namespace keyferry::bench
