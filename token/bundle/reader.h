// Opens an evidence bundle that anybody may have written or changed, and hands out files whose size
// and hash are those of the index. Nothing is written, no link is followed.
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "token/bundle/index.h"
#include "wrap/base/bytes.h"
#include "wrap/base/error.h"

namespace keyferry::bundle {

/// What is wrong, with what. `subject`: a file, "leaf 12", "batch 7f3a... record 3"; printable.
struct Fault {
  std::string code;  // "file-missing", "receipt-signature", ...: stays the same
  std::string subject;
  std::string text;
};

class Reader {
 public:
  /// Folder and index. A fault here leaves nothing to look at: "bundle-absent", "index-missing",
  /// "unfinished", those of parse_index.
  [[nodiscard]] static std::variant<Reader, Fault> open(const std::filesystem::path& folder);

  [[nodiscard]] const Index& index() const { return index_; }

  /// Names in the folder against names in the index: "file-missing", "file-extra", "file-link",
  /// "file-kind", "file-size". At most `max_faults`.
  [[nodiscard]] std::vector<Fault> compare_names(std::size_t max_faults) const;

  [[nodiscard]] bool has(const std::string& path) const { return files_.contains(path); }

  /// Names in the index that begin so, in order.
  [[nodiscard]] std::vector<std::string> below(std::string_view prefix) const;

  /// Refusals: "file-missing" (not in the index, or not there), "file-size", "file-changed".
  [[nodiscard]] std::variant<Bytes, Refusal> read(const std::string& path);

  /// Where a file lies that read() gave out; for what reads a file in pieces.
  [[nodiscard]] std::filesystem::path file(const std::string& path) const { return folder_ / path; }

  /// Files that nobody asked for yet: whose hashes are still to be looked at, or which belong to
  /// nothing that the log says.
  [[nodiscard]] std::vector<std::string> unread() const;

 private:
  Reader(std::filesystem::path folder, Index index);

  std::filesystem::path folder_;
  Index index_;
  std::map<std::string, FileEntry, std::less<>> files_;
  std::set<std::string> read_;
};

}  // namespace keyferry::bundle
