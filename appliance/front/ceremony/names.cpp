#include "appliance/front/ceremony/names.h"

#include <nlohmann/json.hpp>

#include "wrap/base/durable_file.h"
#include "wrap/base/error.h"
#include "wrap/base/text.h"
#include "wrap/crypto/hash.h"

namespace keyferry::ceremony {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kSaltBytes = 16;
constexpr std::uint64_t kMaxFileBytes = 64 * 1024;

Json read_names(const std::filesystem::path& file) {
  const auto octets = read_file_if_exists(file, kMaxFileBytes);
  if (!octets) return Json::object();
  Json names = Json::parse(as_chars(*octets), nullptr, false);
  if (!names.is_object()) {
    throw Error{Code::Storage, file.string() + ": damaged", "take it away; those who have arrived stay known by hash"};
  }
  return names;
}

}  // namespace

Digest keep_name(const std::filesystem::path& file, const std::string& person, const std::string& name, RandomSource& random) {
  Json names = read_names(file);
  const Bytes salt = random.bytes(kSaltBytes);
  names[person] = Json{{"salt", to_hex(salt)}, {"name", name}};
  write_file_durably(file, as_bytes(names.dump(1) + "\n"), Overwrite::Replace);
  return crypto::sha256_of({salt, as_bytes(name)});
}

std::optional<std::string> name_of(const std::filesystem::path& file, const std::string& person, const Digest& hash) {
  const Json names = read_names(file);
  if (!names.contains(person) || !names[person].is_object()) return std::nullopt;
  const Json& row = names[person];
  if (!row.contains("salt") || !row["salt"].is_string() || !row.contains("name") || !row["name"].is_string()) return std::nullopt;
  const auto salt = from_hex(row["salt"].get<std::string>());
  std::string name = row["name"].get<std::string>();
  if (!salt || printable(name) != name || crypto::sha256_of({*salt, as_bytes(name)}) != hash) return std::nullopt;
  return name;
}

}  // namespace keyferry::ceremony
