#include "station-agent/atecc608/packet.h"

#include <botan/mem_ops.h>

#include "wrap/base/error.h"

namespace keyferry::atecc608 {

const char* opcode_name(Opcode opcode) {
  switch (opcode) {
    case Opcode::Read:
      return "Read";
    case Opcode::Write:
      return "Write";
    case Opcode::GenDig:
      return "GenDig";
    case Opcode::Nonce:
      return "Nonce";
    case Opcode::Lock:
      return "Lock";
    case Opcode::Random:
      return "Random";
    case Opcode::CheckMac:
      return "CheckMac";
    case Opcode::Info:
      return "Info";
    case Opcode::GenKey:
      return "GenKey";
    case Opcode::Sign:
      return "Sign";
    case Opcode::Verify:
      return "Verify";
    case Opcode::PrivWrite:
      return "PrivWrite";
    case Opcode::SecureBoot:
      return "SecureBoot";
  }
  return "command";
}

std::string status_text(Status status) {
  const auto number = static_cast<std::uint8_t>(status);
  const std::string hex = " (" + to_hex(ByteView{&number, 1}) + ")";
  switch (status) {
    case Status::Success:
      return "success" + hex;
    case Status::Miscompare:
      return "miscompare" + hex;
    case Status::ParseError:
      return "parse error" + hex;
    case Status::EccFault:
      return "ECC fault" + hex;
    case Status::SelfTestFailed:
      return "self-test failed" + hex;
    case Status::HealthTestFailed:
      return "random number health test failed" + hex;
    case Status::ExecutionError:
      return "execution error" + hex;
    case Status::JustWoken:
      return "just woken" + hex;
    case Status::WatchdogSoon:
      return "watchdog about to expire" + hex;
    case Status::Communication:
      return "communication error" + hex;
  }
  return "status" + hex;
}

std::uint16_t crc16(ByteView octets) {
  std::uint16_t reg = 0;
  for (const std::uint8_t octet : octets) {
    for (unsigned bit = 0; bit < 8; ++bit) {
      const bool top = (reg & 0x8000U) != 0;
      reg = static_cast<std::uint16_t>(reg << 1U);
      if (((octet >> bit & 1U) != 0) != top) reg = static_cast<std::uint16_t>(reg ^ 0x8005U);
    }
  }
  return reg;
}

Bytes encode(const Command& command) {
  if (command.data.size() > kMaxDataBytes) {
    throw Error{Code::InvalidArgument,
                std::string{opcode_name(command.opcode)} + ": more data than a packet takes"};
  }
  Bytes packet;
  packet.reserve(kMinCommandBytes + command.data.size());  // one copy: wipe() takes the data away
  append(packet,
         Bytes{static_cast<std::uint8_t>(kMinCommandBytes + command.data.size()),
               static_cast<std::uint8_t>(command.opcode),
               command.p1,
               static_cast<std::uint8_t>(command.p2 & 0xFFU),
               static_cast<std::uint8_t>(command.p2 >> 8U)});
  append(packet, command.data);
  const std::uint16_t crc = crc16(packet);
  packet.push_back(static_cast<std::uint8_t>(crc & 0xFFU));
  packet.push_back(static_cast<std::uint8_t>(crc >> 8U));
  return packet;
}

void wipe(Bytes& octets) {
  Botan::secure_scrub_memory(octets.data(), octets.size());
}

Response decode(ByteView packet) {
  if (packet.size() < kMinResponseBytes || packet.size() > kMaxResponseBytes ||
      packet[0] != packet.size()) {
    return Damaged{};
  }
  const ByteView body = packet.first(packet.size() - 2);
  const std::uint16_t crc = crc16(body);
  if (packet[packet.size() - 2] != (crc & 0xFFU) || packet[packet.size() - 1] != crc >> 8U)
    return Damaged{};
  if (packet.size() == kMinResponseBytes) return Status{packet[1]};
  return to_bytes(body.subspan(1));
}

}  // namespace keyferry::atecc608
