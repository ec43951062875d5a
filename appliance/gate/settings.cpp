#include "appliance/gate/settings.h"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <array>

#include "appliance/plan/plan_fields.h"
#include "wrap/base/durable_file.h"
#include "wrap/base/text.h"
#include "wrap/p11/uri.h"

namespace keyferry::appliance {
namespace {

constexpr std::array kOverrides{"network", "swap", "memlock"};

constexpr std::array kFilters{
    std::pair{SystemCallFilter::Strict, std::string_view{"strict"}},
    std::pair{SystemCallFilter::NetworkModule, std::string_view{"network-module"}},
    std::pair{SystemCallFilter::Off, std::string_view{"off"}},
};

[[noreturn]] void refuse(const std::string& where, const std::string& what) {
  throw Error{Code::Usage, fmt::format("{}: {}", where, what), "correct the settings file of the gate"};
}

SystemCallFilter filter_named(const std::string& name, const std::string& where) {
  for (const auto& [filter, known] : kFilters) {
    if (known == name) return filter;
  }
  refuse(where, "[gate] seccomp is not strict, network-module or off");
}

std::string text_or(const toml::node_view<const toml::node>& node, const std::string& fallback) {
  return node.value<std::string>().value_or(fallback);
}

}  // namespace

GateSettings parse_settings(ByteView octets, const std::string& where) {
  toml::table root;
  try {
    root = toml::parse(as_chars(octets));
  } catch (const toml::parse_error& error) {  // the parser's only way to say no
    refuse(where, fmt::format("line {}: {}", error.source().begin.line, printable(error.description())));
  }
  const toml::table& table = root;
  if (table["version"].value<std::int64_t>() != 1) refuse(where, "\"version\" is not 1");
  GateSettings settings;
  settings.uri = text_or(table["hsm"]["uri"], "");
  const auto uri = p11::parse_uri(settings.uri);
  if (const auto* refusal = std::get_if<Refusal>(&uri)) refuse(where, "[hsm] uri: " + refusal->text);
  if (const auto store = table["hsm"]["store"].value<std::string>()) settings.store = *store;
  if (const toml::table* variables = table["hsm"]["environment"].as_table()) {
    for (const auto& [key, node] : *variables) {
      const auto value = node.value<std::string>();
      if (!value) refuse(where, "[hsm.environment] holds strings only");
      settings.environment.emplace(std::string{key.str()}, *value);
    }
  }
  const std::string pin = text_or(table["hsm"]["pin"], "typed");
  if (pin != "typed" && pin != "shares") refuse(where, "[hsm] pin is neither typed nor shares");
  settings.pin = pin == "shares" ? PinSource::Shares : PinSource::Typed;
  if (settings.pin == PinSource::Shares && pin_file(settings)) refuse(where, "[hsm] pin = \"shares\", and the URI has a pin-source");
  const auto kind = environment_from_name(text_or(table["gate"]["environment"], "development"));
  if (!kind) refuse(where, "[gate] environment is unknown");
  settings.kind = *kind;
  const auto workers = table["gate"]["workers"].value<std::int64_t>().value_or(1);
  if (workers < 1 || workers > 64) refuse(where, "[gate] workers is not from 1 to 64");
  settings.workers = static_cast<unsigned>(workers);
  const auto threads = table["gate"]["threads_per_worker"].value<std::int64_t>().value_or(1);
  if (threads < 1 || threads > 64) refuse(where, "[gate] threads_per_worker is not from 1 to 64");
  settings.threads = static_cast<unsigned>(threads);
  const auto keys = table["gate"]["keys_per_worker"].value<std::int64_t>().value_or(100'000);
  if (keys < 1) refuse(where, "[gate] keys_per_worker is not positive");
  settings.keys_per_worker = static_cast<std::uint64_t>(keys);
  if (const toml::array* list = table["gate"]["insecure_allow"].as_array()) {
    for (const toml::node& node : *list) {
      const auto name = node.value<std::string>().value_or("");
      if (std::ranges::find(kOverrides, name) == kOverrides.end()) {
        refuse(where, "[gate] insecure_allow knows network, swap and memlock only");
      }
      settings.insecure_allow.push_back(name);
    }
  }
  if (const auto idle = table["gate"]["idle_lock_s"].value<std::int64_t>()) {
    if (*idle < 0 || *idle > 86'400) refuse(where, "[gate] idle_lock_s is not from 0 to 86400");
    if (*idle == 0 && settings.kind == Environment::Production) refuse(where, "[gate] idle_lock_s = 0 is not for production");
    settings.idle_lock_s = static_cast<unsigned>(*idle);
  }
  settings.filter = filter_named(text_or(table["gate"]["seccomp"], "strict"), where);
  if (settings.filter == SystemCallFilter::Off && settings.kind == Environment::Production) {
    refuse(where, "[gate] seccomp = \"off\" is for development and rehearsal, not for production");
  }
  if (const auto socket = table["socket"]["path"].value<std::string>()) settings.socket = *socket;
  if (const auto uid = table["socket"]["allow_uid"].value<std::int64_t>()) {
    settings.allow_uid = static_cast<unsigned>(*uid);
  }
  return settings;
}

std::chrono::seconds idle_lock(const GateSettings& settings) {
  constexpr unsigned kProductionSeconds = 900;
  return std::chrono::seconds{settings.idle_lock_s.value_or(settings.kind == Environment::Production ? kProductionSeconds : 0)};
}

std::filesystem::path pin_sharing_file(const std::filesystem::path& settings_file) {
  if (settings_file.extension() == ".toml") return std::filesystem::path{settings_file}.replace_extension(".pin-sharing");
  return std::filesystem::path{settings_file} += ".pin-sharing";
}

GateSettings read_settings(const std::filesystem::path& file) {
  return parse_settings(read_file(file, 64 * 1024), file.string());
}

std::optional<std::filesystem::path> pin_file(const GateSettings& settings) {
  return p11::pin_file(p11::uri_or_throw(settings.uri));
}

std::string settings_text(const GateSettings& settings) {
  std::string text = fmt::format("# keyferry-hsm-gate: which HSM, and how its module is started\nversion = 1\n\n[hsm]\nuri = {}\n",
                                 toml_quoted(settings.uri));
  if (settings.store) text += fmt::format("store = {}\n", toml_quoted(settings.store->string()));
  if (settings.pin == PinSource::Shares) text += "pin = \"shares\"\n";
  if (!settings.environment.empty()) text += "\n[hsm.environment]\n";
  for (const auto& [name, value] : settings.environment) {
    text += fmt::format("{} = {}\n", toml_quoted(name), toml_quoted(value));
  }
  text += fmt::format("\n[gate]\nenvironment = \"{}\"\nworkers = {}\nthreads_per_worker = {}\nkeys_per_worker = {}\ninsecure_allow = [",
                      environment_name(settings.kind), settings.workers, settings.threads, settings.keys_per_worker);
  for (std::size_t i = 0; i < settings.insecure_allow.size(); ++i) {
    text += fmt::format("{}\"{}\"", i == 0 ? "" : ", ", settings.insecure_allow[i]);
  }
  text += "]\n";
  const auto* const filter = std::ranges::find(kFilters, settings.filter, [](const auto& pair) { return pair.first; });
  text += fmt::format("seccomp = \"{}\"\n", filter->second);
  if (settings.idle_lock_s) text += fmt::format("idle_lock_s = {}\n", *settings.idle_lock_s);
  if (settings.socket) {
    text += fmt::format("\n[socket]\npath = {}\n", toml_quoted(settings.socket->string()));
    if (settings.allow_uid) text += fmt::format("allow_uid = {}\n", *settings.allow_uid);
  }
  return text;
}

}  // namespace keyferry::appliance
