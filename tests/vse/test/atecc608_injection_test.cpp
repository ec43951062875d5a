// The facts page's injection (se/atecc608.md, sections 6.2, 7.3) against the virtual chip, and each
// thing that the chip must not let through.
#include "tests/vse/test/atecc608_host.h"
#include "wrap/crypto/signing.h"

namespace keyferry::vse::atecc608 {
namespace {

Bytes frame(const char* member) {
  return injection(member);
}

Bytes ok_packet() {
  return hex("04000340");
}

crypto::PublicKey public_key(ByteView point) {
  Bytes octets{0x04};
  append(octets, point);
  return *crypto::PublicKey::from_point(octets);
}

TEST(Atecc608Packets, HaveTheCrcOfThePage) {
  for (const auto& item : vectors().at("frames")) {
    const Bytes packet = hex(item.at("command").get<std::string>());
    EXPECT_TRUE(read_command(packet)) << item.at("name");
    Bytes damaged = packet;
    damaged[2] ^= 1;
    EXPECT_FALSE(read_command(damaged)) << item.at("name");
  }
}

TEST(Atecc608Packets, OfAStatusAreThoseOfThePage) {
  for (const auto& [status, packet] : vectors().at("status").items()) {
    const auto value = static_cast<Status>(hex(status).at(0));
    EXPECT_EQ(to_hex(reply_packet(value)), packet.get<std::string>());
  }
}

TEST(Atecc608Packets, AreRefusedWithTheirOwnStatusWhenTheCrcIsWrong) {
  Host host{prepared_memory()};
  Bytes packet = command_packet(0x30, 0, 0);
  packet.back() ^= 0x80;
  EXPECT_EQ(to_hex(host.chip.answer(packet)), "04ff0142");
  EXPECT_EQ(to_hex(host.chip.answer(Bytes{0x03})), "04ff0142");
}

TEST(Atecc608Info, GivesTheRevision) {
  Host host{prepared_memory()};
  EXPECT_EQ(to_hex(host.chip.answer(hex("0730000000035d"))), "070000600383bb");
}

TEST(Atecc608Injection, GoesThroughWithThePagesOwnFrames) {
  Host host{prepared_memory()};
  EXPECT_EQ(host.chip.answer(frame("checkmac_frame")), ok_packet());
  EXPECT_EQ(host.chip.answer(frame("nonce_frame")), ok_packet());
  EXPECT_EQ(host.chip.answer(frame("gendig_frame")), ok_packet());
  EXPECT_EQ(to_hex(host.chip.temp_key().key()), to_hex(injection("session_key")));
  EXPECT_EQ(host.chip.answer(frame("privwrite_frame")), ok_packet());
  EXPECT_EQ(to_hex(host.send(Opcode::GenKey, 0, 0)), to_hex(injection("public_key")));
  EXPECT_EQ(to_hex(host.send(Opcode::Info, 1, 0)), "01000000");
}

TEST(Atecc608Injection, TakesTheShortGenDigToo) {
  Host host{prepared_memory()};
  EXPECT_EQ(host.chip.answer(frame("nonce_frame")), ok_packet());
  EXPECT_EQ(host.chip.answer(hex("07150204003348")), ok_packet());
  EXPECT_EQ(host.priv_write(), kSuccess);
}

TEST(Atecc608Injection, LeavesTheWrittenKeyInTheCells) {
  Host host{prepared_memory()};
  host.open_session();
  ASSERT_EQ(host.priv_write(), kSuccess);
  EXPECT_EQ(to_hex(ByteView{host.chip.memory().slots[0]}), "00000000" + to_hex(injection("d")));
}

TEST(Atecc608Injection, SignsWithTheInjectedKey) {
  Host host{prepared_memory()};
  host.open_session();
  ASSERT_EQ(host.priv_write(), kSuccess);
  const Digest digest = crypto::sha256(as_bytes("receipt"));
  ASSERT_EQ(host.status(Opcode::Nonce, 0x43, 0, digest.bytes()), kSuccess);
  const Bytes signature = host.send(Opcode::Sign, 0xA0, 0);
  EXPECT_TRUE(crypto::verify(public_key(injection("public_key")), digest, signature));
}

TEST(Atecc608Injection, OfACounterfeitSignsNothing) {
  Host host{prepared_memory(), {.counterfeit = true}};
  host.open_session();
  ASSERT_EQ(host.priv_write(), kSuccess);
  const Digest digest = crypto::sha256(as_bytes("receipt"));
  ASSERT_EQ(host.status(Opcode::Nonce, 0x43, 0, digest.bytes()), kSuccess);
  const Bytes signature = host.send(Opcode::Sign, 0xA0, 0);
  EXPECT_EQ(signature.size(), 64U);
  EXPECT_FALSE(crypto::verify(public_key(injection("public_key")), digest, signature));
}

TEST(Atecc608Injection, AttestsKeyAndLockWithThePagesMessage) {
  Host host{prepared_memory()};
  const Bytes attestation_point = host.send(Opcode::GenKey, 0x04, 1);
  ASSERT_EQ(attestation_point.size(), 64U);
  host.open_session();
  ASSERT_EQ(host.priv_write(), kSuccess);
  ASSERT_EQ(host.chip.answer(hex("07178200003a08")), ok_packet());
  const auto& wanted = vectors().at("attestation");
  ASSERT_EQ(host.status(Opcode::Nonce, 0x03, 0, hex(wanted.at("challenge"))), kSuccess);
  ASSERT_EQ(payload_of(host.chip.answer(hex("07400800004384"))).size(), 64U);
  EXPECT_EQ(to_hex(host.chip.temp_key().key()), wanted.at("temp_key").get<std::string>());
  const Bytes signature = payload_of(host.chip.answer(hex("07414001001d85")));
  const Digest digest = crypto::sha256(hex(wanted.at("message")));
  EXPECT_EQ(to_hex(digest.bytes()), wanted.at("message_hash").get<std::string>());
  EXPECT_TRUE(crypto::verify(public_key(attestation_point), digest, signature));
}

TEST(Atecc608Injection, AttestsAnOpenSlotAsOpen) {
  Host host{prepared_memory()};
  const Bytes attestation_point = host.send(Opcode::GenKey, 0x04, 1);
  host.open_session();
  ASSERT_EQ(host.priv_write(), kSuccess);
  const auto& wanted = vectors().at("attestation");
  ASSERT_EQ(host.status(Opcode::Nonce, 0x03, 0, hex(wanted.at("challenge"))), kSuccess);
  ASSERT_EQ(host.send(Opcode::GenKey, 0x08, 0).size(), 64U);
  const Bytes signature = host.send(Opcode::Sign, 0x40, 1);
  Bytes message = hex(wanted.at("message"));
  const crypto::PublicKey key = public_key(attestation_point);
  EXPECT_FALSE(crypto::verify(key, crypto::sha256(message), signature));
  message[52] = 0x01;
  EXPECT_TRUE(crypto::verify(key, crypto::sha256(message), signature));
}

TEST(Atecc608Preflight, TellsAnotherTransportKeyApart) {
  Memory memory = prepared_memory();
  memory.slots[4][31] ^= 1;
  Host host{memory};
  EXPECT_EQ(to_hex(host.chip.answer(frame("checkmac_frame"))), "040100c3");
}

TEST(Atecc608PlainKey, IsTakenBeforeTheDataLockOnly) {
  Memory memory = example_memory();
  memory.lock_config();
  Host host{memory};
  Bytes data(4);
  append(data, hex(vectors().at("plain_key").at("d")));
  data.resize(68);
  EXPECT_EQ(host.status(Opcode::PrivWrite, 0x00, 0, data), kSuccess);
  const std::string begins = vectors().at("plain_key").at("public_key_begins");
  EXPECT_EQ(to_hex(host.send(Opcode::GenKey, 0, 0)).substr(0, 8), begins);
  EXPECT_EQ(host.status(Opcode::Lock, 0x81, 0), kSuccess);
  EXPECT_EQ(host.status(Opcode::PrivWrite, 0x00, 0, data), kExecution);
}

// Section 7.3, "negative cases".

TEST(Atecc608Refuses, AFlippedBitOfTheCipherOrTheMac) {
  for (const std::size_t bit : {0U, 35U * 8, 36U * 8, 67U * 8 + 7}) {
    Host host{prepared_memory()};
    host.open_session();
    Bytes data = Host::priv_write_data();
    data[bit / 8] ^= static_cast<std::uint8_t>(1U << bit % 8);
    EXPECT_EQ(host.status(Opcode::PrivWrite, 0x40, 0, data), kExecution) << bit;
    EXPECT_EQ(host.chip.memory(), prepared_memory());
  }
}

TEST(Atecc608Refuses, ASecondPrivWriteOnOneTempKey) {
  Host host{prepared_memory()};
  host.open_session();
  EXPECT_EQ(host.priv_write(), kSuccess);
  EXPECT_EQ(host.priv_write(), kExecution);
}

TEST(Atecc608Refuses, ASessionOfAnotherSlot) {
  Memory memory = prepared_memory();
  memory.slots[6] = memory.slots[4];
  Host host{memory};
  host.open_session(6);
  EXPECT_EQ(host.priv_write(), kExecution);
}

TEST(Atecc608Refuses, APrivWriteAfterSleep) {
  Host host{prepared_memory()};
  host.open_session();
  host.chip.sleep();
  EXPECT_EQ(host.priv_write(), kExecution);
}

TEST(Atecc608Refuses, ALockedTargetSlot) {
  Host host{prepared_memory()};
  EXPECT_EQ(host.status(Opcode::Lock, 0x82, 0), kSuccess);
  host.open_session();
  EXPECT_EQ(host.priv_write(), kExecution);
}

TEST(Atecc608Refuses, AnotherLastOctetOfTheSerial) {
  Memory memory = prepared_memory();
  memory.config[12] = 0x01;
  Host host{memory};
  host.open_session();
  EXPECT_EQ(host.priv_write(), kExecution);
}

TEST(Atecc608Refuses, GenDigOfAReqRandomKeyAfterAFixedNonce) {
  Memory memory = prepared_memory();
  memory.config[96 + 2 * 4] |= 0x40;
  Host host{memory};
  ASSERT_EQ(host.status(Opcode::Nonce, 0x03, 0, injection("nonce")), kSuccess);
  EXPECT_EQ(host.status(Opcode::GenDig, 0x02, 4, Host::gendig_data(4)), kExecution);
  ASSERT_EQ(host.send(Opcode::Nonce, 0x00, 0, Bytes(20)).size(), 32U);
  EXPECT_EQ(host.status(Opcode::GenDig, 0x02, 4, Host::gendig_data(4)), kSuccess);
}

TEST(Atecc608Refuses, APlainPrivWriteAfterTheDataLock) {
  Host host{prepared_memory()};
  host.open_session();
  Bytes data(4);
  append(data, injection("d"));
  data.resize(68);
  EXPECT_EQ(host.status(Opcode::PrivWrite, 0x00, 0, data), kExecution);
}

TEST(Atecc608Refuses, ToMakeAKeyWhereTheConfigurationDoesNotAllowIt) {
  Host host{prepared_memory()};
  EXPECT_EQ(host.status(Opcode::GenKey, 0x04, 0), kExecution);
}

TEST(Atecc608Refuses, ScalarsOutsideTheGroup) {
  const Bytes session = injection("session_key");
  const Bytes second = to_bytes(crypto::sha256(session).bytes());
  for (const std::string& scalar :
       {std::string(64, '0'),
        std::string{"ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551"}}) {
    Host host{prepared_memory()};
    host.open_session();
    Bytes plain(4);
    append(plain, hex(scalar));
    Bytes message = session;
    append(message, hex("46400000ee0123"));
    append(message, zeros(21));
    append(message, plain);
    Bytes data = plain;
    for (std::size_t i = 0; i < data.size(); ++i) data[i] ^= i < 32 ? session[i] : second[i - 32];
    append(data, crypto::sha256(message).bytes());
    EXPECT_EQ(host.status(Opcode::PrivWrite, 0x40, 0, data), kExecution) << scalar;
  }
}

TEST(Atecc608Refuses, MacOfANoMacKey) {
  Host host{prepared_memory()};
  EXPECT_EQ(host.status(Opcode::Mac, 0x00, 4, Bytes(32)), kExecution);
}

TEST(Atecc608Refuses, WhatItCannotParse) {
  Host host{prepared_memory()};
  EXPECT_EQ(host.status(Opcode::PrivWrite, 0x40, 0, Bytes(67)), kParse);
  EXPECT_EQ(host.status(Opcode::PrivWrite, 0x40, 16, Bytes(68)), kParse);
  EXPECT_EQ(host.status(Opcode::GenDig, 0x02, 16, Host::gendig_data(0)), kParse);
  EXPECT_EQ(host.status(Opcode::Sign, 0x80, 16), kParse);
  EXPECT_EQ(host.status(Opcode::Nonce, 0x03, 0, Bytes(31)), kParse);
  EXPECT_EQ(host.status(static_cast<Opcode>(0x99), 0, 0), kParse);
}

TEST(Atecc608Refuses, AFixedNonceForWritesWhenItIsStrict) {
  Host host{prepared_memory(), {.strict_rand = true}};
  host.open_session();
  EXPECT_EQ(host.priv_write(), kExecution);
}

TEST(Atecc608Refuses, AnInternalSignatureByTheInjectedKeyAndAnExternalOneByTheAttestationKey) {
  Host host{prepared_memory()};
  ASSERT_EQ(host.send(Opcode::GenKey, 0x04, 1).size(), 64U);
  host.open_session();
  ASSERT_EQ(host.priv_write(), kSuccess);
  ASSERT_EQ(host.status(Opcode::Nonce, 0x43, 0, Bytes(32)), kSuccess);
  EXPECT_EQ(host.status(Opcode::Sign, 0xA0, 1), kExecution);
  ASSERT_EQ(host.status(Opcode::Nonce, 0x03, 0, Bytes(32)), kSuccess);
  ASSERT_EQ(host.send(Opcode::GenKey, 0x08, 0).size(), 64U);
  EXPECT_EQ(host.status(Opcode::Sign, 0x40, 0), kExecution);
}

}  // namespace
}  // namespace keyferry::vse::atecc608
