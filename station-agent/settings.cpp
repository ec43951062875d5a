#include "station-agent/settings.h"

#include <toml++/toml.h>

#include <array>
#include <sstream>
#include <vector>

#include "wrap/base/durable_file.h"
#include "wrap/base/text.h"

namespace keyferry::station {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMaxSettingsBytes = 64U * 1024;

[[noreturn]] void wrong(const fs::path& path, const std::string& what) {
  throw Error{Code::Usage,
              "settings " + path.string() + ": " + what,
              "init wrote this file; put it back as it was"};
}

std::string text_at(const toml::table& table,
                    const char* group,
                    const char* name,
                    const fs::path& path) {
  const auto value = table[group][name].value<std::string>();
  if (!value) wrong(path, std::string{group} + "." + name + " is missing");
  return *value;
}

}  // namespace

fs::path Home::hsm() const {
  fs::path beside = folder;
  beside += "-hsm";
  return beside;
}

void remove_leftovers(const fs::path& folder) {
  std::error_code failed;
  std::vector<fs::path> leftovers;
  for (fs::directory_iterator it{folder, failed}, end; !failed && it != end; it.increment(failed)) {
    if (it->path().extension() == ".tmp") leftovers.push_back(it->path());
  }
  for (const fs::path& path : leftovers) fs::remove(path, failed);
}

std::optional<fs::path> embedded_module() {
  constexpr std::array kPlaces{"/usr/lib/softhsm/libsofthsm2.so",
                               "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
                               "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so"};
  for (const char* place : kPlaces) {
    if (fs::exists(place)) return fs::path{place};
  }
  return std::nullopt;
}

Settings read_settings(const fs::path& path) {
  const Bytes content = read_file(path, kMaxSettingsBytes);
  toml::table table;
  try {
    table = toml::parse(as_chars(content), path.string());
  } catch (const toml::parse_error& error) {
    wrong(path, std::string{error.description()});
  }
  Settings settings;
  settings.name = text_at(table, "station", "name", path);
  settings.site = text_at(table, "station", "site", path);
  if (!is_name(settings.name) || !is_name(settings.site))
    wrong(path, "name and site must be names");
  const auto environment =
      token::environment_from_name(text_at(table, "station", "environment", path));
  if (!environment)
    wrong(path, "station.environment is none of development, rehearsal, production");
  settings.environment = *environment;
  const std::string provider = text_at(table, "identity", "provider", path);
  if (provider != "pkcs11" && provider != "esys")
    wrong(path, "identity.provider is none of pkcs11, esys");
  settings.provider = provider == "esys" ? IdentityProvider::Esys : IdentityProvider::Pkcs11;
  settings.uri = p11::uri_or_throw(text_at(table, "identity", "uri", path));
  if (const auto conf = table["identity"]["softhsm2_conf"].value<std::string>())
    settings.softhsm2_conf = *conf;
  return settings;
}

void write_settings(const fs::path& path, const Settings& settings) {
  toml::table identity{
      {"provider", settings.provider == IdentityProvider::Esys ? "esys" : "pkcs11"},
      {"uri", p11::to_string(settings.uri)}};
  if (settings.softhsm2_conf) identity.insert("softhsm2_conf", settings.softhsm2_conf->string());
  const toml::table table{
      {"station",
       toml::table{{"name", settings.name},
                   {"site", settings.site},
                   {"environment", std::string{token::name_of(settings.environment)}}}},
      {"identity", identity}};
  std::ostringstream text;
  text << table << "\n";
  write_file_durably(path, as_bytes(text.str()), Overwrite::Replace);
}

}  // namespace keyferry::station
