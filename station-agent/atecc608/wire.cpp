#include "station-agent/atecc608/wire.h"

#include <arpa/inet.h>

#include <charconv>

#include "station-agent/atecc608/i2c_wire.h"
#include "station-agent/atecc608/stream_wire.h"

namespace keyferry::atecc608 {
namespace {

Refusal wrong(const std::string& what) {
  return Refusal{"chip-address",
                 "a chip's address: " + what,
                 "write unix:/path, tcp:127.0.0.1:PORT or i2c:/dev/i2c-1:0x60"};
}

std::optional<unsigned> number(std::string_view text, int base, unsigned lowest, unsigned highest) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  if (value < lowest || value > highest) return std::nullopt;
  return value;
}

std::variant<ChipAddress, Refusal> parse_tcp(const std::string& rest) {
  const std::size_t colon = rest.rfind(':');
  if (colon == std::string::npos) return wrong("no port");
  const auto port = number(std::string_view{rest}.substr(colon + 1), 10, 1, 65'535);
  if (!port) return wrong("a port is a number from 1 to 65535");
  const std::string host = rest.substr(0, colon);
  in_addr parsed{};
  if (inet_pton(AF_INET, host.c_str(), &parsed) != 1)
    return wrong("a host is an IPv4 address in numbers");
  return ChipAddress{TcpAddress{host, static_cast<std::uint16_t>(*port)}};
}

std::variant<ChipAddress, Refusal> parse_i2c(const std::string& rest) {
  const std::size_t colon = rest.rfind(':');
  if (colon == std::string::npos || !rest.starts_with("/dev/i2c-"))
    return wrong("an I2C chip is at /dev/i2c-N:0xADDR");
  const std::string_view address = std::string_view{rest}.substr(colon + 1);
  if (!address.starts_with("0x")) return wrong("an I2C address is written 0xADDR");
  // 0x00..0x07 and 0x78..0x7F are reserved (I2C-bus specification, table 4).
  const auto value = number(address.substr(2), 16, 0x08, 0x77);
  if (!value) return wrong("an I2C address is 0x08 to 0x77");
  return ChipAddress{I2cAddress{rest.substr(0, colon), static_cast<std::uint8_t>(*value)}};
}

}  // namespace

std::variant<ChipAddress, Refusal> parse_chip_address(const std::string& text) {
  constexpr std::string_view kUnix = "unix:";
  constexpr std::string_view kTcp = "tcp:";
  constexpr std::string_view kI2c = "i2c:";
  if (text.starts_with(kUnix)) {
    const std::string path = text.substr(kUnix.size());
    if (path.empty() || path.front() != '/') return wrong("a Unix socket has a whole path");
    return ChipAddress{UnixAddress{path}};
  }
  if (text.starts_with(kTcp)) return parse_tcp(text.substr(kTcp.size()));
  if (text.starts_with(kI2c)) return parse_i2c(text.substr(kI2c.size()));
  return wrong("unknown kind of bus");
}

std::string to_string(const ChipAddress& address) {
  if (const auto* unix_address = std::get_if<UnixAddress>(&address))
    return "unix:" + unix_address->path;
  if (const auto* tcp = std::get_if<TcpAddress>(&address))
    return "tcp:" + tcp->host + ":" + std::to_string(tcp->port);
  const auto& i2c = std::get<I2cAddress>(address);
  return "i2c:" + i2c.device + ":0x" + to_hex(ByteView{&i2c.address, 1});
}

std::unique_ptr<Wire> open_wire(const ChipAddress& address) {
  if (const auto* unix_address = std::get_if<UnixAddress>(&address))
    return std::make_unique<StreamWire>(*unix_address);
  if (const auto* tcp = std::get_if<TcpAddress>(&address))
    return std::make_unique<StreamWire>(*tcp);
  const auto& i2c = std::get<I2cAddress>(address);
  return std::make_unique<I2cWire>(open_i2c_bus(i2c.device), i2c.address);
}

}  // namespace keyferry::atecc608
