#include "appliance/front/ceremony/journal.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>

#include "wrap/base/cut.h"
#include "wrap/base/error.h"
#include "wrap/crypto/hash.h"

namespace keyferry::ceremony {
namespace {

// A line is {"hash":"<64 hex>",REST: the hash covers the hash before it (64 hex digits), a line end, and the octets of
// REST as they stand in the file. Nothing is serialised again to check it.
constexpr std::string_view kOpening = "{\"hash\":\"";
constexpr std::size_t kHexDigits = 64;
constexpr std::string_view kClosing = "\",";
constexpr std::size_t kRestAt = kOpening.size() + kHexDigits + kClosing.size();

Digest chained(const Digest& before, std::string_view rest) {
  const std::string text = before.hex() + "\n" + std::string{rest};
  return crypto::sha256(as_bytes(text));
}

[[noreturn]] void refuse(const std::string& origin, std::size_t number, std::string_view why) {
  throw Error{Code::Refused, fmt::format("{}: line {} {}: the journal was edited", origin, number, why),
              "keep it as it is for the auditor; a new ceremony has to begin"};
}

Entry read_line(std::string_view line, const Digest& before, const std::string& origin, std::size_t number, Digest& head) {
  const bool formed = line.size() > kRestAt && line.size() <= kMaxEntryBytes && line.starts_with(kOpening) &&
                      line.substr(kOpening.size() + kHexDigits, kClosing.size()) == kClosing;
  const auto named = formed ? Digest::from_hex(line.substr(kOpening.size(), kHexDigits)) : std::nullopt;
  if (!named) refuse(origin, number, "is no entry");
  head = chained(before, line.substr(kRestAt));
  if (head != *named) refuse(origin, number, "does not follow from the line before it");
  Json fields = Json::parse(line, nullptr, false);
  if (!fields.is_object() || !fields.contains("event") || !fields["event"].is_string() ||
      !fields.contains("time") || !fields["time"].is_string()) {
    refuse(origin, number, "is no entry");
  }
  const auto time = from_rfc3339(fields["time"].get<std::string>());
  if (!time) refuse(origin, number, "has no time");
  std::string event = fields["event"].get<std::string>();
  return Entry{*time, std::move(event), std::move(fields)};
}

Fd open_journal(const std::filesystem::path& path) {
  Fd fd{open(path.c_str(), O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600)};
  if (!fd.valid()) throw system_error(Code::Storage, "open " + path.string(), errno);
  return fd;
}

}  // namespace

ReadJournal read_journal(ByteView octets, const std::string& origin) {
  const std::string_view text = as_chars(octets);
  ReadJournal read;
  while (true) {
    const std::size_t end = text.find('\n', read.whole_bytes);
    if (end == std::string_view::npos) return read;
    const std::string_view line = text.substr(read.whole_bytes, end - read.whole_bytes);
    Digest head;
    read.entries.push_back(read_line(line, read.head, origin, read.entries.size() + 1, head));
    read.head = head;
    read.whole_bytes = end + 1;
  }
}

Journal::Journal(std::filesystem::path file, const Clock& clock)
    : path_{std::move(file)}, clock_{clock}, fd_{open_journal(path_)} {
  const Bytes octets = read_file(path_, kMaxJournalBytes);
  read_ = read_journal(octets, path_.string());
  if (read_.whole_bytes == octets.size()) return;
  if (ftruncate(fd_.get(), static_cast<off_t>(read_.whole_bytes)) != 0) {
    throw system_error(Code::Storage, "take a cut line off " + path_.string(), errno);
  }
  sync_file(fd_, path_.string());
}

const Entry& Journal::append(const std::string& event, const Json& fields) {
  const UtcMillis now = clock_.now();
  Json whole{{"time", to_rfc3339(now)}, {"event", event}};
  whole.update(fields);
  const std::string rest = whole.dump(-1, ' ', true).substr(1);  // without the opening brace
  const Digest hash = chained(read_.head, rest);
  std::string line = std::string{kOpening} + hash.hex() + std::string{kClosing} + rest;
  if (line.size() > kMaxEntryBytes) throw Error{Code::InvalidArgument, "a journal entry is too large"};
  whole["hash"] = hash.hex();
  const bool first = read_.entries.empty();
  line += '\n';
  write_all(fd_, as_bytes(line), path_.string());
  KF_CUT("ceremony.journal.written");
  sync_file(fd_, path_.string());
  if (first) sync_directory(path_.parent_path());
  KF_CUT("ceremony.journal.entry");
  read_.head = hash;
  read_.whole_bytes += line.size();
  read_.entries.push_back(Entry{*from_rfc3339(to_rfc3339(now)), event, std::move(whole)});
  return read_.entries.back();
}

}  // namespace keyferry::ceremony
