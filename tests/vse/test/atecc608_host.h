// A host for the virtual ATECC608 in tests: commands by name, replies taken apart, the page's
// vectors at hand.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/vse/atecc608/chip.h"
#include "wrap/base/error.h"
#include "wrap/base/random.h"
#include "wrap/crypto/hash.h"

namespace keyferry::vse::atecc608 {

inline const std::string kVectorFolder = std::string{KEYFERRY_VECTORS_DIR} + "/atecc608/";

inline Bytes hex(const std::string& text) {
  const auto octets = from_hex(text);
  if (!octets) throw Error{Code::InvalidArgument, "no hex: " + text};
  return *octets;
}

inline const nlohmann::json& vectors() {
  static const nlohmann::json all =
      nlohmann::json::parse(std::ifstream{kVectorFolder + "vectors.json"});
  return all;
}

/// Octets of a member of the injection vector.
inline Bytes injection(const char* member) {
  return hex(vectors().at("injection").at(member).get<std::string>());
}

inline Memory example_memory() {
  return Memory{read_config_hex(kVectorFolder + "example-configuration.hex")};
}

/// The example configuration, locked, with the vector's transport key in slot 4.
inline Memory prepared_memory() {
  Memory memory = example_memory();
  memory.lock_config();
  std::ranges::copy(injection("transport_key"), memory.slots[4].begin());
  memory.lock_data();
  return memory;
}

inline Bytes command_packet(std::uint8_t opcode,
                            std::uint8_t p1,
                            std::uint16_t p2,
                            ByteView data = {}) {
  Bytes packet{static_cast<std::uint8_t>(kMinCommandBytes + data.size()), opcode, p1};
  append_u16le(packet, p2);
  append(packet, data);
  append_u16le(packet, crc16(packet));
  return packet;
}

/// What stands between count and CRC of a reply; a failed test when they are wrong.
inline Bytes payload_of(const Bytes& reply) {
  if (reply.size() < 4 || reply[0] != reply.size()) {
    ADD_FAILURE() << "no reply packet: " << to_hex(reply);
    return {};
  }
  const ByteView body = ByteView{reply}.first(reply.size() - 2);
  Bytes crc;
  append_u16le(crc, crc16(body));
  EXPECT_TRUE(equal(crc, ByteView{reply}.last(2)));
  return to_bytes(body.subspan(1));
}

struct Host {
  explicit Host(Memory memory, ChipRules rules = {}) : chip{std::move(memory), random, rules} {}

  Bytes send(Opcode opcode, std::uint8_t p1, std::uint16_t p2, ByteView data = {}) {
    return payload_of(chip.answer(command_packet(static_cast<std::uint8_t>(opcode), p1, p2, data)));
  }

  /// The status of a command that gives nothing else.
  int status(Opcode opcode, std::uint8_t p1, std::uint16_t p2, ByteView data = {}) {
    const Bytes payload = send(opcode, p1, p2, data);
    EXPECT_EQ(payload.size(), 1U) << to_hex(payload);
    return payload.size() == 1 ? payload[0] : -1;
  }

  /// Fixed nonce and GenDig of the vector: TempKey is its session key.
  void open_session(std::uint16_t slot = 4) {
    EXPECT_EQ(status(Opcode::Nonce, 0x03, 0, injection("nonce")), 0);
    EXPECT_EQ(status(Opcode::GenDig, 0x02, slot, gendig_data(slot)), 0);
  }

  static Bytes gendig_data(std::uint16_t slot) {
    return {0x15, 0x02, static_cast<std::uint8_t>(slot), 0x00};
  }

  static Bytes priv_write_data() {
    Bytes data = injection("cipher");
    append(data, injection("mac"));
    return data;
  }

  int priv_write() { return status(Opcode::PrivWrite, 0x40, 0, priv_write_data()); }

  SystemRandom random;
  Chip chip;
};

constexpr int kSuccess = 0x00;
constexpr int kMiscompare = 0x01;
constexpr int kParse = 0x03;
constexpr int kExecution = 0x0F;

}  // namespace keyferry::vse::atecc608
