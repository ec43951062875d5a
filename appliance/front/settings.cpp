#include "appliance/front/settings.h"

#include <fmt/format.h>
#include <toml++/toml.h>

#include "appliance/plan/plan_fields.h"
#include "wrap/base/durable_file.h"
#include "wrap/base/error.h"
#include "wrap/base/text.h"

namespace keyferry::appliance {
namespace {

constexpr std::uint64_t kMaxSettingsBytes = 64 * 1024;
constexpr std::int64_t kVersion = 1;

std::string socket_text(const char* name, const std::optional<std::filesystem::path>& socket) {
  return socket ? fmt::format("{} = {}\n", name, toml_quoted(socket->string())) : std::string{};
}

}  // namespace

Settings read_home_settings(const std::filesystem::path& file) {
  const auto octets = read_file_if_exists(file, kMaxSettingsBytes);
  if (!octets) {
    throw Error{Code::NotFound,
                "no appliance at " + file.parent_path().string(),
                "make one with: keyferry-appliance init --home DIR --name NAME"};
  }
  toml::table root;
  try {
    root = toml::parse(as_chars(*octets));
  } catch (const toml::parse_error& error) {  // the parser's only way to say no
    throw Error{Code::Usage,
                fmt::format("{}: line {}: {}",
                            file.string(),
                            error.source().begin.line,
                            printable(error.description()))};
  }
  const toml::table& table = root;
  const auto environment =
      environment_from_name(table["environment"].value<std::string>().value_or(""));
  Settings settings;
  settings.name = table["name"].value<std::string>().value_or("");
  settings.gate_settings = table["gate_settings"].value<std::string>().value_or("");
  settings.officer_key = table["officer_key"].value<std::string>().value_or("");
  if (table["version"].value<std::int64_t>() != kVersion || !environment ||
      !is_name(settings.name) || settings.gate_settings.empty()) {
    throw Error{Code::Usage,
                file.string() +
                    ": not the settings of an appliance, or of another "
                    "program version"};
  }
  settings.environment = *environment;
  if (const auto socket = table["gate_socket"].value<std::string>()) settings.gate_socket = *socket;
  if (const auto socket = table["reader_socket"].value<std::string>()) settings.reader_socket = *socket;
  if (const toml::array* list = table["insecure_allow"].as_array()) {
    for (const toml::node& node : *list) {
      settings.insecure_allow.push_back(node.value<std::string>().value_or(""));
    }
  }
  return settings;
}

void write_home_settings(const std::filesystem::path& file, const Settings& settings) {
  std::string allow;
  for (const std::string& name : settings.insecure_allow) {
    allow += (allow.empty() ? "" : ", ") + toml_quoted(name);
  }
  const std::string text = fmt::format(
      "# keyferry-appliance: where its other parts are\nversion = {}\nname = {}\n"
      "environment = \"{}\"\ngate_settings = {}\nofficer_key = {}\n"
      "insecure_allow = [{}]\n",
      kVersion,
      toml_quoted(settings.name),
      environment_name(settings.environment),
      toml_quoted(settings.gate_settings.string()),
      toml_quoted(settings.officer_key.string()),
      allow) + socket_text("gate_socket", settings.gate_socket) + socket_text("reader_socket", settings.reader_socket);
  write_file_durably(file, as_bytes(text), Overwrite::Replace);
}

}  // namespace keyferry::appliance
