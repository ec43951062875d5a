#include "token/convert.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/message_lite.h>
#include <google/protobuf/stubs/logging.h>
#include <google/protobuf/wire_format_lite.h>

#include <algorithm>

#include "token/receipt.h"
#include "wrap/base/text.h"

namespace keyferry::token {
namespace {

constexpr std::int64_t kEndOf9999Ms = 253'402'300'799'999;

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;

std::size_t count_in(ByteView octets, const int* path, const int* end) {
  CodedInputStream input{octets.data(), static_cast<int>(octets.size())};
  std::size_t found = 0;
  for (std::uint32_t tag = input.ReadTag(); tag != 0; tag = input.ReadTag()) {
    const bool wanted = WireFormatLite::GetTagFieldNumber(tag) == *path;
    if (wanted && path + 1 == end) ++found;
    if (wanted && path + 1 != end &&
        WireFormatLite::GetTagWireType(tag) == WireFormatLite::WIRETYPE_LENGTH_DELIMITED) {
      std::uint32_t length = 0;
      if (!input.ReadVarint32(&length)) return found;
      const auto at = static_cast<std::size_t>(input.CurrentPosition());
      if (length > octets.size() - at) return found;
      found += count_in(octets.subspan(at, length), path + 1, end);
      if (!input.Skip(static_cast<int>(length))) return found;
    } else if (!WireFormatLite::SkipField(&input, tag)) {
      return found;  // broken: the parser will say so
    }
  }
  return found;
}

}  // namespace

std::optional<SeSerial> Fields::serial(const std::string& raw, const char* field) {
  auto value = SeSerial::from_bytes(as_bytes(raw));
  check(value.has_value(), field);
  return value;
}

std::optional<crypto::PublicKey> Fields::point(const std::string& raw, const char* field) {
  auto value = crypto::PublicKey::from_point(as_bytes(raw));
  check(value.has_value(), field);
  return value;
}

Bytes Fields::octets(const std::string& raw,
                     std::size_t min_bytes,
                     std::size_t max_bytes,
                     const char* field) {
  check(raw.size() >= min_bytes && raw.size() <= max_bytes, field);
  return to_bytes(as_bytes(raw));
}

std::string Fields::text(const std::string& raw,
                         bool (*pattern)(std::string_view),
                         const char* field) {
  check(pattern(raw), field);
  return raw;
}

UtcMillis Fields::time(std::int64_t milliseconds, const char* field) {
  check(milliseconds >= 0 && milliseconds <= kEndOf9999Ms, field);
  return UtcMillis{milliseconds};
}

Refusal Fields::refusal() const {
  return Refusal{wrong_,
                 std::string{what_} + ": the field " + wrong_ + " is not as its format demands",
                 "it was not made by a keyferry of this version: ask the sender"};
}

void Fields::throw_if_bad() const {
  if (bad()) {
    throw Error{Code::InvalidArgument,
                std::string{what_} + ": " + wrong_ + " would be refused by its reader"};
  }
}

bool is_name_or_empty(std::string_view text) {
  return text.empty() || is_name(text);
}

bool is_device_serial_or_empty(std::string_view text) {
  return text.empty() || is_device_serial(text);
}

bool is_reason(std::string_view text) {
  if (text.empty() || text.size() > kMaxReasonChars || text.front() == '-') return false;
  return std::ranges::all_of(text, [](char c) { return (c >= 'a' && c <= 'z') || c == '-'; });
}

bool is_event(std::string_view text) {
  if (text.empty() || text.size() > kMaxEventChars || text.front() < 'a' || text.front() > 'z')
    return false;
  return std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_' ||
           c == ' ';
  });
}

bool is_note_or_empty(std::string_view text) {
  constexpr std::string_view kDash = "\xe2\x80\x94";
  if (text.size() > kMaxCheckpointBytes) return false;
  while (!text.empty()) {
    const bool plain = (text.front() >= 0x20 && text.front() < 0x7f) || text.front() == '\n';
    if (!plain && !text.starts_with(kDash)) return false;
    text.remove_prefix(plain ? 1 : kDash.size());
  }
  return true;
}

std::optional<Refusal> parse_message(ByteView octets,
                                     std::size_t max_bytes,
                                     google::protobuf::MessageLite& out) {
  if (octets.empty() || octets.size() > max_bytes) {
    return Refusal{"size",
                   "a message of " + std::to_string(octets.size()) + " octets, where 1 to " +
                       std::to_string(max_bytes) + " are allowed"};
  }
  const google::protobuf::LogSilencer silence;  // a stranger's bad UTF-8 is no line on our stderr
  if (!out.ParseFromArray(octets.data(), static_cast<int>(octets.size()))) {
    return Refusal{"protobuf", "a message that is no protobuf of its kind"};
  }
  return std::nullopt;
}

Bytes serialise_message(const google::protobuf::MessageLite& message) {
  const google::protobuf::LogSilencer silence;
  return to_bytes(as_bytes(message.SerializeAsString()));
}

std::size_t count_fields(ByteView octets, std::initializer_list<int> path) {
  return count_in(octets, path.begin(), path.end());
}

}  // namespace keyferry::token
