// keyferry-audit: what can be checked without the appliance and without us. Reads files, writes nothing, reaches no key.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <functional>
#include <nlohmann/json.hpp>

#include "token/audit-tool/plan_view.h"
#include "token/audit-tool/transcript_view.h"
#include "wrap/base/durable_file.h"
#include "wrap/base/error.h"
#include "wrap/base/process.h"
#include "wrap/base/words.h"
#include "wrap/crypto/hash.h"

namespace {

using namespace keyferry;  // NOLINT(google-build-using-namespace): a main of its own
using Json = nlohmann::ordered_json;

constexpr int kUsage = 2;
constexpr int kBug = 70;

struct Line {
  bool json = false;
  std::filesystem::path file;
  std::function<int()> run;
};

void print_json(const char* noun, Json fields) {
  Json whole{{"schema", fmt::format("keyferry.{}.v1", noun)}};
  whole.update(fields);
  fmt::print(stdout, "{}\n", whole.dump(2));
}

int show_plan(const Line& line) {
  const std::string origin = line.file.string();
  const audit_tool::PlanView view = audit_tool::view_plan(read_file(line.file, audit_tool::kMaxPlanBytes), origin);
  if (line.json) {
    Json fields = Json::object();
    for (const auto& [name, value] : view.fields) fields[name] = value;
    print_json("audit-plan", Json{{"sha256", view.digest.hex()}, {"words", view.words}, {"fields", fields}});
    return 0;
  }
  for (const auto& [name, value] : view.fields) fmt::print(stdout, "{} = {}\n", name, value);
  fmt::print(stdout, "\ndigest  {}\nwords   {}\n", view.digest.hex(), view.words);
  return 0;
}

int show_transcript(const Line& line) {
  const auto view = audit_tool::view_transcript(read_file(line.file, audit_tool::kMaxTranscriptBytes), line.file.string());
  if (line.json) {
    print_json("audit-transcript", Json{{"sha256", view.digest.hex()}, {"words", view.words}});
  } else {
    fmt::print(stdout, "sha-256  {}\nwords    {}\n", view.digest.hex(), view.words);
  }
  return 0;
}

int show_hash(const Line& line) {
  constexpr std::uint64_t kMaxBytes = std::uint64_t{256} * 1024 * 1024;
  const Digest digest = crypto::sha256(read_file(line.file, kMaxBytes));
  if (line.json) {
    print_json("audit-hash", Json{{"sha256", digest.hex()}, {"words", to_words(digest.bytes())}});
  } else {
    fmt::print(stdout, "sha-256  {}\nwords    {}\n", digest.hex(), to_words(digest.bytes()));
  }
  return 0;
}

int run(const Line& line) {
  try {
    return line.run();
  } catch (const Error& error) {
    fmt::print(stderr, "keyferry-audit: {}\n", error.what());
    if (!error.hint().empty()) fmt::print(stderr, "hint: {}\n", error.hint());
    return exit_status(error.code());
  } catch (const std::exception& error) {
    fmt::print(stderr, "keyferry-audit: {}\n", error.what());
    return kBug;
  }
}

}  // namespace

int main(int argc, char** argv) {
  harden_process();
  Line line;
  CLI::App app{"keyferry-audit: checks without the appliance"};
  app.require_subcommand(1)->fallthrough()->footer("example:\n  keyferry-audit plan show batch.toml");
  app.add_flag("--json", line.json, "the result as one JSON object on stdout");
  const auto add = [&line](CLI::App& parent, const char* name, const char* description, int (*function)(const Line&)) {
    CLI::App* command = parent.add_subcommand(name, description);
    command->add_option("FILE", line.file)->required();
    command->fallthrough()->callback([&line, function] { line.run = [&line, function] { return function(line); }; });
  };
  CLI::App* plan = app.add_subcommand("plan", "plans that officers approve");
  plan->require_subcommand(1)->fallthrough();
  add(*plan, "show", "every field, and the digest as hex and words: compare them with what plan approve shows", show_plan);
  add(app, "transcript", "a ceremony's transcript: its SHA-256 as hex and words", show_transcript);
  add(app, "hash", "any file of at most 256 MiB: its SHA-256 as hex and words", show_hash);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {  // CLI11's only way to say help or no
    return app.exit(error) == 0 ? 0 : kUsage;
  }
  return run(line);
}
