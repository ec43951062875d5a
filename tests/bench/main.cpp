// keyferry-bench: figures of the product beside the bare work that they stand for, in one run.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <string>
#include <thread>

#include "tests/bench/container_bench.h"
#include "tests/bench/generate.h"
#include "tests/bench/ingest_bench.h"
#include "tests/bench/lane_bench.h"
#include "tests/bench/log_bench.h"
#include "token/ordered_crew.h"
#include "wrap/base/error.h"
#include "wrap/base/process.h"

namespace {

using namespace keyferry;

constexpr std::uint32_t kMostCount = 1'000'000;

/// What every command has.
template <typename Options>
CLI::App* add_command(CLI::App& app,
                      const std::string& name,
                      const std::string& about,
                      const char* help,
                      const std::string& counted,
                      Options& options) {
  CLI::App* const command = app.add_subcommand(name, about);
  command->footer(help);
  command->add_option("--count", options.count, counted)
      ->capture_default_str()
      ->check(CLI::Range(1U, kMostCount));
  command->add_option("--rounds", options.rounds, "rounds; the median counts")
      ->capture_default_str()
      ->check(CLI::Range(5U, 1000U));
  command->add_option(
      "--dir", options.folder, "new or empty folder, kept (else a temporary one)");
  command->add_flag("--json", options.json, "one JSON object on stdout");
  return command;
}

void add_threads(CLI::App* command, unsigned& threads, const std::string& about) {
  command->add_option("--threads", threads, about)
      ->capture_default_str()
      ->check(CLI::Range(1U, 64U));
}

void add_record_bytes(CLI::App* command, std::uint32_t& record_bytes) {
  command->add_option("--record-bytes", record_bytes, "octets of each record")
      ->capture_default_str()
      ->check(CLI::Range(1U, 65'536U));
}

int run(int argc, char** argv) {
  CLI::App app{
      "keyferry-bench: how fast the product is, beside the bare work that cannot be avoided"};
  app.require_subcommand(1);

  bench::GenerateOptions generate;
  CLI::App* const generate_command = add_command(app,
                                                 "generate",
                                                 "keys of a whole batch, end to end, per second",
                                                 bench::kGenerateHelp,
                                                 "keys in each round",
                                                 generate);
  generate_command
      ->add_option("--processes", generate.processes, "key workers, and processes of the bare loop")
      ->capture_default_str()
      ->check(CLI::Range(1U, 64U));
  generate_command->add_flag(
      "--scaling", generate.scaling, "one worker too, in every round, and what more of them gain");

  bench::ContainerOptions seal;
  seal.threads = token::usual_threads();
  CLI::App* const seal_command = add_command(app,
                                             "seal",
                                             "a container sealed to a durable file",
                                             bench::kSealHelp,
                                             "records in the container",
                                             seal);
  add_record_bytes(seal_command, seal.record_bytes);
  add_threads(seal_command, seal.threads, "threads of the product, and of the raw work");

  bench::ContainerOptions open;
  open.threads = token::usual_threads();
  CLI::App* const open_command = add_command(app,
                                             "open",
                                             "a container verified and opened",
                                             bench::kOpenHelp,
                                             "records in the container",
                                             open);
  add_record_bytes(open_command, open.record_bytes);
  add_threads(open_command, open.threads, "threads of the product, and of the raw work");

  bench::IngestOptions ingest;
  ingest.threads = std::max(1U, std::thread::hardware_concurrency());
  CLI::App* const ingest_command = add_command(app,
                                               "ingest",
                                               "receipts verified and taken into the ledger",
                                               bench::kIngestHelp,
                                               "receipts in the container",
                                               ingest);
  add_threads(ingest_command, ingest.threads, "threads of the raw work");

  bench::LogOptions log;
  CLI::App* const log_command = add_command(app,
                                            "log",
                                            "leaves appended to the log and proved",
                                            bench::kLogHelp,
                                            "leaves",
                                            log);
  log_command->add_option("--leaf-bytes", log.leaf_bytes, "octets of each leaf")
      ->capture_default_str()
      ->check(CLI::Range(1U, 8'192U));

  bench::LaneOptions lane;
  CLI::App* const lane_command = add_command(app,
                                             "lane",
                                             "ATECC608 devices through the station's lanes",
                                             bench::kLaneHelp,
                                             "devices of each lane in each round",
                                             lane);
  lane_command->add_option("--lanes", lane.lanes, "lanes at the same time")
      ->capture_default_str()
      ->check(CLI::Range(1U, 64U));

  CLI::App* const raw_command = app.add_subcommand("raw-loop", "started by `generate`")->group("");
  raw_command->add_option("--count", generate.count)->required();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : exit_status(Code::Usage);
  }
  if (seal_command->parsed()) return bench::run_seal(seal);
  if (open_command->parsed()) return bench::run_open(open);
  if (ingest_command->parsed()) return bench::run_ingest(ingest);
  if (log_command->parsed()) return bench::run_log(log);
  if (lane_command->parsed()) return bench::run_lane(lane);
  return generate_command->parsed() ? bench::run_generate(generate)
                                    : bench::run_raw_loop(generate);
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
