// The bus to one chip: a stream (section 1.6 of the facts; one connection is one powered bus) or
// /dev/i2c-N. A wire moves octets; it knows nothing of commands. Every wait has a limit.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <variant>

#include "station-agent/chip_lost.h"
#include "wrap/base/bytes.h"
#include "wrap/base/error.h"

namespace keyferry::atecc608 {

using Millis = std::chrono::milliseconds;

/// Word addresses (section 1.3).
inline constexpr std::uint8_t kWordReset = 0x00;
inline constexpr std::uint8_t kWordSleep = 0x01;
inline constexpr std::uint8_t kWordIdle = 0x02;
inline constexpr std::uint8_t kWordCommand = 0x03;

/// The library's polling (section 1.4).
inline constexpr Millis kFirstPoll{1};
inline constexpr Millis kNextPoll{2};
inline constexpr Millis kGiveUp{2500};

class Wire {
 public:
  virtual ~Wire() = default;

  /// False: no chip answered. Throws station::ChipLost when the bus itself is gone; so do all.
  [[nodiscard]] virtual bool wake() = 0;
  virtual void idle() = 0;
  virtual void sleep() = 0;

  /// A command packet. False: it was not acknowledged. What came unasked before it is thrown away.
  [[nodiscard]] virtual bool send(ByteView packet) = 0;

  /// The response as it came, damaged or not; nothing when none came in time.
  [[nodiscard]] virtual std::optional<Bytes> receive(Millis limit) = 0;

  /// The same response once more, where the bus can (the chip keeps it until the next command).
  [[nodiscard]] virtual std::optional<Bytes> receive_again() = 0;

 protected:
  Wire() = default;
  Wire(const Wire&) = default;
  Wire& operator=(const Wire&) = default;
};

/// Where a chip is: "unix:/path", "tcp:127.0.0.1:PORT" or "i2c:/dev/i2c-N:0xADDR" (7-bit address).
struct UnixAddress {
  std::string path;
};

struct TcpAddress {
  std::string host;  // IPv4 in numbers
  std::uint16_t port = 0;
};

struct I2cAddress {
  std::string device;
  std::uint8_t address = 0x60;  // 0x08 to 0x77
};

using ChipAddress = std::variant<UnixAddress, TcpAddress, I2cAddress>;

/// Refusal "chip-address".
[[nodiscard]] std::variant<ChipAddress, Refusal> parse_chip_address(const std::string& text);
[[nodiscard]] std::string to_string(const ChipAddress& address);

/// Opens the bus. station::ChipLost when there is none.
[[nodiscard]] std::unique_ptr<Wire> open_wire(const ChipAddress& address);

}  // namespace keyferry::atecc608
