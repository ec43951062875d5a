#include "token/bundle/writer.h"

#include <fmt/format.h>

#include <system_error>
#include <vector>

#include "wrap/base/cut.h"
#include "wrap/base/durable_file.h"
#include "wrap/base/error.h"
#include "wrap/crypto/hash.h"

namespace keyferry::bundle {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxMark = 1024;

[[noreturn]] void refuse_folder(const fs::path& folder, const std::string& why) {
  throw Error{Code::Refused,
              fmt::format("{}: {}", folder.string(), why),
              "name an empty folder, or the bundle that is to be brought up to date"};
}

std::optional<Index> index_in(const fs::path& folder) {
  const auto octets = read_file_if_exists(folder / kIndexName, kMaxIndexBytes);
  if (!octets) return std::nullopt;
  auto parsed = parse_index(*octets);
  if (std::holds_alternative<Refusal>(parsed))
    refuse_folder(folder, "its index.json is none of a bundle");
  return std::get<Index>(std::move(parsed));
}

}  // namespace

Writer::Writer(fs::path folder, const std::string& origin, const Scope& scope)
    : folder_{std::move(folder)},
      mark_{fmt::format("{}\n{}\n{}\n", origin, name_of(scope.kind), scope.value)} {
  std::error_code failed;
  if (!fs::exists(fs::symlink_status(folder_, failed))) return;
  if (!fs::is_directory(fs::symlink_status(folder_, failed)))
    refuse_folder(folder_, "it is no folder");
  earlier_ = index_in(folder_);
  if (earlier_) {
    if (earlier_->origin != origin) refuse_folder(folder_, "it is a bundle of another appliance");
    if (earlier_->scope != scope) refuse_folder(folder_, "it is a bundle of another scope");
    return;
  }
  const auto mark = read_file_if_exists(folder_ / kUnfinishedName, kMaxMark);
  if (mark && as_chars(*mark) == mark_) return;
  if (mark) refuse_folder(folder_, "a bundle of another appliance or scope is being written there");
  if (!fs::is_empty(folder_, failed) || failed)
    refuse_folder(folder_, "it is not empty and no bundle");
}

void Writer::begin() {
  if (begun_) return;
  make_private_directory(folder_);
  write_file_durably(folder_ / kUnfinishedName, as_bytes(mark_), Overwrite::Replace);
  KF_CUT("bundle.begun");
  begun_ = true;
}

void Writer::put(const std::string& path, ByteView octets) {
  if (!is_bundle_path(path) || path == kIndexName || octets.size() > kMaxFileBytes ||
      files_.size() == kMaxFiles)
    throw Error{
        Code::InvalidArgument,
        fmt::format(
            "a bundle cannot hold {} of {} octets as file {}", path, octets.size(), files_.size())};
  FileEntry entry{path, octets.size(), crypto::sha256(octets)};
  if (!files_.emplace(path, entry).second)
    throw Error{Code::InvalidArgument, path + " is twice in one bundle"};
  begin();
  const fs::path file = folder_ / path;
  std::error_code failed;
  if (fs::is_regular_file(fs::symlink_status(file, failed)) &&
      fs::file_size(file, failed) == octets.size() &&
      equal(read_file(file, kMaxFileBytes), octets)) {
    ++counts_.kept;
  } else {
    make_private_directory(file.parent_path());
    write_file_durably(file, octets, Overwrite::Replace);
    ++counts_.written;
    KF_CUT("bundle.file");
  }
  counts_.bytes += octets.size();
}

Written Writer::finish(Index index) {
  begin();
  index.files.clear();
  for (auto& [path, entry] : files_) index.files.push_back(entry);
  const Bytes octets = serialise(index);
  KF_CUT("bundle.index.before");
  write_file_durably(folder_ / kIndexName, octets, Overwrite::Replace);
  KF_CUT("bundle.index.written");
  counts_.removed = remove_old_tiles();
  std::error_code failed;
  fs::remove(folder_ / kUnfinishedName, failed);
  if (failed)
    throw system_error(
        Code::Storage, "remove " + (folder_ / kUnfinishedName).string(), failed.value());
  sync_directory(folder_);
  counts_.files = files_.size() + 1;
  counts_.bytes += octets.size();
  return counts_;
}

/// Partial tiles of the shorter log. Anything else that stands in the folder is not ours to remove:
/// the auditor's program names it.
std::uint64_t Writer::remove_old_tiles() const {
  std::vector<fs::path> old;
  for (const auto& entry : fs::recursive_directory_iterator{folder_}) {
    const std::string path = entry.path().lexically_relative(folder_).generic_string();
    const bool tile = path.starts_with("tile/") || path.starts_with("stations/");
    if (tile && entry.symlink_status().type() == fs::file_type::regular && is_bundle_path(path) &&
        !files_.contains(path))
      old.push_back(entry.path());
  }
  for (const fs::path& file : old) {
    fs::remove(file);
    if (fs::is_empty(file.parent_path())) fs::remove(file.parent_path());
  }
  return old.size();
}

}  // namespace keyferry::bundle
