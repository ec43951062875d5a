// Frames of the shared facts (se/atecc608.md, sections 1, 4, 6.2 and 7.3), octet for octet.
#include "station-agent/atecc608/packet.h"

#include <gtest/gtest.h>

#include "wrap/base/error.h"

namespace keyferry::atecc608 {
namespace {

Bytes hex(std::string_view text) {
  return from_hex(text).value();
}

std::string sequence(std::uint8_t first, std::size_t size) {
  Bytes octets;
  for (std::size_t i = 0; i < size; ++i) octets.push_back(static_cast<std::uint8_t>(first + i));
  return to_hex(octets);
}

const std::string kCipher =
    "789f731d6abf2bcd1dad1c50f69a7f6198873bbfb962343e9747559873caeb7d5db7e58d";
const std::string kMac = "ab7a365de4c86a09a08b46af93fcc3f1aa4fe7ae83bc8e3840569c11ebca5232";
const std::string kResponse = "1b892570449c01b239e6f3b8bdfc7fa08b0b08253ab35d4a0dd1d7a331fff5e3";

struct Frame {
  const char* name;
  Command command;
  std::string packet;
};

std::vector<Frame> frames() {
  return {
      {"InfoRevision", {Opcode::Info, 0, 0}, "0730000000035d"},
      {"ReadSerialBlock", {Opcode::Read, 0x80, 0}, "070280000009ad"},
      {"LockSlot0", {Opcode::Lock, 0x82, 0}, "07178200003a08"},
      {"GenKeyPublicSlot0", {Opcode::GenKey, 0, 0}, "07400000000005"},
      {"GenKeyDigestSlot0", {Opcode::GenKey, 0x08, 0}, "07400800004384"},
      {"SignExternalSlot0", {Opcode::Sign, 0xA0, 0}, "0741a000007b85"},
      {"SignInternalSlot1", {Opcode::Sign, 0x40, 1}, "07414001001d85"},
      {"NonceFixed",
       {Opcode::Nonce, 0x03, 0, hex(sequence(0xC0, 32))},
       "2716030000" + sequence(0xC0, 32) + "e18a"},
      {"GenDigWithOtherData", {Opcode::GenDig, 2, 4, hex("15020400")}, "0b1502040015020400d2ec"},
      {"GenDigShort", {Opcode::GenDig, 2, 4}, "07150204003348"},
      {"PrivWrite",
       {Opcode::PrivWrite, 0x40, 0, hex(kCipher + kMac)},
       "4b46400000" + kCipher + kMac + "776e"},
      {"PreFlightCheckMac",
       {Opcode::CheckMac, 0, 4, hex(sequence(0x80, 32) + kResponse + "08000400000000000000000000")},
       "5428000400" + sequence(0x80, 32) + kResponse + "08000400000000000000000000c7f9"},
  };
}

class CommandFrame : public testing::TestWithParam<Frame> {};

TEST_P(CommandFrame, IsThePagesPacket) {
  EXPECT_EQ(to_hex(encode(GetParam().command)), GetParam().packet);
}

INSTANTIATE_TEST_SUITE_P(Page, CommandFrame, testing::ValuesIn(frames()), [](const auto& one) {
  return std::string{one.param.name};
});

TEST(ResponsePacket, OfFourOctetsIsAStatus) {
  const std::vector<std::pair<std::string, Status>> packets{
      {"04000340", Status::Success},
      {"040100c3", Status::Miscompare},
      {"04038342", Status::ParseError},
      {"0405c343", Status::EccFault},
      {"040740c2", Status::SelfTestFailed},
      {"040860c0", Status::HealthTestFailed},
      {"040f2342", Status::ExecutionError},
      {"04113343", Status::JustWoken},
      {"04ee3141", Status::WatchdogSoon},
      {"04ff0142", Status::Communication},
  };
  for (const auto& [packet, status] : packets) {
    const Response response = decode(hex(packet));
    ASSERT_TRUE(std::holds_alternative<Status>(response)) << packet;
    EXPECT_EQ(std::get<Status>(response), status) << packet;
  }
}

TEST(ResponsePacket, GivesThePayloadWithoutItsFrame) {
  const Response response =
      decode(hex("0700006003"
                 "83bb"));
  ASSERT_TRUE(std::holds_alternative<Bytes>(response));
  EXPECT_EQ(std::get<Bytes>(response), hex("00006003"));
}

TEST(ResponsePacket, WithAnyBitFlippedIsDamaged) {
  const Bytes sound = hex("070000600383bb");
  for (std::size_t bit = 0; bit < sound.size() * 8; ++bit) {
    Bytes damaged = sound;
    damaged[bit / 8] = static_cast<std::uint8_t>(damaged[bit / 8] ^ 1U << bit % 8);
    EXPECT_TRUE(std::holds_alternative<Damaged>(decode(damaged))) << "bit " << bit;
  }
}

TEST(ResponsePacket, OfAWrongLengthIsDamaged) {
  for (const char* packet : {"", "04", "040003", "0400034000", "0300c3"}) {
    EXPECT_TRUE(std::holds_alternative<Damaged>(decode(hex(packet)))) << packet;
  }
  EXPECT_TRUE(std::holds_alternative<Damaged>(decode(Bytes(76, 76))));
}

TEST(CommandPacket, TakesNoMoreThanItsLength) {
  EXPECT_EQ(encode({Opcode::Write, 0, 0, Bytes(kMaxDataBytes)}).size(), kMaxCommandBytes);
  EXPECT_THROW(static_cast<void>(encode({Opcode::Write, 0, 0, Bytes(kMaxDataBytes + 1)})), Error);
}

}  // namespace
}  // namespace keyferry::atecc608
