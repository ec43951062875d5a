// Files that survive a power cut: temporary name, write, fsync, rename, fsync of the folder. And reading files from
// outside: no symbolic links, regular files only, bounded.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>

#include "wrap/base/bytes.h"
#include "wrap/base/error.h"

namespace keyferry {

/// A file descriptor that closes itself.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_{fd} {}
  Fd(Fd&& other) noexcept : fd_{other.release()} {}
  Fd& operator=(Fd&& other) noexcept;
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { reset(); }

  [[nodiscard]] int get() const { return fd_; }

  [[nodiscard]] bool valid() const { return fd_ >= 0; }

  int release();
  void reset();

 private:
  int fd_ = -1;
};

enum class Overwrite { Refuse, Replace };

/// Owner-only (0600) file with exactly `content`; durable when this returns. On any failure the old file is untouched.
/// Overwrite::Refuse: Error{Refused} when `path` exists. Other failures: Error{Storage}.
void write_file_durably(const std::filesystem::path& path, ByteView content, Overwrite overwrite);

/// fsync of a folder, so that names in it survive a power cut.
void sync_directory(const std::filesystem::path& folder);

/// fsync of every regular file in `folder` (recursive) and of every folder in it. For stores of modules that do not.
void sync_tree(const std::filesystem::path& folder);

/// The whole file; Error{Storage} if it is absent, not a regular file, a symbolic link, or above `max_size_bytes`.
[[nodiscard]] Bytes read_file(const std::filesystem::path& path, std::uint64_t max_size_bytes);

/// The whole file if the name exists; the other refusals of read_file stay errors.
[[nodiscard]] std::optional<Bytes> read_file_if_exists(const std::filesystem::path& path,
                                                       std::uint64_t max_size_bytes);

/// Opens a regular file for reading: no symbolic link at the last component, no device, no pipe. Error{code} otherwise.
[[nodiscard]] Fd open_regular_file(const std::filesystem::path& path, Code code);

/// Size in bytes of an open file.
[[nodiscard]] std::uint64_t file_size_bytes(const Fd& fd);

/// pread of exactly out.size() octets at `offset`; false when the file ends before.
[[nodiscard]] bool read_exactly_at(const Fd& fd, std::uint64_t offset, std::span<std::uint8_t> out);

/// Writes all of `content` at the descriptor's position. Error{Storage}, with a hint when the disk is full.
void write_all(const Fd& fd, ByteView content, const std::string& what);
void sync_file(const Fd& fd, const std::string& what);

/// Creates `folder` with mode 0700 (parents too) if it is not there.
void make_private_directory(const std::filesystem::path& folder);

/// One process at a time: flock(2) on `path`, created if absent. Error{Storage} naming the holder's file when taken.
class FileLock {
 public:
  explicit FileLock(const std::filesystem::path& path);

 private:
  Fd fd_;
};

/// A file that grows under a temporary name (`path` + ".tmp") and gets its name in commit().
/// Not committed = removed by the destructor.
class DurableWriter {
 public:
  explicit DurableWriter(std::filesystem::path path);
  ~DurableWriter();
  DurableWriter(const DurableWriter&) = delete;
  DurableWriter& operator=(const DurableWriter&) = delete;

  void write(ByteView content);
  void sync();    ///< fsync of what was written so far
  void commit();  ///< fsync, rename to the final name (replacing), fsync of the folder

  [[nodiscard]] std::uint64_t size_bytes() const { return size_bytes_; }

 private:
  std::filesystem::path path_;
  std::filesystem::path temporary_;
  Fd fd_;
  std::uint64_t size_bytes_ = 0;
  bool committed_ = false;
};

}  // namespace keyferry
