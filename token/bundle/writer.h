// Writes an evidence bundle, or brings one of the same log and scope up to date: a file that is the
// same already is left as it is, each other one is replaced as a whole, index.json comes last.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "token/bundle/index.h"
#include "wrap/base/bytes.h"

namespace keyferry::bundle {

struct Written {
  std::uint64_t files = 0;  // in the bundle now, index.json too
  std::uint64_t kept = 0;   // as they were
  std::uint64_t written = 0;
  std::uint64_t removed = 0;  // tiles that a longer log has in another length
  std::uint64_t bytes = 0;
};

class Writer {
 public:
  /// Makes the folder where it is not there. Error{Refused}: it holds something else, or a bundle
  /// of another log or scope. Error{Storage}: it cannot be written.
  Writer(std::filesystem::path folder, const std::string& origin, const Scope& scope);

  /// The bundle that was there; nothing for a new one, and for one whose writing was cut off at
  /// the first time.
  [[nodiscard]] const std::optional<Index>& earlier() const { return earlier_; }

  /// A file of the bundle, durable when this returns. Error{InvalidArgument} for a name that no
  /// bundle has, one that was put before, and more than kMaxFileBytes or kMaxFiles.
  void put(const std::string& path, ByteView octets);

  /// The index, over all files that were put. Cut before: the same again goes on.
  Written finish(Index index);

 private:
  void begin();
  [[nodiscard]] std::uint64_t remove_old_tiles() const;

  std::filesystem::path folder_;
  std::string mark_;
  std::optional<Index> earlier_;
  bool begun_ = false;
  std::map<std::string, FileEntry> files_;
  Written counts_;
};

}  // namespace keyferry::bundle
