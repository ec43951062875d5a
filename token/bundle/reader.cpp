#include "token/bundle/reader.h"

#include <fmt/format.h>

#include <system_error>
#include <utility>

#include "wrap/base/durable_file.h"
#include "wrap/base/text.h"
#include "wrap/crypto/hash.h"

namespace keyferry::bundle {
namespace {

namespace fs = std::filesystem;

bool is_there(const fs::path& path) {
  std::error_code failed;
  return fs::exists(fs::symlink_status(path, failed));
}

bool is_regular(const fs::path& path) {
  std::error_code failed;
  return fs::is_regular_file(fs::symlink_status(path, failed));
}

}  // namespace

Reader::Reader(fs::path folder, Index index)
    : folder_{std::move(folder)}, index_{std::move(index)} {
  for (const FileEntry& file : index_.files) files_.emplace(file.path, file);
}

std::variant<Reader, Fault> Reader::open(const fs::path& folder) {
  std::error_code failed;
  if (!fs::is_directory(folder, failed))
    return Fault{"bundle-absent", printable(folder.string()), "there is no such folder"};
  const fs::path file = folder / kIndexName;
  const bool unfinished = is_there(folder / kUnfinishedName);
  if (!is_regular(file)) {
    return Fault{"index-missing",
                 std::string{kIndexName},
                 unfinished
                     ? "the export was cut off before it was finished: export the bundle again"
                     : "it is not there, or no file: this is no evidence bundle"};
  }
  if (unfinished)
    return Fault{"unfinished",
                 std::string{kUnfinishedName},
                 "an export into this bundle was cut off: give the same evidence export again"};
  if (fs::file_size(file, failed) > kMaxIndexBytes)
    return Fault{"index-size", std::string{kIndexName}, "larger than any index"};
  auto parsed = parse_index(read_file(file, kMaxIndexBytes));
  if (const auto* refusal = std::get_if<Refusal>(&parsed))
    return Fault{refusal->reason, std::string{kIndexName}, refusal->text};
  return Reader{folder, std::get<Index>(std::move(parsed))};
}

std::vector<Fault> Reader::compare_names(std::size_t max_faults) const {
  std::vector<Fault> faults;
  std::size_t seen = 0;
  std::error_code failed;
  fs::recursive_directory_iterator entries{folder_, fs::directory_options::none, failed};
  for (; !failed && entries != fs::recursive_directory_iterator{}; entries.increment(failed)) {
    if (faults.size() >= max_faults || ++seen > 4 * kMaxFiles) break;
    const fs::path& at = entries->path();
    const std::string path = at.lexically_relative(folder_).generic_string();
    const auto status = entries->symlink_status(failed);
    if (fs::is_directory(status)) continue;
    if (fs::is_symlink(status)) {
      faults.push_back({"file-link",
                        printable(path),
                        "a symbolic link: a bundle has none, and it is not followed"});
    } else if (!fs::is_regular_file(status)) {
      faults.push_back({"file-kind", printable(path), "neither a file nor a folder"});
    } else if (path != kIndexName && !files_.contains(path)) {
      faults.push_back({"file-extra", printable(path), "the index does not name it"});
    }
  }
  if (failed)
    faults.push_back(
        {"file-kind", printable(folder_.string()), "a folder cannot be read: " + failed.message()});
  for (const auto& [path, entry] : files_) {
    if (faults.size() >= max_faults) break;
    if (!is_there(folder_ / path))
      faults.push_back({"file-missing", path, "the index names it, and it is not there"});
  }
  return faults;
}

std::vector<std::string> Reader::below(std::string_view prefix) const {
  std::vector<std::string> paths;
  for (auto at = files_.lower_bound(prefix); at != files_.end() && at->first.starts_with(prefix);
       ++at)
    paths.push_back(at->first);
  return paths;
}

std::variant<Bytes, Refusal> Reader::read(const std::string& path) {
  const auto entry = files_.find(path);
  if (entry == files_.end()) return Refusal{"file-missing", "the bundle has no such file"};
  read_.insert(path);
  const fs::path file = folder_ / path;
  if (!is_regular(file)) return Refusal{"file-missing", "it is not there, or no regular file"};
  std::error_code failed;
  const std::uint64_t size = fs::file_size(file, failed);
  if (failed || size != entry->second.size_bytes) {
    return Refusal{
        "file-size",
        fmt::format("it has {} octets, the index says {}", size, entry->second.size_bytes)};
  }
  Bytes octets = read_file(file, kMaxFileBytes);
  if (octets.size() != size || crypto::sha256(octets) != entry->second.sha256)
    return Refusal{"file-changed", "its SHA-256 is not the one of the index"};
  return octets;
}

std::vector<std::string> Reader::unread() const {
  std::vector<std::string> paths;
  for (const auto& [path, entry] : files_) {
    if (!read_.contains(path)) paths.push_back(path);
  }
  return paths;
}

}  // namespace keyferry::bundle
