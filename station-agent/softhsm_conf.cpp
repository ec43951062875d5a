#include "station-agent/softhsm_conf.h"

#include <cstdlib>
#include <sstream>
#include <string>

#include "wrap/base/durable_file.h"

namespace keyferry::station {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMaxConfBytes = 64U * 1024;

std::string trimmed(const std::string& text) {
  const auto first = text.find_first_not_of(" \t\r");
  if (first == std::string::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

}  // namespace

fs::path make_softhsm_store(const fs::path& folder) {
  const fs::path tokens = folder / "tokens";
  make_private_directory(tokens);
  const fs::path conf = folder / "softhsm2.conf";
  const std::string text =
      "directories.tokendir = " + tokens.string() +
      "\nobjectstore.backend = file\nlog.level = ERROR\nslots.removable = false\n";
  write_file_durably(conf, as_bytes(text), Overwrite::Replace);
  return conf;
}

std::optional<fs::path> softhsm_token_folder(const fs::path& conf) {
  const auto content = read_file_if_exists(conf, kMaxConfBytes);
  if (!content) return std::nullopt;
  std::istringstream lines{to_string(*content)};
  for (std::string line; std::getline(lines, line);) {
    const auto equals = line.find('=');
    if (equals == std::string::npos || trimmed(line.substr(0, equals)) != "directories.tokendir")
      continue;
    return fs::path{trimmed(line.substr(equals + 1))};
  }
  return std::nullopt;
}

std::optional<fs::path> softhsm_store_in_use() {
  const char* conf =
      std::getenv("SOFTHSM2_CONF");  // NOLINT(concurrency-mt-unsafe): set before any thread starts
  if (conf == nullptr || *conf == '\0') return std::nullopt;
  return softhsm_token_folder(conf);
}

}  // namespace keyferry::station
