// A token as a folder of files, and the only two ways across: copy_in (stick to our disk) and
// write_out (our disk to stick). Facts about sticks: after the first error a stick is lost, so a
// Medium remembers its first error and answers everything after it with Error{Medium}.
//
// Names are relative, with '/', components of 1..100 of `a-z 0-9 - .` that do not begin with a dot,
// at most 4 of them; anything else throws Error{InvalidArgument}.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "wrap/base/bytes.h"
#include "wrap/base/durable_file.h"
#include "wrap/base/error.h"

namespace keyferry::token {

enum class EntryKind { File, Folder, Other };  // Other: symbolic links, devices, pipes

struct MediumEntry {
  std::string name;  // last component, as the medium spells it: text from outside
  EntryKind kind = EntryKind::Other;
  std::uint64_t size_bytes = 0;
};

/// A file that is open for reading.
class MediumFile {
 public:
  virtual ~MediumFile() = default;

  /// At the time of opening.
  [[nodiscard]] virtual std::uint64_t size_bytes() const = 0;

  /// Octets read, fewer than out.size() only at the end of the file. Error{Medium}.
  [[nodiscard]] virtual std::size_t read_at(std::uint64_t offset, std::span<std::uint8_t> out) = 0;
};

/// A file that is being written, at its end.
class MediumWriter {
 public:
  virtual ~MediumWriter() = default;
  virtual void write(ByteView content) = 0;
  virtual void sync() = 0;  ///< fsync
};

enum class ReadFrom {
  Cache,
  Device
};  // Device: past the page cache, as far as the file system allows

/// The seam: tests record these calls, or answer them as a broken stick would. Every call may throw
/// Error{Medium}.
class Medium {
 public:
  virtual ~Medium() = default;

  /// Entries of one folder ("" = the token's root) ordered by name; at most `max_entries`, in which
  /// case the answer is what was met first. Empty when the folder is not there.
  [[nodiscard]] virtual std::vector<MediumEntry> list(const std::string& folder,
                                                      std::size_t max_entries) = 0;

  /// What has this name, not following links; nothing when it is not there.
  [[nodiscard]] virtual std::optional<MediumEntry> look(const std::string& name) = 0;

  /// Nothing (null) when there is no such name. Error{Refused} for a symbolic link, at any of its
  /// components, or what is no regular file.
  [[nodiscard]] virtual std::unique_ptr<MediumFile> open(const std::string& name,
                                                         ReadFrom from) = 0;

  [[nodiscard]] virtual std::uint64_t free_bytes() = 0;

  /// Makes one folder in one that is there; fine if it is there already.
  virtual void make_folder(const std::string& folder) = 0;

  /// A new empty file; the name must not be taken.
  [[nodiscard]] virtual std::unique_ptr<MediumWriter> create(const std::string& name) = 0;

  virtual void rename(const std::string& from, const std::string& to) = 0;
  virtual void remove(const std::string& name) = 0;  ///< fine if it is not there
  virtual void sync_folder(const std::string& folder) = 0;

  /// Nothing more is asked of this medium: it lied or failed.
  virtual void give_up(const std::string& why) = 0;
};

/// True for a name as above.
[[nodiscard]] bool is_medium_name(std::string_view name);

/// A mounted stick, or a folder that stands for one. Files are made readable for all: what is on a
/// token is sealed or public, and its reader is another user. No component of a name may be a
/// symbolic link.
class FolderMedium final : public Medium {
 public:
  /// Error{Medium} if `root` is not a folder.
  explicit FolderMedium(std::filesystem::path root);

  [[nodiscard]] std::vector<MediumEntry> list(const std::string& folder,
                                              std::size_t max_entries) override;
  [[nodiscard]] std::optional<MediumEntry> look(const std::string& name) override;
  [[nodiscard]] std::unique_ptr<MediumFile> open(const std::string& name, ReadFrom from) override;
  [[nodiscard]] std::uint64_t free_bytes() override;
  void make_folder(const std::string& folder) override;
  [[nodiscard]] std::unique_ptr<MediumWriter> create(const std::string& name) override;
  void rename(const std::string& from, const std::string& to) override;
  void remove(const std::string& name) override;
  void sync_folder(const std::string& folder) override;
  void give_up(const std::string& why) override;

 private:
  class State;  // root folder's descriptor and the first error, shared with open files
  std::shared_ptr<State> state_;
};

}  // namespace keyferry::token
