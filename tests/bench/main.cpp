// keyferry-bench: figures of the product beside the bare work that they stand for, in one run.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "tests/bench/appliance_line.h"
#include "tests/bench/raw_loop.h"
#include "wrap/base/cut.h"
#include "wrap/base/durable_file.h"
#include "wrap/base/process.h"

namespace {

using namespace keyferry;
namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr const char* kGenerateHelp =
    "What is measured, in alternation, at least five times, on one and the same disk:\n"
    "  figure  keys/s of `keyferry-appliance plan run` from the start of the process to its end: "
    "gate and worker start,\n"
    "          log in and check their keys; a whole approved batch is made, wrapped, certified, "
    "sealed, written durably,\n"
    "          logged and committed to the HSM's state; a real SoftHSM, one key worker unless "
    "--processes says otherwise.\n"
    "          Import and approval of the inventory come before and are not measured. Nothing is "
    "subtracted.\n"
    "  raw     keys/s of a bare loop over the module calls that one key needs: derive, generate, "
    "wrap, read the point,\n"
    "          sign by a CA key, destroy; in a process of its own with a store of the same kind; "
    "its start is not\n"
    "          measured.\n"
    "  ratio   figure / raw. Both are medians over the rounds; `rounds` has each.\n"
    "example: keyferry-bench generate --json --count 12000 --rounds 5";

struct Options {
  std::uint32_t count = 12'000;
  std::uint32_t rounds = 5;
  unsigned processes = 1;
  fs::path folder;
  bool json = false;
};

/// A folder of its own, removed at the end unless it was asked for by name.
class WorkFolder {
 public:
  explicit WorkFolder(const fs::path& asked) : path_{asked}, keep_{!asked.empty()} {
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
    if (mkdtemp(name.data()) == nullptr)
      throw system_error(Code::Storage, "mkdtemp " + name, errno);
    path_ = name;
  }

  ~WorkFolder() {
    std::error_code ignored;
    if (!keep_) fs::remove_all(path_, ignored);
  }

  WorkFolder(const WorkFolder&) = delete;
  WorkFolder& operator=(const WorkFolder&) = delete;

  [[nodiscard]] const fs::path& path() const { return path_; }

 private:
  fs::path path_;
  bool keep_;
};

fs::path softhsm_module() {
  for (const char* place : {"/usr/lib/softhsm/libsofthsm2.so",
                            "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
                            "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so"}) {
    if (fs::exists(place)) return place;
  }
  throw Error{Code::NotFound, "SoftHSM's library is not where Debian puts it", "install softhsm2"};
}

/// keys/s of the bare loop, the keys shared out over as many processes as there are workers.
double raw_rate(const fs::path& folder, const Options& options) {
  std::vector<double> rates(options.processes);
  std::vector<std::string> failures(options.processes);
  std::vector<std::thread> waiting;
  const std::uint32_t share = std::max(1U, options.count / options.processes);
  for (unsigned i = 0; i < options.processes; ++i) {
    const fs::path store = folder / fmt::format("raw-{}", i);
    const fs::path config = bench::make_raw_store(store);
    waiting.emplace_back([&, i, store, config] {
      try {
        const std::string said = bench::run_program("keyferry-bench",
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

double median(std::vector<double> values) {
  std::ranges::sort(values);
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

/// With so many decimals, as far as a double has them.
double rounded(double value, int decimals) {
  const double scale = std::pow(10.0, decimals);
  return std::round(value * scale) / scale;
}

int generate(const Options& options) {
  if (kTestHooks)
    fmt::print(stderr,
               "note: this build has cut points in it; figures count in a release build only\n");
  const WorkFolder folder{options.folder};
  bench::write_random_secret(folder.path() / "raw-pin");
  bench::ApplianceLine line{folder.path(), options.processes};
  fmt::print(stderr, "set-up: appliance, CA, master, station\n");
  line.set_up();
  std::vector<double> figures, raws;
  Json rounds = Json::array();
  for (std::uint32_t round = 1; round <= options.rounds; ++round) {
    const fs::path plan = line.prepare_batch(round, options.count);
    // Who goes first changes, so that a machine that gets slower or faster favours neither.
    if (round % 2 == 0) raws.push_back(raw_rate(folder.path(), options));
    figures.push_back(options.count / line.run_batch(plan, options.count));
    if (round % 2 != 0) raws.push_back(raw_rate(folder.path(), options));
    rounds.push_back({{"figure", rounded(figures.back(), 1)}, {"raw", rounded(raws.back(), 1)}});
    fmt::print(stderr,
               "round {} of {}: {:.0f} keys/s end to end, {:.0f} keys/s in the bare loop\n",
               round,
               options.rounds,
               figures.back(),
               raws.back());
  }
  const double figure = median(figures);
  const double raw = median(raws);
  if (options.json) {
    const Json result{{"schema", "keyferry.bench.v1"},
                      {"name", "generate"},
                      {"figure", rounded(figure, 1)},
                      {"raw", rounded(raw, 1)},
                      {"ratio", rounded(figure / raw, 3)},
                      {"unit", "keys/s"},
                      {"rounds", rounds}};
    fmt::print("{}\n", result.dump());
  } else {
    fmt::print("end to end   {:8.1f} keys/s\nbare loop    {:8.1f} keys/s\nratio        {:8.3f}\n",
               figure,
               raw,
               figure / raw);
  }
  return 0;
}

/// The child of raw_rate: PIN on descriptor 3, seconds on stdout.
int raw_loop(const Options& options) {
  constexpr int kPinFd = 3;
  const SecretBytes pin = read_secret_line(kPinFd);
  // The PIN of a store that holds nothing but this run's keys.
  fmt::print("{:.6f}\n",
             bench::raw_loop_seconds(softhsm_module(), to_string(pin.expose()), options.count));
  return 0;
}

int run(int argc, char** argv) {
  CLI::App app{
      "keyferry-bench: how fast the product is, beside the bare work that cannot be avoided"};
  app.require_subcommand(1);
  Options options;
  CLI::App* const generate_command =
      app.add_subcommand("generate", "keys of a whole batch, end to end, per second");
  generate_command->footer(kGenerateHelp);
  generate_command->add_option("--count", options.count, "keys in each round")
      ->capture_default_str()
      ->check(CLI::Range(1U, 1'000'000U));
  generate_command->add_option("--rounds", options.rounds, "rounds; the median counts")
      ->capture_default_str()
      ->check(CLI::Range(5U, 1000U));
  generate_command
      ->add_option("--processes", options.processes, "key workers, and processes of the bare loop")
      ->capture_default_str()
      ->check(CLI::Range(1U, 64U));
  generate_command->add_option(
      "--dir", options.folder, "new or empty folder, kept (else a temporary one)");
  generate_command->add_flag("--json", options.json, "one JSON object on stdout");
  CLI::App* const raw_command = app.add_subcommand("raw-loop", "started by `generate`")->group("");
  raw_command->add_option("--count", options.count)->required();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : exit_status(Code::Usage);
  }
  return generate_command->parsed() ? generate(options) : raw_loop(options);
}

}  // namespace

int main(int argc, char** argv) {
  harden_process();
  try {
    return run(argc, argv);
  } catch (const Error& error) {
    fmt::print(stderr, "keyferry-bench: {}\n", error.what());
    if (!error.hint().empty()) fmt::print(stderr, "hint: {}\n", error.hint());
    return exit_status(error.code());
  } catch (const std::exception& error) {
    fmt::print(stderr, "keyferry-bench: {}\n", error.what());
    return exit_status(Code::Internal);
  }
}
