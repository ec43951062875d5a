// Packets of the ATECC608 (shared facts se/atecc608.md, sections 1.1 and 1.2): a command is
// count, opcode, p1, p2 (low octet first), data, CRC; a response is count, payload, CRC; a response
// of four octets is a status. `count` covers itself through the last octet of the CRC.
#pragma once

#include <cstdint>
#include <optional>
#include <variant>

#include "wrap/base/bytes.h"

namespace keyferry::atecc608 {

inline constexpr std::size_t kMinCommandBytes = 7;
inline constexpr std::size_t kMaxCommandBytes = 151;
inline constexpr std::size_t kMaxDataBytes = kMaxCommandBytes - kMinCommandBytes;
inline constexpr std::size_t kMinResponseBytes = 4;
inline constexpr std::size_t kMaxResponseBytes = 75;

enum class Opcode : std::uint8_t {
  Read = 0x02,
  Write = 0x12,
  GenDig = 0x15,
  Nonce = 0x16,
  Lock = 0x17,
  Random = 0x1B,
  CheckMac = 0x28,
  Info = 0x30,
  GenKey = 0x40,
  Sign = 0x41,
  Verify = 0x45,
  PrivWrite = 0x46,
  SecureBoot = 0x80,
};

/// "Read", "Write", ...: for messages.
[[nodiscard]] const char* opcode_name(Opcode opcode);

struct Command {
  Opcode opcode = Opcode::Info;
  std::uint8_t p1 = 0;
  std::uint16_t p2 = 0;
  Bytes data = {};  // at most kMaxDataBytes
};

/// What the chip said of a command in one octet. Values that are not listed can come.
enum class Status : std::uint8_t {
  Success = 0x00,
  Miscompare = 0x01,
  ParseError = 0x03,
  EccFault = 0x05,
  SelfTestFailed = 0x07,
  HealthTestFailed = 0x08,
  ExecutionError = 0x0F,
  JustWoken = 0x11,
  WatchdogSoon = 0xEE,
  Communication = 0xFF,
};

/// "execution error (0f)", ...; a value that is not listed as its number.
[[nodiscard]] std::string status_text(Status status);

/// The response is damaged: length or CRC.
struct Damaged {};

/// Payload of two octets and more, or a status.
using Response = std::variant<Bytes, Status, Damaged>;

/// Polynomial 0x8005, start 0, input octets least significant bit first.
[[nodiscard]] std::uint16_t crc16(ByteView octets);

/// count to CRC. Error{InvalidArgument} for more data than a packet takes.
[[nodiscard]] Bytes encode(const Command& command);

/// Zeros in their place: what a secure room writes into a chip is a key.
void wipe(Bytes& octets);

/// Wipes them at the end of its life, also when an exception ends it.
class Wiped {
 public:
  explicit Wiped(Bytes& octets) : octets_{octets} {}
  ~Wiped() { wipe(octets_); }
  Wiped(const Wiped&) = delete;
  Wiped& operator=(const Wiped&) = delete;

 private:
  Bytes& octets_;
};

/// A whole response, count to CRC.
[[nodiscard]] Response decode(ByteView packet);

}  // namespace keyferry::atecc608
