// Across the gap: copy_in reads a stick once, write_out leaves a file on it that is whole and right
// or not there.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <variant>

#include "token/medium.h"
#include "wrap/base/durable_file.h"
#include "wrap/base/error.h"
#include "wrap/base/ids.h"

namespace keyferry::token {

inline constexpr std::uint64_t kRoomToSpareBytes = 1U
                                                   << 20;  // beyond the file itself, on either side

/// What the octets must look like from their first ones on, so that 10 GB of zeros are not copied
/// to find out.
enum class FileForm {
  Container,  // a header that parses, and a size that it allows
  Signed,     // SignedBytes: at most kMaxSignedBytes
};

struct CopiedIn {
  std::uint64_t size_bytes = 0;
  Digest sha256;  // of the copy
};

/// Copies `name` to `destination` on our own disk, replacing, durable when this returns. The stick
/// is read once, in order, and never again: all checks are made on the copy. max_size_bytes:
/// policy's limit. Refusals: "absent", "link" (or no regular file), "empty", "too-large", those of
/// parse_header, "size" (not what the header allows), "changed" (not as long as it was when it was
/// opened). Error{Medium}: the stick failed. Error{Storage}: no room here.
[[nodiscard]] std::variant<CopiedIn, Refusal> copy_in(Medium& medium,
                                                      const std::string& name,
                                                      const std::filesystem::path& destination,
                                                      FileForm form,
                                                      std::uint64_t max_size_bytes);

/// A small signed file straight to memory, bounded by kMaxSignedBytes. Refusals as copy_in.
[[nodiscard]] std::variant<Bytes, Refusal> read_in(Medium& medium, const std::string& name);

enum class WriteOut { Written, AlreadyThere };

/// Puts a file on the token: room, folders, temporary name, pieces of 1 MiB each with fsync,
/// rename, fsync of the folder, read back past the cache and compared as a whole. When this
/// returns, the file may be handed out (after unmounting). A file of the same content under that
/// name is read back and left. Overwrite::Refuse: Error{Refused} when another content has the name.
/// Error{Medium}: no room, the stick failed, or it "answers the second read differently"; the
/// medium has then been given up.
WriteOut write_out(Medium& medium, const std::string& name, ByteView content, Overwrite overwrite);
/// The same from a file on our own disk, in constant memory.
WriteOut write_out(Medium& medium, const std::string& name, const Fd& source, Overwrite overwrite);

}  // namespace keyferry::token
