#include "appliance/reader/reader_medium.h"


#include <algorithm>
#include <cerrno>
#include <chrono>
#include <utility>

#include "keyferry/v1/reader.pb.h"
#include "wrap/base/frame.h"
#include "wrap/base/process.h"

namespace keyferry::appliance {
namespace {

constexpr int kReaderFd = 3;
constexpr std::size_t kPieceBytes = 1U << 20;  // what the reader gives at once
constexpr std::chrono::milliseconds kPatience{60'000};  // a stick may be slow; after that it is lost

token::MediumEntry entry_of(const v1::ReaderEntry& entry) {
  const auto kind = entry.kind() == 1   ? token::EntryKind::File
                    : entry.kind() == 2 ? token::EntryKind::Folder
                                        : token::EntryKind::Other;
  return {entry.name(), kind, entry.size_bytes()};
}

[[noreturn]] void refuse_to_write() {
  throw Error{Code::Internal, "a token from outside is only read through its reader"};
}

}  // namespace

class ReaderMedium::Link {
 public:
  Link(const std::filesystem::path& token,
       const std::optional<std::filesystem::path>& socket,
       const std::optional<std::filesystem::path>& program) {
    if (socket) {
      fd_ = connect_to_socket(*socket, "the token reader");
      return;
    }
    auto [ours, theirs] = socket_pair();
    child_ = Child{ChildSpec{.program = program.value_or(sibling_program("keyferry-token-reader")),
                             .arguments = {"--token", token.string()},
                             .descriptors = {{theirs.get(), kReaderFd}},
                             .environment = {}}};
    fd_ = std::move(ours);
  }

  v1::ReaderReply ask(const v1::ReaderRequest& request) {
    if (!lost_.empty()) {
      throw Error{Code::Medium, "the token is not used any more: " + lost_, "take it out and begin again with another token"};
    }
    write_frame(fd_.get(), as_bytes(request.SerializeAsString()));
    const auto frame = read_frame(fd_.get(), kPatience);
    v1::ReaderReply reply;
    if (!frame || !reply.ParseFromArray(frame->data(), static_cast<int>(frame->size()))) {
      lost_ = "its reader has ended";
      throw Error{Code::Medium, "the token's reader has ended", "what it said before tells why; try the token again"};
    }
    if (reply.has_error()) {
      throw Error{code_from_name(reply.error().code()), reply.error().text(), reply.error().hint()};
    }
    return reply;
  }

  void give_up(const std::string& why) {
    if (lost_.empty()) lost_ = why;
  }

 private:
  Fd fd_;
  Child child_;
  std::string lost_;
};

namespace {

template <typename Link>
class RemoteFile final : public token::MediumFile {
 public:
  RemoteFile(std::shared_ptr<Link> link, const v1::ReaderOpened& opened)
      : link_{std::move(link)}, file_{opened.file()}, size_bytes_{opened.size_bytes()} {}

  ~RemoteFile() override {
    // A destructor never throws: a reader that is gone has closed the file, too.
    try {
      v1::ReaderRequest request;
      request.mutable_close()->set_file(file_);
      static_cast<void>(link_->ask(request));
    } catch (const Error&) {
    }
  }

  RemoteFile(const RemoteFile&) = delete;
  RemoteFile& operator=(const RemoteFile&) = delete;

  [[nodiscard]] std::uint64_t size_bytes() const override { return size_bytes_; }

  [[nodiscard]] std::size_t read_at(std::uint64_t offset, std::span<std::uint8_t> out) override {
    std::size_t done = 0;
    while (done < out.size()) {
      const std::size_t wanted = std::min(kPieceBytes, out.size() - done);
      v1::ReaderRequest request;
      request.mutable_read()->set_file(file_);
      request.mutable_read()->set_offset(offset + done);
      request.mutable_read()->set_size_bytes(static_cast<std::uint32_t>(wanted));
      const v1::ReaderReply reply = link_->ask(request);
      const std::string& octets = reply.octets();
      if (octets.size() > wanted) throw Error{Code::Medium, "the token's reader gave more than was asked for"};
      std::ranges::copy(octets, out.subspan(done).begin());
      done += octets.size();
      if (octets.size() < wanted) break;
    }
    return done;
  }

 private:
  std::shared_ptr<Link> link_;
  std::uint32_t file_;
  std::uint64_t size_bytes_;
};

}  // namespace

ReaderMedium::ReaderMedium(const std::filesystem::path& token,
                           const std::optional<std::filesystem::path>& socket,
                           const std::optional<std::filesystem::path>& program)
    : link_{std::make_shared<Link>(token, socket, program)} {
  static_cast<void>(free_bytes());  // it is there, and its reader answers
}

ReaderMedium::~ReaderMedium() = default;

std::vector<token::MediumEntry> ReaderMedium::list(const std::string& folder, std::size_t max_entries) {
  v1::ReaderRequest request;
  request.mutable_list()->set_folder(folder);
  request.mutable_list()->set_max_entries(max_entries);
  const v1::ReaderReply reply = link_->ask(request);
  std::vector<token::MediumEntry> entries;
  for (const v1::ReaderEntry& entry : reply.entries().entries()) entries.push_back(entry_of(entry));
  if (entries.size() > max_entries) throw Error{Code::Medium, "the token's reader gave more than was asked for"};
  return entries;
}

std::optional<token::MediumEntry> ReaderMedium::look(const std::string& name) {
  v1::ReaderRequest request;
  request.mutable_look()->set_name(name);
  const v1::ReaderReply reply = link_->ask(request);
  if (reply.entries().entries_size() != 1) return std::nullopt;
  return entry_of(reply.entries().entries(0));
}

std::unique_ptr<token::MediumFile> ReaderMedium::open(const std::string& name, token::ReadFrom from) {
  v1::ReaderRequest request;
  request.mutable_open()->set_name(name);
  request.mutable_open()->set_from_device(from == token::ReadFrom::Device);
  const v1::ReaderReply reply = link_->ask(request);
  if (reply.opened().file() == 0) return nullptr;
  return std::make_unique<RemoteFile<Link>>(link_, reply.opened());
}

std::uint64_t ReaderMedium::free_bytes() {
  v1::ReaderRequest request;
  request.mutable_room();
  return link_->ask(request).free_bytes();
}

void ReaderMedium::make_folder(const std::string&) { refuse_to_write(); }

std::unique_ptr<token::MediumWriter> ReaderMedium::create(const std::string&) { refuse_to_write(); }

void ReaderMedium::rename(const std::string&, const std::string&) { refuse_to_write(); }

void ReaderMedium::remove(const std::string&) { refuse_to_write(); }

void ReaderMedium::sync_folder(const std::string&) { refuse_to_write(); }

void ReaderMedium::give_up(const std::string& why) { link_->give_up(why); }

}  // namespace keyferry::appliance
