// What happened in a ceremony, as it happened: an append-only file of JSON lines, each with the hash of the one before,
// each on disk before the next act begins (../CEREMONY.md). No secret and no name of a person stands in it.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "wrap/base/clock.h"
#include "wrap/base/durable_file.h"
#include "wrap/base/ids.h"

namespace keyferry::ceremony {

using Json = nlohmann::ordered_json;

inline constexpr std::size_t kMaxJournalBytes = 64 * 1024 * 1024;
inline constexpr std::size_t kMaxEntryBytes = 2 * 1024 * 1024;

struct Entry {
  UtcMillis time;
  std::string event;
  Json fields;  // the whole object
};

/// The entries of a journal's octets, the chain checked. Bytes behind the last line end are an append that was cut off:
/// they are left out, `whole_bytes` tells where they begin. Error{Refused} for a line that was edited, taken out or put
/// in, with its number.
struct ReadJournal {
  std::vector<Entry> entries;
  Digest head;  // hash of the last entry; zero octets when there is none
  std::uint64_t whole_bytes = 0;
};

[[nodiscard]] ReadJournal read_journal(ByteView octets, const std::string& origin);

class Journal {
 public:
  /// Opens or creates the file; what a cut left of a last line is taken off. Errors as read_journal.
  Journal(std::filesystem::path file, const Clock& clock);

  [[nodiscard]] const std::vector<Entry>& entries() const { return read_.entries; }

  [[nodiscard]] const Digest& head() const { return read_.head; }

  /// One line, durable when this returns. `fields` without "hash", "time" and "event". Error{InvalidArgument} above
  /// kMaxEntryBytes.
  const Entry& append(const std::string& event, const Json& fields);

 private:
  std::filesystem::path path_;
  const Clock& clock_;
  Fd fd_;
  ReadJournal read_;
};

}  // namespace keyferry::ceremony
