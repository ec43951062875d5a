// HOME/station.toml: who this station is and where its identity keys are. Written by `init`, read
// by every command.
//
//   [station]
//   name = "cm-line-1"
//   site = "factory-a"
//   environment = "development"
//   [identity]
//   provider = "pkcs11"                 # or "esys" (not in this version)
//   uri = "pkcs11:token=kf-station?module-path=..."
//   softhsm2_conf = "/srv/station-hsm/softhsm2.conf"   # left out: the module needs none
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "token/types.h"
#include "wrap/p11/uri.h"

namespace keyferry::station {

enum class IdentityProvider { Pkcs11, Esys };

struct Settings {
  std::string name;
  std::string site;
  token::Environment environment = token::Environment::Development;
  IdentityProvider provider = IdentityProvider::Pkcs11;
  p11::Uri uri;
  std::optional<std::filesystem::path> softhsm2_conf;

  friend bool operator==(const Settings&, const Settings&) = default;
};

/// Places below a station's home.
struct Home {
  std::filesystem::path folder;  // absolute, without a slash at its end

  [[nodiscard]] std::filesystem::path settings() const { return folder / "station.toml"; }

  [[nodiscard]] std::filesystem::path database() const { return folder / "station.db"; }

  [[nodiscard]] std::filesystem::path lock() const { return folder / "lock"; }

  /// Copies of what is on a token while it is checked.
  [[nodiscard]] std::filesystem::path inbox() const { return folder / "inbox"; }

  /// Sealed receipts.
  [[nodiscard]] std::filesystem::path outbox() const { return folder / "outbox"; }

  /// The embedded store lies beside the home, never below it.
  [[nodiscard]] std::filesystem::path hsm() const;
};

/// Removes what a cut left half-written (`*.tmp`) in a folder of the home. Fine if the folder is not there.
void remove_leftovers(const std::filesystem::path& folder);

/// The default module of an embedded store: SoftHSM's, where Debian puts it. Nothing when it is not
/// installed.
[[nodiscard]] std::optional<std::filesystem::path> embedded_module();

/// Error{Usage} for anything that is not as above; a URI with a PIN in it is refused.
[[nodiscard]] Settings read_settings(const std::filesystem::path& path);

/// Durable; replaces.
void write_settings(const std::filesystem::path& path, const Settings& settings);

}  // namespace keyferry::station
