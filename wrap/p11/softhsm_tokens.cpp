#include "wrap/p11/softhsm_tokens.h"

#include <algorithm>

#include "wrap/base/bytes.h"
#include "wrap/base/durable_file.h"

namespace keyferry::p11 {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMaxTokenBytes = 64U * 1024;
constexpr std::size_t kGenerationBytes =
    8;  // counts the writes; what was emptied holds at most that

ByteView content_of(const Bytes& file) {
  return ByteView{file}.subspan(std::min(kGenerationBytes, file.size()));
}

void keep_token(const fs::path& folder) {
  const fs::path object = folder / "token.object";
  const fs::path copy = folder / "token.copy";
  const auto now = read_file_if_exists(object, kMaxTokenBytes);
  if (!now) return;
  const auto kept = read_file_if_exists(copy, kMaxTokenBytes);
  if (content_of(*now).empty()) {
    if (kept) write_file_durably(object, *kept, Overwrite::Replace);
    return;
  }
  if (kept && equal(content_of(*now), content_of(*kept))) return;
  write_file_durably(copy, *now, Overwrite::Replace);
}

}  // namespace

void keep_softhsm_tokens(const fs::path& store) {
  std::error_code absent;
  for (const fs::directory_entry& entry : fs::directory_iterator{store, absent}) {
    if (entry.is_directory(absent)) keep_token(entry.path());
  }
}

}  // namespace keyferry::p11
