#include "tests/bench/appliance_line.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <utility>

#include "wrap/base/durable_file.h"
#include "wrap/base/process.h"
#include "wrap/base/random.h"

namespace keyferry::bench {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr const char* kName = "bench";  // of appliance, station, CA, master, source
constexpr int kSecretFd = 3;
constexpr int kStdout = 1;
constexpr int kStderr = 2;

/// Where a program's messages go until it is known whether anybody wants them.
Fd quiet_stderr() {
  Fd fd{memfd_create("stderr of a program", MFD_CLOEXEC)};
  if (!fd.valid()) throw system_error(Code::Internal, "memfd_create", errno);
  return fd;
}

void show(const Fd& messages) {
  std::array<char, 4096> some;
  for (off_t at = 0;;) {
    const ssize_t got = pread(messages.get(), some.data(), some.size(), at);
    if (got <= 0) return;
    static_cast<void>(fwrite(some.data(), 1, static_cast<std::size_t>(got), stderr));
    at += got;
  }
}

std::string read_to_end(const Fd& fd) {
  std::string text;
  std::array<char, 4096> some;
  for (;;) {
    const ssize_t got = read(fd.get(), some.data(), some.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw system_error(Code::Channel, "read what a program says", errno);
    if (got == 0) return text;
    text.append(some.data(), static_cast<std::size_t>(got));
  }
}

/// The object on stdout of a command that was given --json.
Json parsed(const std::string& text) {
  Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded())
    throw Error{Code::Channel, "a program of ours answers --json with something else"};
  return json;
}

}  // namespace

void write_random_secret(const fs::path& file) {
  SystemRandom random;
  write_file_durably(file, as_bytes(to_hex(random.bytes(16))), Overwrite::Refuse);
}

std::string run_program(const std::string& name,
                        const std::vector<std::string>& arguments,
                        const fs::path& secret,
                        const std::vector<std::pair<std::string, std::string>>& environment) {
  auto [ours, theirs] = socket_pair();
  ChildSpec spec;
  spec.program = sibling_program(name);
  spec.arguments = arguments;
  spec.environment = environment;
  const Fd messages = quiet_stderr();
  spec.descriptors = {{theirs.get(), kStdout}, {messages.get(), kStderr}};
  Fd secret_file;
  if (!secret.empty()) {
    secret_file = open_regular_file(secret, Code::Storage);
    spec.descriptors.emplace_back(secret_file.get(), kSecretFd);
  }
  Child child{spec};
  theirs.reset();
  const std::string said = read_to_end(ours);
  if (const int status = child.wait(); status != 0) {
    show(messages);
    throw Error{Code::Refused,
                fmt::format("{} {} ended with status {}", name, fmt::join(arguments, " "), status)};
  }
  return said;
}

ApplianceLine::ApplianceLine(fs::path folder, unsigned workers)
    : folder_{std::move(folder)}, workers_{workers} {}

std::string ApplianceLine::appliance(std::vector<std::string> arguments, As who) const {
  arguments.insert(arguments.end(), {"--home", (folder_ / "appliance").string(), "--json"});
  if (who == As::Nobody) return run_program("keyferry-appliance", arguments, {});
  arguments.insert(arguments.end(), {"--officer-passphrase-fd", std::to_string(kSecretFd)});
  return run_program("keyferry-appliance", arguments, folder_ / "officer-passphrase");
}

std::string ApplianceLine::station(std::vector<std::string> arguments) const {
  arguments.insert(
      arguments.end(),
      {"--home", (folder_ / "station").string(), "--json", "--pin-fd", std::to_string(kSecretFd)});
  return run_program("keyferry-station", arguments, folder_ / "station-pin");
}

void ApplianceLine::set_up() {
  for (const char* secret : {"hsm-pin", "officer-passphrase", "station-pin"})
    write_random_secret(folder_ / secret);
  appliance({"init",
             "--name",
             kName,
             "--officer-name",
             "Bench",
             "--officer-key",
             (folder_ / "officer.pem").string(),
             "--pin-file",
             (folder_ / "hsm-pin").string(),
             "--workers",
             std::to_string(workers_),
             "--insecure-allow",
             "network,swap,memlock"},
            As::Officer);
  appliance({"ca", "create", kName, "--subject", "CN=bench CA"}, As::Officer);
  appliance({"transport-master", "create", kName}, As::Officer);
  appliance({"source", "add", kName}, As::Officer);
  const fs::path token = folder_ / "token";
  make_private_directory(token);
  station({"init", "--name", kName, "--site", kName});
  const Json request = parsed(station({"enroll", "--to", token.string()}));
  appliance({"station",
             "enroll",
             token.string(),
             "--fingerprint",
             request.at("fingerprint").get<std::string>()},
            As::Officer);
}

fs::path ApplianceLine::prepare_batch(std::uint32_t number, std::uint32_t count) {
  const std::string lot = fmt::format("ROUND-{}", number);
  const fs::path rows = folder_ / fmt::format("rows-{}.csv", number);
  const fs::path plan = folder_ / fmt::format("plan-{}.toml", number);
  static_cast<void>(run_program("keyferry-vse",
                                {"pkcs11",
                                 "inventory-only",
                                 "--count",
                                 std::to_string(count),
                                 "--inventory",
                                 rows.string(),
                                 "--master",
                                 kName,
                                 "--lot",
                                 lot,
                                 "--device-serial-prefix",
                                 fmt::format("B{}-", number)},
                                {}));
  appliance({"se", "import", rows.string(), "--source", kName}, As::Officer);
  appliance({"plan",
             "new",
             "--station",
             kName,
             "--ca",
             kName,
             "--count",
             std::to_string(count),
             "--lot",
             lot,
             "--out",
             plan.string()},
            As::Nobody);
  appliance({"plan", "approve", plan.string()}, As::Officer);
  return plan;
}

double ApplianceLine::run_batch(const fs::path& plan, std::uint32_t count) const {
  const auto start = std::chrono::steady_clock::now();
  const std::string said = appliance({"plan", "run", plan.string()}, As::Nobody);
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const Json result = parsed(said);
  if (result.at("state") != "sealed" || result.at("issued") != count) {
    throw Error{Code::Refused, "the batch is not sealed whole: " + result.dump()};
  }
  return seconds;
}

}  // namespace keyferry::bench
