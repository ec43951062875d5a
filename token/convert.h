// For the conversion functions of this folder only: from protobuf messages to our own types, every
// field checked once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include "token/signed_bytes.h"
#include "token/types.h"
#include "wrap/base/bytes.h"
#include "wrap/base/clock.h"
#include "wrap/base/error.h"
#include "wrap/base/ids.h"
#include "wrap/crypto/signing.h"

namespace google::protobuf {
class MessageLite;
}

namespace keyferry::v1 {
class SignedBytes;
}

namespace keyferry::token {

inline constexpr std::uint32_t kMessageVersion = 1;

/// Takes fields in and remembers the first one that is wrong. A value given back for a wrong field
/// is never used: callers look at bad() before they hand anything on.
class Fields {
 public:
  /// what: of which message, for the refusal's text.
  explicit Fields(const char* what) : what_{what} {}

  void check(bool good, const char* field) {
    if (!good && wrong_ == nullptr) wrong_ = field;
  }

  template <typename Id>
  Id id(const std::string& raw, const char* field) {
    const auto value = Id::from_bytes(as_bytes(raw));
    check(value.has_value(), field);
    return value.value_or(Id{});
  }

  template <typename Enum>
  Enum known(const std::optional<Enum>& value, const char* field) {
    check(value.has_value(), field);
    return value.value_or(Enum{});
  }

  std::optional<SeSerial> serial(const std::string& raw, const char* field);
  std::optional<crypto::PublicKey> point(const std::string& raw, const char* field);
  Bytes octets(const std::string& raw,
               std::size_t min_bytes,
               std::size_t max_bytes,
               const char* field);
  std::string text(const std::string& raw, bool (*pattern)(std::string_view), const char* field);

  /// 1970 to the end of 9999.
  UtcMillis time(std::int64_t milliseconds, const char* field);

  [[nodiscard]] bool bad() const { return wrong_ != nullptr; }

  /// Only when bad(): reason is the field's name.
  [[nodiscard]] Refusal refusal() const;

  /// Error{InvalidArgument}: a value of ours that a reader would refuse.
  void throw_if_bad() const;

 private:
  const char* what_;
  const char* wrong_ = nullptr;
};

[[nodiscard]] bool is_name_or_empty(std::string_view text);
[[nodiscard]] bool is_device_serial_or_empty(std::string_view text);
/// 1..64 of `a-z -`, beginning with a letter.
[[nodiscard]] bool is_reason(std::string_view text);
/// 1..128 of `a-z 0-9 . - _` and blank, beginning with a letter.
[[nodiscard]] bool is_event(std::string_view text);
/// Signed notes: printable ASCII, line ends and U+2014 (the dash before a signature); at most 4096
/// octets; may be empty.
[[nodiscard]] bool is_note_or_empty(std::string_view text);

/// Refusals "size" (empty or above the limit) and "protobuf". Unknown fields are ignored.
[[nodiscard]] std::optional<Refusal> parse_message(ByteView octets,
                                                   std::size_t max_bytes,
                                                   google::protobuf::MessageLite& out);
[[nodiscard]] Bytes serialise_message(const google::protobuf::MessageLite& message);

/// How often the field at `path` (field numbers, outermost first) occurs in an encoded message:
/// asked before parsing, because two octets on the wire may become a hundred in memory.
[[nodiscard]] std::size_t count_fields(ByteView octets, std::initializer_list<int> path);

void to_message(const SignedBytes& value, keyferry::v1::SignedBytes& out);
[[nodiscard]] SignedBytes from_message(Fields& fields, const keyferry::v1::SignedBytes& message);

}  // namespace keyferry::token
