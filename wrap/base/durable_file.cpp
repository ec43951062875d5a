#include "wrap/base/durable_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace keyferry {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kRoomBytes = std::uint64_t{32} << 20;
constexpr std::uint64_t kWriteBackBytes = std::uint64_t{1} << 20;

std::string named(const std::string& what, const fs::path& path) { return what + " " + path.string(); }

Error storage_error(const std::string& what, int error_number) {
  const Error plain = system_error(Code::Storage, what, error_number);
  if (error_number == ENOSPC || error_number == EDQUOT || error_number == EFBIG) {
    return Error{Code::Storage, plain.what(), "make room on that disk, then give the same command again"};
  }
  return plain;
}

void sync_path(const fs::path& path, int flags) {
  const Fd fd{open(path.c_str(), flags | O_CLOEXEC | O_NOFOLLOW)};
  if (!fd.valid()) {
    if (errno == ENOENT) return;  // another process removed it between listing and opening: nothing to sync
    throw storage_error(named("open", path), errno);
  }
  sync_file(fd, path.string());
}

}  // namespace

Fd& Fd::operator=(Fd&& other) noexcept {
  if (this != &other) {
    reset();
    fd_ = other.release();
  }
  return *this;
}

int Fd::release() { return std::exchange(fd_, -1); }

void Fd::reset() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
}

void write_all(const Fd& fd, ByteView content, const std::string& what) {
  while (!content.empty()) {
    const ssize_t done = write(fd.get(), content.data(), content.size());
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) throw storage_error("write " + what, done < 0 ? errno : EIO);
    content = content.subspan(static_cast<std::size_t>(done));
  }
}

void sync_file(const Fd& fd, const std::string& what) {
  // After the first error the data is lost: never retried (shared measurements, media.md).
  if (fsync(fd.get()) != 0) throw storage_error("fsync " + what, errno);
}

void sync_directory(const fs::path& folder) {
  sync_path(folder.empty() ? fs::path{"."} : folder, O_RDONLY | O_DIRECTORY);
}

void sync_tree(const fs::path& folder) {
  std::error_code failed;
  for (fs::recursive_directory_iterator it{folder, failed}, end; !failed && it != end; it.increment(failed)) {
    const fs::file_status status = it->symlink_status(failed);
    if (failed) break;
    if (fs::is_regular_file(status)) sync_path(it->path(), O_RDONLY);
    if (fs::is_directory(status)) sync_path(it->path(), O_RDONLY | O_DIRECTORY);
  }
  if (failed && failed != std::errc::no_such_file_or_directory) {
    throw storage_error(named("list", folder), failed.value());
  }
  sync_directory(folder);
}

Fd open_regular_file(const fs::path& path, Code code) {
  // O_NONBLOCK: a named pipe must not hang the open.
  Fd fd{open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)};
  if (!fd.valid()) {
    if (errno == ELOOP) {
      throw Error{code, named("refused a symbolic link:", path), "put the file itself there"};
    }
    throw system_error(code, named("open", path), errno);
  }
  struct stat status {};
  if (fstat(fd.get(), &status) != 0) throw system_error(code, named("stat", path), errno);
  if (!S_ISREG(status.st_mode)) throw Error{code, named("not a regular file:", path)};
  return fd;
}

std::uint64_t file_size_bytes(const Fd& fd) {
  struct stat status {};
  if (fstat(fd.get(), &status) != 0) throw system_error(Code::Storage, "stat", errno);
  return static_cast<std::uint64_t>(status.st_size);
}

bool read_exactly_at(const Fd& fd, std::uint64_t offset, std::span<std::uint8_t> out) {
  while (!out.empty()) {
    const ssize_t got = pread(fd.get(), out.data(), out.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw system_error(Code::Storage, "read", errno);
    if (got == 0) return false;
    out = out.subspan(static_cast<std::size_t>(got));
    offset += static_cast<std::uint64_t>(got);
  }
  return true;
}

Bytes read_file(const fs::path& path, std::uint64_t max_size_bytes) {
  const Fd fd = open_regular_file(path, Code::Storage);
  const std::uint64_t size = file_size_bytes(fd);
  if (size > max_size_bytes) {
    throw Error{Code::Storage, named("larger than the limit of " + std::to_string(max_size_bytes) + " bytes:", path)};
  }
  Bytes content(size);
  if (!read_exactly_at(fd, 0, content)) throw Error{Code::Storage, named("shrank while it was read:", path)};
  return content;
}

std::optional<Bytes> read_file_if_exists(const fs::path& path, std::uint64_t max_size_bytes) {
  std::error_code failed;
  if (fs::symlink_status(path, failed).type() == fs::file_type::not_found) return std::nullopt;
  return read_file(path, max_size_bytes);
}

void make_private_directory(const fs::path& folder) {
  if (folder.empty() || fs::is_directory(folder)) return;
  make_private_directory(folder.parent_path());
  if (mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) {
    throw storage_error(named("mkdir", folder), errno);
  }
  sync_directory(folder.parent_path());
}

void write_file_durably(const fs::path& path, ByteView content, Overwrite overwrite) {
  std::error_code failed;
  if (overwrite == Overwrite::Refuse && fs::symlink_status(path, failed).type() != fs::file_type::not_found) {
    throw Error{Code::Refused, named("already exists:", path), "choose another name or remove it"};
  }
  DurableWriter writer{path};
  writer.write(content);
  writer.commit();
}

FileLock::FileLock(const fs::path& path) {
  fd_ = Fd{open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600)};
  if (!fd_.valid()) throw storage_error(named("open", path), errno);
  if (flock(fd_.get(), LOCK_EX | LOCK_NB) != 0) {
    throw Error{Code::Storage, named("another process holds", path),
                "wait until the other keyferry program has ended, then give the same command again"};
  }
}

DurableWriter::DurableWriter(fs::path path) : path_{std::move(path)}, temporary_{path_} {
  temporary_ += ".tmp";
  fd_ = Fd{open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600)};
  if (!fd_.valid()) throw storage_error(named("create", temporary_), errno);
}

DurableWriter::~DurableWriter() {
  if (!committed_) unlink(temporary_.c_str());
}

void DurableWriter::write(ByteView content) {
  write_all(fd_, content, temporary_.string());
  const std::uint64_t from = size_bytes_ - size_bytes_ % kWriteBackBytes;
  size_bytes_ += content.size();
  const std::uint64_t to = size_bytes_ - size_bytes_ % kWriteBackBytes;
  if (to == from) return;
  // Room ahead, in one piece: without it the file system looks for room page by page. commit() gives back the rest.
  if (from % kRoomBytes == 0) {
    fallocate(fd_.get(), FALLOC_FL_KEEP_SIZE, static_cast<off_t>(to), static_cast<off_t>(kRoomBytes));
  }
  // The disk begins now, so that the fsync at the end waits for the last piece only. Whole pages: one that is being
  // written back would hold up the next write to it. A hint: an error of the device shows in fsync.
  sync_file_range(fd_.get(), static_cast<off_t>(from), static_cast<off_t>(to - from), SYNC_FILE_RANGE_WRITE);
}

void DurableWriter::sync() { sync_file(fd_, temporary_.string()); }

void DurableWriter::commit() {
  if (size_bytes_ >= kWriteBackBytes && ftruncate(fd_.get(), static_cast<off_t>(size_bytes_)) != 0) {
    throw storage_error(named("give back room behind", temporary_), errno);
  }
  sync();
  if (rename(temporary_.c_str(), path_.c_str()) != 0) throw storage_error(named("rename to", path_), errno);
  committed_ = true;
  sync_directory(path_.parent_path());
}

}  // namespace keyferry
