// What travels between host and chip (facts: se/atecc608.md, sections 1.1 to 1.3), as the chip sees
// it.
#pragma once

#include <cstdint>
#include <optional>
#include <variant>

#include "wrap/base/bytes.h"

namespace keyferry::vse::atecc608 {

/// Payload of a four-octet reply.
enum class Status : std::uint8_t {
  Success = 0x00,
  Miscompare = 0x01,
  Parse = 0x03,
  EccFault = 0x05,
  Execution = 0x0F,
  Watchdog = 0xEE,
  Communication = 0xFF,
};

/// First octet of what the host sends.
enum class WordAddress : std::uint8_t { Reset = 0, Sleep = 1, Idle = 2, Command = 3 };

enum class Opcode : std::uint8_t {
  Read = 0x02,
  Mac = 0x08,
  Write = 0x12,
  GenDig = 0x15,
  Nonce = 0x16,
  Lock = 0x17,
  Random = 0x1B,
  DeriveKey = 0x1C,
  UpdateExtra = 0x20,
  Counter = 0x24,
  CheckMac = 0x28,
  Info = 0x30,
  GenKey = 0x40,
  Sign = 0x41,
  Verify = 0x45,
  PrivWrite = 0x46,
  Sha = 0x47,
  SelfTest = 0x77,
  SecureBoot = 0x80,
};

/// A status, or the octets that were asked for.
using Reply = std::variant<Status, Bytes>;

/// A command whose count and CRC are right.
struct Command {
  std::uint8_t opcode = 0;
  std::uint8_t p1 = 0;
  std::uint16_t p2 = 0;
  ByteView data;
};

inline constexpr std::size_t kMinCommandBytes = 7;
inline constexpr std::size_t kMaxCommandBytes = 151;

/// Section 1.2: polynomial 0x8005, start 0, bits of each octet least significant first.
[[nodiscard]] std::uint16_t crc16(ByteView octets);

/// Nothing when length or CRC is wrong. The data points into `packet`.
[[nodiscard]] std::optional<Command> read_command(ByteView packet);

/// Count, payload, CRC.
[[nodiscard]] Bytes reply_packet(const Reply& reply);

void append_u16le(Bytes& out, std::uint16_t value);
void append_u32le(Bytes& out, std::uint32_t value);

}  // namespace keyferry::vse::atecc608
