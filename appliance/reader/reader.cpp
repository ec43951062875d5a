#include "appliance/reader/reader.h"

#include <fmt/format.h>

#include <map>
#include <memory>

#include "keyferry/v1/reader.pb.h"
#include "wrap/base/error.h"
#include "wrap/base/frame.h"

namespace keyferry::appliance {
namespace {

class Service {
 public:
  explicit Service(token::Medium& medium) : medium_{medium} {}

  v1::ReaderReply answer(const v1::ReaderRequest& request) {
    v1::ReaderReply reply;
    switch (request.request_case()) {
      case v1::ReaderRequest::kList: list(request.list(), *reply.mutable_entries()); return reply;
      case v1::ReaderRequest::kLook: {
        v1::ReaderEntries& entries = *reply.mutable_entries();
        if (const auto entry = medium_.look(request.look().name())) add(*entry, entries);
        return reply;
      }
      case v1::ReaderRequest::kOpen: open(request.open(), *reply.mutable_opened()); return reply;
      case v1::ReaderRequest::kRead: reply.set_octets(read(request.read())); return reply;
      case v1::ReaderRequest::kClose:
        files_.erase(request.close().file());
        reply.mutable_closed();
        return reply;
      case v1::ReaderRequest::kRoom: reply.set_free_bytes(medium_.free_bytes()); return reply;
      case v1::ReaderRequest::REQUEST_NOT_SET: break;
    }
    throw Error{Code::Refused, "a request that the token reader does not know"};
  }

 private:
  static void add(const token::MediumEntry& entry, v1::ReaderEntries& entries) {
    v1::ReaderEntry& one = *entries.add_entries();
    // A name that is no UTF-8 would not travel: it is strange anyway.
    one.set_name(is_ascii(entry.name) ? entry.name.substr(0, kMaxNameChars) : "(a name that is not ASCII)");
    one.set_kind(entry.kind == token::EntryKind::File ? 1 : entry.kind == token::EntryKind::Folder ? 2 : 3);
    one.set_size_bytes(entry.size_bytes);
  }

  static bool is_ascii(const std::string& text) {
    for (const char c : text) {
      if (static_cast<unsigned char>(c) > 0x7f) return false;
    }
    return true;
  }

  void list(const v1::ReaderList& request, v1::ReaderEntries& entries) {
    if (request.max_entries() > kMaxListedEntries) throw Error{Code::Refused, "more entries than the token reader lists"};
    for (const auto& entry : medium_.list(request.folder(), request.max_entries())) add(entry, entries);
  }

  void open(const v1::ReaderOpen& request, v1::ReaderOpened& opened) {
    if (files_.size() >= kMaxOpenFiles) throw Error{Code::Refused, "too many files of the token are open"};
    auto file = medium_.open(request.name(), request.from_device() ? token::ReadFrom::Device : token::ReadFrom::Cache);
    if (!file) return;
    opened.set_file(++last_file_);
    opened.set_size_bytes(file->size_bytes());
    files_.emplace(last_file_, std::move(file));
  }

  std::string read(const v1::ReaderRead& request) {
    const auto found = files_.find(request.file());
    if (found == files_.end()) throw Error{Code::Refused, "no such file of the token is open"};
    if (request.size_bytes() > kMaxReadBytes) throw Error{Code::Refused, "more than 1 MiB at once"};
    Bytes octets(request.size_bytes());
    octets.resize(found->second->read_at(request.offset(), octets));
    return to_string(octets);
  }

  token::Medium& medium_;
  std::map<std::uint32_t, std::unique_ptr<token::MediumFile>> files_;
  std::uint32_t last_file_ = 0;
};

v1::ReaderReply error_reply(const Error& error) {
  v1::ReaderReply reply;
  reply.mutable_error()->set_code(std::string{code_name(error.code())});
  reply.mutable_error()->set_text(error.what());
  reply.mutable_error()->set_hint(error.hint());
  return reply;
}

}  // namespace

void refuse_token(int fd, const Error& error) {
  if (read_frame(fd)) write_frame(fd, as_bytes(error_reply(error).SerializeAsString()));
}

void serve_token(int fd, token::Medium& medium) {
  Service service{medium};
  while (const auto frame = read_frame(fd)) {
    v1::ReaderRequest request;
    v1::ReaderReply reply;
    // The border of a request: what went wrong is its answer.
    try {
      if (!request.ParseFromArray(frame->data(), static_cast<int>(frame->size()))) {
        throw Error{Code::Refused, "what the token reader was sent is no request"};
      }
      reply = service.answer(request);
    } catch (const Error& error) {
      reply = error_reply(error);
    }
    write_frame(fd, as_bytes(reply.SerializeAsString()));
  }
}

}  // namespace keyferry::appliance
