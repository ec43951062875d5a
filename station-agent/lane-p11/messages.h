// What station and keyferry-lane-p11 say to each other (proto/keyferry/v1/lane.proto) as types of
// ours. Sizes are checked here, once; a message that breaks one is no message.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "wrap/base/bytes.h"
#include "wrap/base/error.h"
#include "wrap/base/ids.h"

namespace keyferry::lane_p11 {

inline constexpr std::size_t kMaxUriBytes = 4096;
inline constexpr std::size_t kMaxPayloadBytes = 16U * 1024;
inline constexpr std::size_t kMaxCertificateBytes = 4096;
inline constexpr std::size_t kMaxChainCertificates = 4;
inline constexpr std::size_t kMaxMessageBytes = 8U * 1024;
inline constexpr std::size_t kMaxKnownHandles = 64;
inline constexpr std::size_t kMaxTextBytes = 1024;

/// CKA_ID of a key on the chip and of its certificate.
using KeyHandle = BytesId<struct KeyHandleTag, 16>;

struct Open {
  std::string uri;
};

struct Ask {
  KeyHandle key;
  std::vector<KeyHandle> known;
};

struct Inject {
  KeyHandle key;
  std::string key_name;
  Bytes payload;
};

struct WriteChain {
  KeyHandle key;
  std::string key_name;
  std::vector<Bytes> certificates;  // leaf first
};

struct ReadChain {
  KeyHandle key;
};

enum class SignedKind { Challenge, Receipt };

struct Sign {
  KeyHandle key;
  SignedKind kind = SignedKind::Challenge;
  Bytes message;
};

using Request = std::variant<Open, Ask, Inject, WriteChain, ReadChain, Sign>;

struct Opened {
  Bytes serial;  // 1 to 16, without trailing blanks
  std::string label;
  std::string manufacturer;
  std::string model;
  bool prepared = false;
};

enum class Holding { Empty, Key, Foreign, Unsound };

struct Asked {
  Holding holding = Holding::Unsound;
  std::string detail;
};

struct Done {};

struct Chain {
  std::vector<Bytes> certificates;
};

struct Signature {
  Bytes signature;
};

struct Refused {
  Refusal refusal;
  Bytes found_serial = {};  // wrong-se only
};

struct Lost {
  std::string text;
};

using Reply = std::variant<Opened, Asked, Done, Chain, Signature, Refused, Lost>;

[[nodiscard]] Bytes serialise(const Request& request);
[[nodiscard]] Bytes serialise(const Reply& reply);

/// Nothing for anything that is not exactly one message within the sizes above.
[[nodiscard]] std::optional<Request> parse_request(ByteView octets);
[[nodiscard]] std::optional<Reply> parse_reply(ByteView octets);

}  // namespace keyferry::lane_p11
