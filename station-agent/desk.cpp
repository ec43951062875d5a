#include "station-agent/desk.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <utility>

#include "wrap/base/cut.h"
#include "wrap/base/process.h"

namespace keyferry::station {
namespace {

namespace fs = std::filesystem;

Settings read_settings_of(const Home& home) {
  if (!fs::exists(home.settings())) {
    throw Error{Code::Usage,
                "there is no station in " + home.folder.string(),
                "keyferry-station init makes one"};
  }
  return read_settings(home.settings());
}

}  // namespace

void print(const std::string& line) {
  fmt::print("{}\n", line);
}

void progress(const std::string& line) {
  fmt::print(stderr, "{}\n", line);
}

void print_json(const Json& object) {
  print(object.dump());
}

Json station_json(const StationFacts& station) {
  return Json{{"id", station.station_id.hex()},
              {"name", station.name},
              {"site", station.site},
              {"environment", token::name_of(station.environment)}};
}

Home home_of(const CommonOptions& common) {
  fs::path folder = fs::absolute(common.home).lexically_normal();
  if (!folder.has_filename()) folder = folder.parent_path();
  return Home{folder};
}

OpenHome::OpenHome(const CommonOptions& common, store::Role role)
    : home{home_of(common)}, settings{read_settings_of(home)}, store{open_store(role)} {
  auto facts = store.station();
  if (!facts) {
    throw Error{
        Code::Usage, "this station's init was not finished", "give the same init command again"};
  }
  refuse_hooks_in_production(facts->environment);
  station = std::make_unique<StationFacts>(std::move(*facts));
}

Store OpenHome::open_store(store::Role role) {
  if (role == store::Role::Writer) lock.emplace(home.lock());
  return Store{home.database(), role, clock};
}

PinnedAppliance OpenHome::pinned() const {
  if (auto appliance = store.appliance()) return *appliance;
  throw Error{Code::Refused,
              "this station is not enrolled",
              "keyferry-station enroll --to DIR, then --from DIR"};
}

void refuse_hooks_in_production(token::Environment environment) {
  if (environment == token::Environment::Production && kTestHooks) {
    throw Error{Code::Refused,
                "a production station refuses a program with test hooks",
                "install a release build"};
  }
}

SecretBytes pin_for(const CommonOptions& common, const p11::Uri& uri, const std::string& prompt) {
  if (common.pin_fd >= 0) return read_secret_line(common.pin_fd);
  if (const auto file = p11::pin_file(uri)) return read_secret_file(*file);
  return prompt_secret(prompt);
}

std::unique_ptr<Identity> login(const CommonOptions& common, const OpenHome& home) {
  const SecretBytes pin = pin_for(common, home.settings.uri, "PIN of this station: ");
  auto identity = open_identity(home.settings, pin, KeyCreation::Forbidden);
  if (identity->signer().public_key() != home.station->signing_key ||
      identity->agreement().public_key() != home.station->agreement_key) {
    throw Error{Code::Refused,
                "the key store holds the keys of another station",
                "check --home and the identity's URI in station.toml"};
  }
  return identity;
}

/// What a person types on the terminal, with echo.
std::string ask_on_terminal(const std::string& question, const std::string& without_terminal) {
  const Fd terminal{open("/dev/tty", O_RDWR | O_CLOEXEC)};
  if (!terminal.valid())
    throw Error{Code::Usage, "there is no terminal to ask on", without_terminal};
  write_all(terminal, as_bytes(question), "/dev/tty");
  std::string answer;
  char c = 0;
  while (answer.size() < 256 && read(terminal.get(), &c, 1) == 1 && c != '\n') answer += c;
  return answer;
}

void print_error(const CommonOptions& common,
                 const std::string& text,
                 const std::string& hint,
                 const std::string& code) {
  progress("keyferry-station: " + text);
  if (!hint.empty()) progress("hint: " + hint);
  if (common.json) {
    print_json({{"schema", "keyferry.station.error.v1"},
                {"ok", false},
                {"code", code},
                {"text", text},
                {"hint", hint}});
  }
}

}  // namespace keyferry::station
