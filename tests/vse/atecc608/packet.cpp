#include "tests/vse/atecc608/packet.h"

namespace keyferry::vse::atecc608 {
namespace {

constexpr std::size_t kCrcBytes = 2;

}  // namespace

std::uint16_t crc16(ByteView octets) {
  constexpr std::uint16_t kPolynomial = 0x8005;
  std::uint16_t reg = 0;
  for (const std::uint8_t octet : octets) {
    for (unsigned bit = 0; bit < 8; ++bit) {
      const bool differs = ((octet >> bit) & 1U) != (reg >> 15U);
      reg = static_cast<std::uint16_t>(reg << 1U);
      if (differs) reg ^= kPolynomial;
    }
  }
  return reg;
}

std::optional<Command> read_command(ByteView packet) {
  if (packet.size() < kMinCommandBytes || packet.size() > kMaxCommandBytes) return std::nullopt;
  if (packet[0] != packet.size()) return std::nullopt;
  const ByteView body = packet.first(packet.size() - kCrcBytes);
  const std::uint16_t crc = crc16(body);
  const ByteView sent = packet.last(kCrcBytes);
  if (sent[0] != (crc & 0xFFU) || sent[1] != crc >> 8U) return std::nullopt;
  return Command{
      body[1], body[2], static_cast<std::uint16_t>(body[3] | body[4] << 8U), body.subspan(5)};
}

Bytes reply_packet(const Reply& reply) {
  Bytes packet{0};
  if (const auto* status = std::get_if<Status>(&reply)) {
    packet.push_back(static_cast<std::uint8_t>(*status));
  } else {
    append(packet, std::get<Bytes>(reply));
  }
  packet[0] = static_cast<std::uint8_t>(packet.size() + kCrcBytes);
  append_u16le(packet, crc16(packet));
  return packet;
}

void append_u16le(Bytes& out, std::uint16_t value) {
  out.push_back(static_cast<std::uint8_t>(value & 0xFFU));
  out.push_back(static_cast<std::uint8_t>(value >> 8U));
}

void append_u32le(Bytes& out, std::uint32_t value) {
  append_u16le(out, static_cast<std::uint16_t>(value & 0xFFFFU));
  append_u16le(out, static_cast<std::uint16_t>(value >> 16U));
}

}  // namespace keyferry::vse::atecc608
