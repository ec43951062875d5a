// `keyferry-bench generate`: a whole batch through the product's programs, beside the bare module
// calls.
#include "tests/bench/generate.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "tests/bench/appliance_line.h"
#include "tests/bench/raw_loop.h"
#include "tests/bench/report.h"
#include "wrap/base/cut.h"
#include "wrap/base/process.h"

namespace keyferry::bench {
namespace {

namespace fs = std::filesystem;

fs::path softhsm_module() {
  for (const char* place : {"/usr/lib/softhsm/libsofthsm2.so",
                            "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
                            "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so"}) {
    if (fs::exists(place)) return place;
  }
  throw Error{Code::NotFound, "SoftHSM's library is not where Debian puts it", "install softhsm2"};
}

/// keys/s of the bare loop, the keys shared out over as many processes as there are workers.
double raw_rate(const fs::path& folder, const GenerateOptions& options) {
  std::vector<double> rates(options.processes);
  std::vector<std::string> failures(options.processes);
  std::vector<std::thread> waiting;
  const std::uint32_t share = std::max(1U, options.count / options.processes);
  for (unsigned i = 0; i < options.processes; ++i) {
    const fs::path store = folder / fmt::format("raw-{}", i);
    const fs::path config = make_raw_store(store);
    waiting.emplace_back([&, i, store, config] {
      try {
        const std::string said = run_program("keyferry-bench",
                                                    {"raw-loop", "--count", std::to_string(share)},
                                                    folder / "raw-pin",
                                                    {{"SOFTHSM2_CONF", config.string()}});
        rates[i] = share / std::stod(said);
      } catch (const std::exception& error) {
        failures[i] = error.what();
      }
    });
  }
  for (std::thread& one : waiting) one.join();
  double sum = 0;
  for (unsigned i = 0; i < options.processes; ++i) {
    if (!failures[i].empty()) throw Error{Code::Hsm, failures[i]};
    sum += rates[i];
  }
  return sum;
}

}  // namespace

int run_generate(const GenerateOptions& options) {
  if (kTestHooks)
    fmt::print(stderr,
               "note: this build has cut points in it; figures count in a release build only\n");
  const WorkFolder folder{options.folder};
  write_random_secret(folder.path() / "raw-pin");
  for (const char* name : {"line", "single"}) fs::create_directory(folder.path() / name);
  ApplianceLine line{folder.path() / "line", options.processes};
  std::optional<ApplianceLine> single;
  fmt::print(stderr, "set-up: appliance, CA, master, station\n");
  line.set_up();
  if (options.scaling) single.emplace(folder.path() / "single", 1U).set_up();
  std::vector<double> figures, raws, ones;
  Json rounds = Json::array();
  for (std::uint32_t round = 1; round <= options.rounds; ++round) {
    const auto measure_raw = [&] { raws.push_back(raw_rate(folder.path(), options)); };
    const auto measure_one = [&] {
      if (!single) return;
      const fs::path plan = single->prepare_batch(round, options.count);
      ones.push_back(options.count / single->run_batch(plan, options.count));
    };
    const fs::path plan = line.prepare_batch(round, options.count);
    // Who goes first changes, so that a machine that gets slower or faster favours neither.
    if (round % 2 == 0) measure_raw();
    if (round % 2 != 0) measure_one();
    figures.push_back(options.count / line.run_batch(plan, options.count));
    if (round % 2 == 0) measure_one();
    if (round % 2 != 0) measure_raw();
    Json one{{"figure", rounded(figures.back(), 1)}, {"raw", rounded(raws.back(), 1)}};
    if (single) one["one_worker"] = rounded(ones.back(), 1);
    rounds.push_back(std::move(one));
    fmt::print(stderr,
               "round {} of {}: {:.0f} keys/s end to end, {:.0f} keys/s in the bare loop{}\n",
               round,
               options.rounds,
               figures.back(),
               raws.back(),
               single ? fmt::format(", {:.0f} keys/s with one worker", ones.back()) : "");
  }
  const double figure = median(figures);
  const double raw = median(raws);
  const double scaling = single ? figure / median(ones) : 0;
  if (options.json) {
    Json result{{"schema", "keyferry.bench.v1"},
                {"name", "generate"},
                {"figure", rounded(figure, 1)},
                {"raw", rounded(raw, 1)},
                {"ratio", rounded(figure / raw, 3)},
                {"unit", "keys/s"},
                {"rounds", rounds}};
    if (single) {
      result["one_worker"] = rounded(median(ones), 1);
      result["scaling"] = rounded(scaling, 3);
    }
    fmt::print("{}\n", result.dump());
  } else {
    fmt::print("end to end   {:8.1f} keys/s\nbare loop    {:8.1f} keys/s\nratio        {:8.3f}\n",
               figure,
               raw,
               figure / raw);
    if (single) fmt::print("scaling      {:8.3f}\n", scaling);
  }
  return 0;
}

/// The child of raw_rate: PIN on descriptor 3, seconds on stdout.
int run_raw_loop(const GenerateOptions& options) {
  constexpr int kPinFd = 3;
  const SecretBytes pin = read_secret_line(kPinFd);
  // The PIN of a store that holds nothing but this run's keys.
  fmt::print("{:.6f}\n",
             raw_loop_seconds(softhsm_module(), to_string(pin.expose()), options.count));
  return 0;
}

}  // namespace keyferry::bench
