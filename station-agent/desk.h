// What the commands share: the open home, the login, the terminal, and the two ways of printing.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "station-agent/commands.h"
#include "station-agent/identity.h"
#include "station-agent/settings.h"
#include "station-agent/store.h"
#include "wrap/base/clock.h"
#include "wrap/base/durable_file.h"

namespace keyferry::station {

using Json = nlohmann::ordered_json;

void print(const std::string& line);     ///< a line of the result: stdout
void progress(const std::string& line);  ///< stderr
void print_json(const Json& object);     ///< the result as one line
[[nodiscard]] Json station_json(const StationFacts& station);

[[nodiscard]] Home home_of(const CommonOptions& common);

/// A home that was initialised. Writer: held by this process alone. Error{Usage} when there is no
/// station in it, Error{Refused} for a production station in a build with test hooks.
struct OpenHome {
  explicit OpenHome(const CommonOptions& common, store::Role role = store::Role::Writer);

  /// Error{Refused} when the station is not enrolled.
  [[nodiscard]] PinnedAppliance pinned() const;

  SystemClock clock;
  Home home;
  Settings settings;
  std::optional<FileLock> lock;
  Store store;
  std::unique_ptr<StationFacts> station;

 private:
  [[nodiscard]] Store open_store(store::Role role);
};

/// A production station refuses a program with test hooks.
void refuse_hooks_in_production(token::Environment environment);

/// --pin-fd, else the URI's pin-source, else asked without echo.
[[nodiscard]] SecretBytes pin_for(const CommonOptions& common,
                                  const p11::Uri& uri,
                                  const std::string& prompt);

/// The identity, held against what the store knows of it.
[[nodiscard]] std::unique_ptr<Identity> login(const CommonOptions& common, const OpenHome& home);

/// What a person types on the terminal, with echo. Error{Usage} with that hint when there is no
/// terminal.
[[nodiscard]] std::string ask_on_terminal(const std::string& question,
                                          const std::string& without_terminal);

}  // namespace keyferry::station
