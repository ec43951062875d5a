#include "token/medium.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace keyferry::token {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxComponents = 4;
constexpr std::size_t kMaxComponentChars = 100;
constexpr std::size_t kAlignmentBytes =
    4096;  // O_DIRECT: offset, length and memory, on every sector size in use
constexpr std::size_t kDirectBytes = 1U << 20;

bool is_component(std::string_view text) {
  if (text.empty() || text.size() > kMaxComponentChars || text.front() == '.') return false;
  return std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
  });
}

std::vector<std::string> components(std::string_view name) {
  std::vector<std::string> out;
  while (!name.empty()) {
    const std::size_t slash = std::min(name.find('/'), name.size());
    out.emplace_back(name.substr(0, slash));
    name.remove_prefix(std::min(slash + 1, name.size()));
  }
  return out;
}

void require_name(const std::string& name) {
  if (!is_medium_name(name))
    throw Error{Code::InvalidArgument, "not a name for a token: \"" + name + "\""};
}

std::pair<std::string, std::string> split(const std::string& name) {
  const std::size_t slash = name.rfind('/');
  if (slash == std::string::npos) return {"", name};
  return {name.substr(0, slash), name.substr(slash + 1)};
}

EntryKind kind_of(mode_t mode) {
  if (S_ISREG(mode)) return EntryKind::File;
  if (S_ISDIR(mode)) return EntryKind::Folder;
  return EntryKind::Other;
}

Error refused_link(const std::string& name) {
  return Error{Code::Refused,
               "refused on the token: " + name + " is a symbolic link or no regular file",
               "a token holds plain files only; ask who prepared it"};
}

}  // namespace

bool is_medium_name(std::string_view name) {
  if (name.empty() || name.back() == '/') return false;
  const auto parts = components(name);
  return parts.size() <= kMaxComponents && std::ranges::all_of(parts, is_component);
}

class FolderMedium::State {
 public:
  explicit State(fs::path root) : path_{std::move(root)} {
    root_ = Fd{::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (!root_.valid()) throw system_error(Code::Medium, "open token " + path_.string(), errno);
  }

  void require_alive() const {
    if (!lost_.empty()) {
      throw Error{Code::Medium,
                  "the token " + path_.string() + " is not used any more: " + lost_,
                  "take it out and begin again with another token"};
    }
  }

  void give_up(const std::string& why) {
    if (lost_.empty()) lost_ = why;
  }

  /// The first error: everything after it is refused. A later fsync might say "success" for lost
  /// data (media.md).
  [[noreturn]] void fail(const std::string& what, int error_number) {
    const Error error =
        system_error(Code::Medium, what + " on the token " + path_.string(), error_number);
    give_up(error.what());
    const bool full = error_number == ENOSPC || error_number == EDQUOT || error_number == EFBIG;
    throw Error{Code::Medium,
                error.what(),
                full ? "the token is full: use another one"
                     : "the token is lost: take it out and use another one"};
  }

  /// The folder's descriptor, no link followed on the way; invalid with errno when it cannot be
  /// opened.
  [[nodiscard]] Fd folder(const std::string& name) const {
    Fd at{::openat(root_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    for (const std::string& part : components(name)) {
      if (!at.valid()) return at;
      at = Fd{::openat(at.get(), part.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)};
    }
    return at;
  }

  /// As folder(), for one that must be there.
  [[nodiscard]] Fd need_folder(const std::string& name) {
    require_alive();
    Fd at = folder(name);
    if (!at.valid() && (errno == ELOOP || errno == ENOTDIR)) throw refused_link(name);
    if (!at.valid()) fail("open folder " + name, errno);
    return at;
  }

  [[nodiscard]] const Fd& root() const { return root_; }

 private:
  fs::path path_;
  Fd root_;
  std::string lost_;
};

namespace {

std::size_t read_until_full(int fd,
                            std::uint64_t offset,
                            std::span<std::uint8_t> out,
                            int& error_number) {
  std::size_t done = 0;
  error_number = 0;
  while (done < out.size()) {
    const ssize_t got =
        pread(fd, out.data() + done, out.size() - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      error_number = errno;
      return done;
    }
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
    if (done % kAlignmentBytes != 0)
      break;  // the end of the file; O_DIRECT must not be asked at an odd offset
  }
  return done;
}

template <typename State>
class PlainFile final : public MediumFile {
 public:
  PlainFile(std::shared_ptr<State> state, Fd fd, std::uint64_t size_bytes, std::string name)
      : state_{std::move(state)},
        fd_{std::move(fd)},
        size_bytes_{size_bytes},
        name_{std::move(name)} {}

  [[nodiscard]] std::uint64_t size_bytes() const override { return size_bytes_; }

  [[nodiscard]] std::size_t read_at(std::uint64_t offset, std::span<std::uint8_t> out) override {
    state_->require_alive();
    std::size_t done = 0;
    while (done < out.size()) {
      const ssize_t got =
          pread(fd_.get(), out.data() + done, out.size() - done, static_cast<off_t>(offset + done));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) state_->fail("read " + name_, errno);
      if (got == 0) break;
      done += static_cast<std::size_t>(got);
    }
    return done;
  }

 private:
  std::shared_ptr<State> state_;
  Fd fd_;
  std::uint64_t size_bytes_;
  std::string name_;
};

/// Reads with O_DIRECT in aligned pieces; where a file system does not have that, after dropping
/// its cached pages.
template <typename State>
class DeviceFile final : public MediumFile {
 public:
  DeviceFile(std::shared_ptr<State> state, Fd fd, std::uint64_t size_bytes, std::string name)
      : state_{std::move(state)},
        fd_{std::move(fd)},
        size_bytes_{size_bytes},
        name_{std::move(name)},
        buffer_{static_cast<std::uint8_t*>(std::aligned_alloc(kAlignmentBytes, kDirectBytes)),
                &std::free} {
    if (!buffer_) throw std::bad_alloc{};
    posix_fadvise(fd_.get(), 0, 0, POSIX_FADV_DONTNEED);
    const int flags = fcntl(fd_.get(), F_GETFL);
    fcntl(fd_.get(),
          F_SETFL,
          flags | O_DIRECT);  // EINVAL where there is none: then the cache was just dropped
  }

  [[nodiscard]] std::uint64_t size_bytes() const override { return size_bytes_; }

  [[nodiscard]] std::size_t read_at(std::uint64_t offset, std::span<std::uint8_t> out) override {
    state_->require_alive();
    std::size_t done = 0;
    while (done < out.size()) {
      const std::uint64_t at = offset + done;
      const auto skip = static_cast<std::size_t>(at % kAlignmentBytes);
      const std::size_t got = read_piece(at - skip);
      if (got <= skip) break;
      const std::size_t part = std::min(got - skip, out.size() - done);
      std::copy_n(buffer_.get() + skip, part, out.data() + done);
      done += part;
      if (got < kDirectBytes) break;
    }
    return done;
  }

 private:
  std::size_t read_piece(std::uint64_t offset) {
    int error_number = 0;
    const std::span<std::uint8_t> piece{buffer_.get(), kDirectBytes};
    std::size_t got = read_until_full(fd_.get(), offset, piece, error_number);
    if (error_number == EINVAL) {
      fcntl(fd_.get(), F_SETFL, fcntl(fd_.get(), F_GETFL) & ~O_DIRECT);
      posix_fadvise(fd_.get(), 0, 0, POSIX_FADV_DONTNEED);
      got = read_until_full(fd_.get(), offset, piece, error_number);
    }
    if (error_number != 0) state_->fail("read back " + name_, error_number);
    return got;
  }

  std::shared_ptr<State> state_;
  Fd fd_;
  std::uint64_t size_bytes_;
  std::string name_;
  std::unique_ptr<std::uint8_t, decltype(&std::free)> buffer_;
};

template <typename State>
class FileWriter final : public MediumWriter {
 public:
  FileWriter(std::shared_ptr<State> state, Fd fd, std::string name)
      : state_{std::move(state)}, fd_{std::move(fd)}, name_{std::move(name)} {}

  void write(ByteView content) override {
    state_->require_alive();
    while (!content.empty()) {
      const ssize_t done = ::write(fd_.get(), content.data(), content.size());
      if (done < 0 && errno == EINTR) continue;
      if (done <= 0) state_->fail("write " + name_, done < 0 ? errno : EIO);
      content = content.subspan(static_cast<std::size_t>(done));
    }
  }

  void sync() override {
    state_->require_alive();
    if (fsync(fd_.get()) != 0) state_->fail("fsync " + name_, errno);
  }

 private:
  std::shared_ptr<State> state_;
  Fd fd_;
  std::string name_;
};

}  // namespace

FolderMedium::FolderMedium(fs::path root) : state_{std::make_shared<State>(std::move(root))} {}

std::vector<MediumEntry> FolderMedium::list(const std::string& folder, std::size_t max_entries) {
  if (!folder.empty()) require_name(folder);
  state_->require_alive();
  Fd at = state_->folder(folder);
  if (!at.valid() && errno == ENOENT) return {};
  if (!at.valid() && (errno == ELOOP || errno == ENOTDIR)) throw refused_link(folder);
  if (!at.valid()) state_->fail("open folder " + folder, errno);

  const std::unique_ptr<DIR, int (*)(DIR*)> entries{fdopendir(at.get()), &closedir};
  if (!entries) state_->fail("list folder " + folder, errno);
  const int fd = at.release();  // now the stream's
  std::vector<MediumEntry> out;
  while (out.size() < max_entries) {
    errno = 0;
    const dirent* entry =
        readdir(entries.get());  // NOLINT(concurrency-mt-unsafe): the stream is this call's own
    if (entry == nullptr && errno != 0) state_->fail("list folder " + folder, errno);
    if (entry == nullptr) break;
    const std::string name{entry->d_name};
    if (name == "." || name == "..") continue;

    struct stat status {};

    if (fstatat(fd, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0)
      state_->fail("stat in " + folder, errno);
    out.push_back({name, kind_of(status.st_mode), static_cast<std::uint64_t>(status.st_size)});
  }
  std::ranges::sort(out, {}, &MediumEntry::name);
  return out;
}

std::optional<MediumEntry> FolderMedium::look(const std::string& name) {
  require_name(name);
  state_->require_alive();
  const auto [folder, last] = split(name);
  const Fd at = state_->folder(folder);

  struct stat status {};

  if (!at.valid() || fstatat(at.get(), last.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno == ENOENT) return std::nullopt;
    if (errno == ELOOP || errno == ENOTDIR) return MediumEntry{last, EntryKind::Other, 0};
    state_->fail("stat " + name, errno);
  }
  return MediumEntry{last, kind_of(status.st_mode), static_cast<std::uint64_t>(status.st_size)};
}

std::unique_ptr<MediumFile> FolderMedium::open(const std::string& name, ReadFrom from) {
  require_name(name);
  state_->require_alive();
  const auto [folder, last] = split(name);
  const Fd at = state_->folder(folder);
  // O_NONBLOCK: a named pipe must not hang the open.
  Fd fd{at.valid()
            ? ::openat(at.get(), last.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
            : -1};
  if (!fd.valid()) {
    if (errno == ENOENT) return nullptr;
    if (errno == ELOOP || errno == ENOTDIR || errno == ENXIO) throw refused_link(name);
    state_->fail("open " + name, errno);
  }

  struct stat status {};

  if (fstat(fd.get(), &status) != 0) state_->fail("stat " + name, errno);
  if (!S_ISREG(status.st_mode)) throw refused_link(name);
  const auto size_bytes = static_cast<std::uint64_t>(status.st_size);
  if (from == ReadFrom::Device) {
    return std::make_unique<DeviceFile<State>>(state_, std::move(fd), size_bytes, name);
  }
  return std::make_unique<PlainFile<State>>(state_, std::move(fd), size_bytes, name);
}

std::uint64_t FolderMedium::free_bytes() {
  state_->require_alive();

  struct statvfs status {};

  if (fstatvfs(state_->root().get(), &status) != 0) state_->fail("look for room", errno);
  return std::uint64_t{status.f_bavail} * status.f_frsize;
}

void FolderMedium::make_folder(const std::string& folder) {
  require_name(folder);
  const auto [parent, last] = split(folder);
  const Fd at = state_->need_folder(parent);
  if (mkdirat(at.get(), last.c_str(), 0755) != 0) {
    if (errno != EEXIST) state_->fail("make folder " + folder, errno);
    return;
  }
  // Not for files that are ours alone: umask may have made it so. vfat has no modes and says EPERM.
  if (fchmodat(at.get(), last.c_str(), 0755, 0) != 0) {
    // vfat and exfat have no modes to set: the folder is as it is mounted.
  }
}

std::unique_ptr<MediumWriter> FolderMedium::create(const std::string& name) {
  require_name(name);
  const auto [folder, last] = split(name);
  const Fd at = state_->need_folder(folder);
  Fd fd{
      ::openat(at.get(), last.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644)};
  if (!fd.valid()) state_->fail("create " + name, errno);
  static_cast<void>(fchmod(fd.get(), 0644));  // as above
  return std::make_unique<FileWriter<State>>(state_, std::move(fd), name);
}

void FolderMedium::rename(const std::string& from, const std::string& to) {
  require_name(from);
  require_name(to);
  const auto [from_folder, from_last] = split(from);
  const auto [to_folder, to_last] = split(to);
  const Fd from_at = state_->need_folder(from_folder);
  const Fd to_at = state_->need_folder(to_folder);
  if (renameat(from_at.get(), from_last.c_str(), to_at.get(), to_last.c_str()) != 0) {
    state_->fail("rename to " + to, errno);
  }
}

void FolderMedium::remove(const std::string& name) {
  require_name(name);
  const auto [folder, last] = split(name);
  const Fd at = state_->need_folder(folder);
  if (unlinkat(at.get(), last.c_str(), 0) != 0 && errno != ENOENT)
    state_->fail("remove " + name, errno);
}

void FolderMedium::sync_folder(const std::string& folder) {
  if (!folder.empty()) require_name(folder);
  const Fd at = state_->need_folder(folder);
  if (fsync(at.get()) != 0) state_->fail("fsync folder " + folder, errno);
}

void FolderMedium::give_up(const std::string& why) {
  state_->give_up(why);
}

}  // namespace keyferry::token
