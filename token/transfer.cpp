#include "token/transfer.h"

#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "token/container.h"
#include "token/signed_bytes.h"
#include "wrap/base/cut.h"
#include "wrap/crypto/hash.h"

namespace keyferry::token {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kPieceBytes = 1U << 20;  // one fsync each: 5 to 50 ms on a stick (media.md)
constexpr const char* kTemporarySuffix = ".tmp";

// --- in
// ---------------------------------------------------------------------------------------------------------------

Refusal in_refusal(const char* reason, const std::string& name, const std::string& what) {
  return Refusal{reason, "on the token: " + name + " " + what, "have the token prepared again"};
}

struct OpenedFile {
  std::unique_ptr<MediumFile> file;
  Bytes beginning;  // the first piece, so that the stick is not asked for it again
};

/// Opens and judges a file by its kind, size and first piece.
std::variant<OpenedFile, Refusal> open_checked(Medium& medium,
                                               const std::string& name,
                                               FileForm form,
                                               std::uint64_t max_size_bytes) {
  const auto entry = medium.look(name);
  if (!entry) return in_refusal("absent", name, "is not there");
  if (entry->kind != EntryKind::File)
    return in_refusal("link", name, "is a link or no regular file");
  OpenedFile out;
  out.file = medium.open(name, ReadFrom::Cache);
  if (!out.file) return in_refusal("absent", name, "is not there");
  const std::uint64_t size = out.file->size_bytes();
  if (size == 0) return in_refusal("empty", name, "is empty");
  if (form == FileForm::Signed)
    max_size_bytes = std::min<std::uint64_t>(max_size_bytes, kMaxSignedBytes);
  if (size > max_size_bytes) {
    return in_refusal(
        "too-large",
        name,
        "has " + std::to_string(size) + " octets; the limit is " + std::to_string(max_size_bytes));
  }
  out.beginning.resize(static_cast<std::size_t>(std::min<std::uint64_t>(size, kPieceBytes)));
  if (out.file->read_at(0, out.beginning) != out.beginning.size()) {
    return in_refusal("changed", name, "became shorter while it was read");
  }
  if (form == FileForm::Signed) return out;

  auto header =
      parse_header(ByteView{out.beginning}.first(std::min(out.beginning.size(), kHeaderSizeBytes)));
  if (auto* no = std::get_if<Refusal>(&header)) return std::move(*no);
  if (size > max_container_size_bytes(std::get<Header>(header)) || size < container_size_bytes(0)) {
    return in_refusal("size", name, "has a length that its header does not allow");
  }
  return out;
}

void require_room(const fs::path& destination, std::uint64_t size_bytes) {
  const fs::path folder = destination.has_parent_path() ? destination.parent_path() : fs::path{"."};

  struct statvfs status {};

  if (statvfs(folder.c_str(), &status) != 0) {
    throw system_error(Code::Storage, "look for room in " + folder.string(), errno);
  }
  const std::uint64_t room = std::uint64_t{status.f_bavail} * status.f_frsize;
  if (room < kRoomToSpareBytes || room - kRoomToSpareBytes < size_bytes) {
    throw Error{Code::Storage,
                "no room in " + folder.string() + ": " + std::to_string(size_bytes) +
                    " octets are needed, " + std::to_string(room) + " are free",
                "make room on that disk, then give the same command again"};
  }
}

// --- out
// --------------------------------------------------------------------------------------------------------------

/// What is written, from memory or from a file of ours.
class Source {
 public:
  explicit Source(ByteView content) : content_{content}, size_bytes_{content.size()} {}

  explicit Source(const Fd& file) : file_{&file}, size_bytes_{file_size_bytes(file)} {}

  [[nodiscard]] std::uint64_t size_bytes() const { return size_bytes_; }

  [[nodiscard]] std::size_t piece_size_bytes(std::uint64_t offset) const {
    return static_cast<std::size_t>(std::min<std::uint64_t>(kPieceBytes, size_bytes_ - offset));
  }

  /// Lives until the next call.
  [[nodiscard]] ByteView piece(std::uint64_t offset) {
    const std::size_t size = piece_size_bytes(offset);
    if (file_ == nullptr) return content_.subspan(static_cast<std::size_t>(offset), size);
    buffer_.resize(size);
    if (!read_exactly_at(*file_, offset, buffer_)) {
      throw Error{Code::Storage, "the file for the token became shorter while it was read"};
    }
    return buffer_;
  }

 private:
  ByteView content_;
  const Fd* file_ = nullptr;
  std::uint64_t size_bytes_;
  Bytes buffer_;
};

/// Makes the folders above `name` and the names of all of them durable, also those that an earlier,
/// cut run made.
void make_folders(Medium& medium, const std::string& name) {
  std::string parent;
  for (std::size_t slash = name.find('/'); slash != std::string::npos;
       slash = name.find('/', slash + 1)) {
    const std::string folder = name.substr(0, slash);
    medium.make_folder(folder);
    medium.sync_folder(parent);
    parent = folder;
  }
}

std::string folder_of(const std::string& name) {
  const std::size_t slash = name.rfind('/');
  return slash == std::string::npos ? std::string{} : name.substr(0, slash);
}

/// True when the medium itself, not the page cache, holds exactly the source's octets under `name`.
bool same_on_device(Medium& medium, const std::string& name, Source& source) {
  const auto file = medium.open(name, ReadFrom::Device);
  if (!file || file->size_bytes() != source.size_bytes()) return false;
  Bytes back;
  for (std::uint64_t offset = 0; offset < source.size_bytes(); offset += kPieceBytes) {
    back.resize(source.piece_size_bytes(offset));
    if (file->read_at(offset, back) != back.size() || !equal(back, source.piece(offset)))
      return false;
  }
  return true;
}

bool already_there(Medium& medium, const std::string& name, Source& source, Overwrite overwrite) {
  const auto entry = medium.look(name);
  if (!entry) return false;
  if (entry->kind == EntryKind::File && same_on_device(medium, name, source)) return true;
  if (overwrite == Overwrite::Refuse || entry->kind != EntryKind::File) {
    throw Error{Code::Refused,
                "the token has something else under the name " + name,
                "use another token, or look at this one before it is written to"};
  }
  return false;
}

WriteOut write_source(Medium& medium,
                      const std::string& name,
                      Source& source,
                      Overwrite overwrite) {
  make_folders(medium, name);
  if (already_there(medium, name, source, overwrite)) {
    // A temporary name may be left beside it by a rename that was cut. It stays: on a vfat both
    // names may share their clusters, and removing one would free the other's.
    medium.sync_folder(folder_of(name));  // the run that renamed it may have ended before this
    return WriteOut::AlreadyThere;
  }

  const std::string temporary = name + kTemporarySuffix;
  medium.remove(temporary);  // of a run that was cut
  const std::uint64_t room = medium.free_bytes();
  if (room < kRoomToSpareBytes || room - kRoomToSpareBytes < source.size_bytes()) {
    throw Error{Code::Medium,
                "no room on the token for " + name + ": " + std::to_string(source.size_bytes()) +
                    " octets are needed, " + std::to_string(room) + " are free",
                "use a larger token, or several"};
  }

  KF_CUT("token.out.begin");  // nothing there yet
  {
    const auto writer = medium.create(temporary);
    for (std::uint64_t offset = 0; offset < source.size_bytes(); offset += kPieceBytes) {
      writer->write(source.piece(offset));
      writer->sync();
      KF_CUT("token.out.piece");  // a temporary file, removed by the next run
    }
    writer->sync();  // before the rename: without it vfat shows the name with wrong content
                     // (media.md)
  }
  KF_CUT("token.out.written");
  medium.rename(temporary, name);
  KF_CUT("token.out.renamed");  // old name, new name or both; whichever it is, it is whole
  medium.sync_folder(folder_of(name));
  KF_CUT("token.out.synced");
  if (!same_on_device(medium, name, source)) {
    const std::string what = "the token answers the second read differently: " + name;
    medium.give_up(what);
    throw Error{Code::Medium,
                what,
                "this token is broken or false: take it out, keep it apart, use another one"};
  }
  KF_CUT("token.out.verified");
  return WriteOut::Written;
}

}  // namespace

std::variant<CopiedIn, Refusal> copy_in(Medium& medium,
                                        const std::string& name,
                                        const fs::path& destination,
                                        FileForm form,
                                        std::uint64_t max_size_bytes) {
  auto opened = open_checked(medium, name, form, max_size_bytes);
  if (auto* no = std::get_if<Refusal>(&opened)) return std::move(*no);
  auto& [file, piece] = std::get<OpenedFile>(opened);
  const std::uint64_t size = file->size_bytes();
  require_room(destination, size);

  DurableWriter writer{destination};
  crypto::Sha256 hash;
  std::uint64_t offset = 0;
  for (;;) {
    writer.write(piece);
    hash.update(piece);
    offset += piece.size();
    if (offset == size) break;
    piece.resize(static_cast<std::size_t>(std::min<std::uint64_t>(size - offset, kPieceBytes)));
    if (file->read_at(offset, piece) != piece.size()) {
      return in_refusal("changed", name, "became shorter while it was read");
    }
  }
  std::uint8_t beyond = 0;
  if (file->read_at(size, {&beyond, 1}) != 0)
    return in_refusal("changed", name, "grew while it was read");
  KF_CUT("token.in.copied");  // a temporary file of ours, overwritten by the next run
  writer.commit();
  KF_CUT("token.in.committed");
  return CopiedIn{size, hash.finish()};
}

std::variant<Bytes, Refusal> read_in(Medium& medium, const std::string& name) {
  auto opened = open_checked(medium, name, FileForm::Signed, kMaxSignedBytes);
  if (auto* no = std::get_if<Refusal>(&opened)) return std::move(*no);
  auto& [file, octets] = std::get<OpenedFile>(opened);
  const std::size_t begun = octets.size();
  octets.resize(static_cast<std::size_t>(file->size_bytes()));
  const std::span<std::uint8_t> rest = std::span{octets}.subspan(begun);
  if (file->read_at(begun, rest) != rest.size()) {
    return in_refusal("changed", name, "became shorter while it was read");
  }
  return std::move(octets);
}

WriteOut write_out(Medium& medium, const std::string& name, ByteView content, Overwrite overwrite) {
  Source source{content};
  return write_source(medium, name, source, overwrite);
}

WriteOut write_out(Medium& medium, const std::string& name, const Fd& file, Overwrite overwrite) {
  Source source{file};
  return write_source(medium, name, source, overwrite);
}

}  // namespace keyferry::token
