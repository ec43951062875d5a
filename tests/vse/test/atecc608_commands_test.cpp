// The virtual chip's other commands, each against a computation of the test's own (facts:
// se/atecc608.md, section 4).
#include <algorithm>

#include "tests/vse/test/atecc608_host.h"
#include "wrap/crypto/soft_key.h"

namespace keyferry::vse::atecc608 {
namespace {

Bytes digest_of(std::initializer_list<ByteView> parts) {
  return to_bytes(crypto::sha256_of(parts).bytes());
}

std::uint16_t data_address(unsigned slot, unsigned block, unsigned word = 0) {
  return static_cast<std::uint16_t>(block << 8U | slot << 3U | word);
}

/// SN[8] SN[0] SN[1] of the example.
const Bytes kShortSerial{0xEE, 0x01, 0x23};

void set_slot_config(Memory& memory, unsigned slot, std::uint16_t word) {
  memory.config[20 + 2 * slot] = static_cast<std::uint8_t>(word & 0xFFU);
  memory.config[21 + 2 * slot] = static_cast<std::uint8_t>(word >> 8U);
}

void set_key_config(Memory& memory, unsigned slot, std::uint16_t word) {
  memory.config[96 + 2 * slot] = static_cast<std::uint8_t>(word & 0xFFU);
  memory.config[97 + 2 * slot] = static_cast<std::uint8_t>(word >> 8U);
}

TEST(Atecc608Lock, TakesThePagesSummaryAndNoOther) {
  Host host{example_memory()};
  EXPECT_EQ(crc16(host.chip.memory().config), vectors().at("config_lock_summary").get<int>());
  EXPECT_EQ(host.status(Opcode::Lock, 0x00, 0x4CFA), kExecution);
  EXPECT_EQ(host.status(Opcode::Lock, 0x00, 0x4CFB), kSuccess);
  EXPECT_TRUE(host.chip.memory().config_locked());
  EXPECT_EQ(host.status(Opcode::Lock, 0x80, 0), kExecution);
}

TEST(Atecc608Lock, OfDataTakesTheSummaryOfSlotsAndOtp) {
  Memory memory = example_memory();
  Host early{memory};
  EXPECT_EQ(early.status(Opcode::Lock, 0x81, 0), kExecution);
  memory.lock_config();
  Host host{memory};
  Bytes all;
  for (const Bytes& slot : memory.slots) append(all, slot);
  append(all, memory.otp);
  EXPECT_EQ(host.status(Opcode::Lock, 0x01, static_cast<std::uint16_t>(crc16(all) ^ 1)),
            kExecution);
  EXPECT_EQ(host.status(Opcode::Lock, 0x01, crc16(all)), kSuccess);
  EXPECT_TRUE(host.chip.memory().data_locked());
}

TEST(Atecc608Lock, OfASlotIsSeenInTheConfigurationAndDoneOnce) {
  Host host{prepared_memory()};
  EXPECT_EQ(host.status(Opcode::Lock, 0x82, 0), kSuccess);
  EXPECT_EQ(to_hex(host.send(Opcode::Read, 0x00, 0x16)).substr(0, 4), "feff");
  EXPECT_EQ(host.status(Opcode::Lock, 0x82, 0), kExecution);
  EXPECT_EQ(host.status(Opcode::Lock, 0x82 | 4U << 2U, 0), kExecution) << "slot 4 is not lockable";
}

TEST(Atecc608Config, IsWrittenInWordsAndBlocksUntilItIsLocked) {
  Host host{example_memory()};
  EXPECT_EQ(host.status(Opcode::Write, 0x00, 4, Bytes{0xC2, 0, 0, 0}), kSuccess);
  EXPECT_EQ(host.chip.memory().config[16], 0xC2);
  EXPECT_EQ(host.status(Opcode::Write, 0x80, 3U << 3U, Bytes(32, 0x11)), kSuccess);
  EXPECT_EQ(host.chip.memory().config[96], 0x11);
  EXPECT_EQ(host.status(Opcode::Write, 0x00, 3, Bytes(4)), kExecution) << "octets 12..15";
  EXPECT_EQ(host.status(Opcode::Write, 0x80, 0, Bytes(32)), kExecution);
  EXPECT_EQ(host.status(Opcode::Write, 0x00, 2U << 3U | 5U, Bytes(4)), kExecution) << "84..87";
  EXPECT_EQ(host.status(Opcode::Write, 0x00, 4U << 3U, Bytes(4)), kParse);
  EXPECT_EQ(host.status(Opcode::Lock, 0x80, 0), kSuccess);
  EXPECT_EQ(host.status(Opcode::Write, 0x00, 4, Bytes(4)), kExecution);
}

TEST(Atecc608Config, ReadsBackItsSerialWithThePagesFrame) {
  Host host{prepared_memory()};
  const Bytes block = payload_of(host.chip.answer(hex("070280000009ad")));
  EXPECT_EQ(to_hex(block), to_hex(ByteView{host.chip.memory().config}.first(32)));
  EXPECT_EQ(host.chip.memory().serial(), injection("serial"));
}

TEST(Atecc608Random, IsFfff0000UntilTheConfigurationIsLocked) {
  Host blank{example_memory()};
  EXPECT_EQ(to_hex(blank.send(Opcode::Random, 0, 0)).substr(0, 16), "ffff0000ffff0000");
  Host host{prepared_memory()};
  const Bytes one = host.send(Opcode::Random, 0, 0);
  EXPECT_EQ(one.size(), 32U);
  EXPECT_NE(one, host.send(Opcode::Random, 0, 0));
}

TEST(Atecc608Nonce, OfTheChipIsHashedWithTheHostsPart) {
  Host host{prepared_memory()};
  const Bytes number_in(20, 0x5A);
  const Bytes number = host.send(Opcode::Nonce, 0x00, 0, number_in);
  EXPECT_EQ(to_bytes(host.chip.temp_key().key()),
            digest_of({number, number_in, Bytes{0x16, 0x00, 0x00}}));
  EXPECT_EQ(host.chip.temp_key().source, Source::Rand);
}

TEST(Atecc608Nonce, GoesToTheTargetThatItNames) {
  Host host{prepared_memory()};
  EXPECT_EQ(host.status(Opcode::Nonce, 0x03, 0, Bytes(32, 1)), kSuccess);
  EXPECT_EQ(host.status(Opcode::Nonce, 0x43, 0, Bytes(32, 2)), kSuccess);
  EXPECT_EQ(host.status(Opcode::Nonce, 0x63, 0, Bytes(64, 3)), kSuccess);
  EXPECT_EQ(host.status(Opcode::Nonce, 0x83, 0, Bytes(32, 4)), kSuccess);
  EXPECT_EQ(to_bytes(host.chip.temp_key().key()), Bytes(32, 1));
  EXPECT_EQ(host.status(Opcode::Nonce, 0x23, 0, Bytes(64, 5)), kSuccess);
  EXPECT_EQ(to_bytes(host.chip.temp_key().key()), Bytes(32, 5));
  EXPECT_EQ(host.status(Opcode::Nonce, 0xC3, 0, Bytes(32)), kParse);
}

TEST(Atecc608GenDig, OfEachZoneIsTheTablesDigest) {
  Memory memory = prepared_memory();
  memory.set_counter(1, 70);
  const Bytes nonce(32, 0x77);
  const Bytes block = to_bytes(ByteView{memory.config}.subspan(32, 32));
  const Bytes shared(32, 0x33);
  Bytes counter_tail{0, 70, 0, 0, 0};
  counter_tail.resize(25);
  Bytes key_tail =
      hex("00814433"
          "0001");
  key_tail.resize(25);

  struct Case {
    std::uint8_t p1;
    std::uint16_t p2;
    Bytes data;
    Bytes expected;
  };

  const std::vector<Case> cases{
      {0, 1, {}, digest_of({block, hex("15000100"), kShortSerial, zeros(25), nonce})},
      {1, 0, {}, digest_of({Bytes(32, 0xFF), hex("15010000"), kShortSerial, zeros(25), nonce})},
      {3, 2, shared, digest_of({shared, hex("15030200"), kShortSerial, zeros(25), nonce})},
      {3, 0x8002, shared, digest_of({nonce, hex("15030200"), kShortSerial, zeros(25), shared})},
      {4, 1, {}, digest_of({zeros(32), hex("15040100"), kShortSerial, counter_tail, nonce})},
      {5, 0, {}, digest_of({zeros(32), hex("15050000"), kShortSerial, key_tail, nonce})},
  };
  for (const Case& item : cases) {
    Host host{memory};
    ASSERT_EQ(host.status(Opcode::Nonce, 0x03, 0, nonce), kSuccess);
    EXPECT_EQ(host.status(Opcode::GenDig, item.p1, item.p2, item.data), kSuccess);
    EXPECT_EQ(to_bytes(host.chip.temp_key().key()), item.expected) << int{item.p1};
    EXPECT_FALSE(host.chip.temp_key().gen_dig_data);
  }
  Host host{memory};
  EXPECT_EQ(host.status(Opcode::GenDig, 0x00, 1), kExecution) << "no nonce before";
}

TEST(Atecc608Write, TakesThePagesEncryptedBlock) {
  Memory memory = prepared_memory();
  set_slot_config(memory, 5, 0x4484);  // WriteConfig encrypted, WriteKey 4, secret
  const auto& wanted = vectors().at("encrypted_write");
  Bytes data = hex(wanted.at("value"));
  append(data, hex(wanted.at("mac")));
  Host host{memory};
  host.open_session();
  EXPECT_EQ(host.status(Opcode::Write, 0xC2, wanted.at("address"), data), kSuccess);
  EXPECT_EQ(to_hex(host.chip.memory().key(5)), wanted.at("plain").get<std::string>());
  EXPECT_EQ(host.status(Opcode::Write, 0xC2, wanted.at("address"), data), kExecution)
      << "TempKey is spent";
  host.open_session();
  EXPECT_EQ(host.status(Opcode::Write, 0x82, 0x28, ByteView{data}.first(32)), kExecution)
      << "clear";
  host.open_session();
  data[3] ^= 1;
  EXPECT_EQ(host.status(Opcode::Write, 0xC2, wanted.at("address"), data), kExecution);
  Host strict{memory, {.strict_rand = true}};
  data[3] ^= 1;
  strict.open_session();
  EXPECT_EQ(strict.status(Opcode::Write, 0xC2, wanted.at("address"), data), kExecution);
}

TEST(Atecc608Data, InTheClearFollowsSlotAndBlockOfThePage) {
  Host host{prepared_memory()};
  EXPECT_EQ(host.status(Opcode::Write, 0x02, 0x0243, Bytes{1, 2, 3, 4}), kSuccess);
  EXPECT_EQ(to_hex(ByteView{host.chip.memory().slots[8]}.subspan(76, 4)), "01020304");
  EXPECT_EQ(to_hex(host.send(Opcode::Read, 0x02, 0x0243)), "01020304");
  EXPECT_EQ(host.status(Opcode::Write, 0x82, data_address(10, 2), Bytes(32, 0x42)), kSuccess);
  EXPECT_EQ(to_hex(ByteView{host.chip.memory().slots[10]}.last(10)), "ffff4242424242424242");
  EXPECT_EQ(host.status(Opcode::Read, 0x82, data_address(10, 3)), kParse);
}

TEST(Atecc608Data, IsNotReadOrTouchedWhereItMustNotBe) {
  Host host{prepared_memory()};
  EXPECT_EQ(host.status(Opcode::Read, 0x82, data_address(0, 0)), kExecution) << "private";
  EXPECT_EQ(host.status(Opcode::Read, 0x82, data_address(4, 0)), kExecution) << "secret";
  EXPECT_EQ(host.status(Opcode::Write, 0x82, data_address(4, 0), Bytes(32)), kExecution) << "never";
  EXPECT_EQ(host.status(Opcode::Write, 0x82, data_address(0, 0), Bytes(32)), kExecution)
      << "private";
  EXPECT_EQ(host.status(Opcode::Lock, 0x82 | 10U << 2U, 0), kSuccess);
  EXPECT_EQ(host.status(Opcode::Write, 0x82, data_address(10, 0), Bytes(32)), kExecution)
      << "locked";
}

TEST(Atecc608Data, BeforeItsLockIsWrittenInBlocksAndNotRead) {
  Memory memory = example_memory();
  Host early{memory};
  EXPECT_EQ(early.status(Opcode::Write, 0x82, data_address(4, 0), Bytes(32, 7)), kExecution);
  memory.lock_config();
  Host host{memory};
  EXPECT_EQ(host.status(Opcode::Write, 0x02, data_address(4, 0), Bytes(4, 7)), kExecution);
  EXPECT_EQ(host.status(Opcode::Write, 0x82, data_address(4, 0), Bytes(32, 7)), kSuccess);
  EXPECT_EQ(host.status(Opcode::Read, 0x82, data_address(8, 0)), kExecution);
  EXPECT_EQ(host.status(Opcode::Read, 0x81, 0), kExecution);
}

TEST(Atecc608Data, OfASecretSlotIsReadUnderARandomSessionOnly) {
  Memory memory = prepared_memory();
  set_slot_config(memory, 9, 0x0FC4);  // secret, encrypted read with key 4
  memory.slots[9].assign(72, 0x5C);
  Host host{memory};
  host.open_session();
  EXPECT_EQ(host.status(Opcode::Read, 0x82, data_address(9, 0)), kExecution) << "fixed nonce";
  ASSERT_EQ(host.send(Opcode::Nonce, 0x00, 0, Bytes(20)).size(), 32U);
  ASSERT_EQ(host.status(Opcode::GenDig, 0x02, 4, Host::gendig_data(4)), kSuccess);
  const Bytes session = to_bytes(host.chip.temp_key().key());
  Bytes block = host.send(Opcode::Read, 0x82, data_address(9, 0));
  ASSERT_EQ(block.size(), 32U);
  for (std::size_t i = 0; i < block.size(); ++i) block[i] ^= session[i];
  EXPECT_EQ(block, Bytes(32, 0x5C));
}

TEST(Atecc608Counter, IsStoredAsThePageSays) {
  Host host{prepared_memory()};
  EXPECT_EQ(to_hex(host.send(Opcode::Counter, 0, 0)), "00000000");
  for (std::uint32_t value = 1; value <= 100; ++value) {
    Bytes expected;
    append_u32le(expected, value);
    ASSERT_EQ(host.send(Opcode::Counter, 1, 0), expected);
    ASSERT_EQ(host.send(Opcode::Counter, 0, 0), expected);
  }
  EXPECT_EQ(to_hex(host.send(Opcode::Counter, 0, 1)), "00000000");
  // 100 = 3 * 32 + 4 and 84 = 2 * 32 + 20.
  EXPECT_EQ(to_hex(ByteView{host.chip.memory().config}.subspan(52, 8)), "0fff000000030002");
}

TEST(Atecc608Counter, StopsAtItsMaximum) {
  Memory memory = prepared_memory();
  memory.set_counter(0, 2'097'150);
  Host host{memory};
  EXPECT_EQ(to_hex(host.send(Opcode::Counter, 1, 0)), "ffff1f00");
  EXPECT_EQ(host.status(Opcode::Counter, 1, 0), kExecution);
  EXPECT_EQ(to_hex(host.send(Opcode::Counter, 0, 0)), "ffff1f00");
}

TEST(Atecc608UpdateExtra, IsDoneOnceAfterTheLock) {
  Host host{prepared_memory()};
  EXPECT_EQ(host.status(Opcode::UpdateExtra, 0, 0x12), kSuccess);
  EXPECT_EQ(host.chip.memory().config[84], 0x12);
  EXPECT_EQ(host.status(Opcode::UpdateExtra, 0, 0x13), kExecution);
  EXPECT_EQ(host.status(Opcode::UpdateExtra, 2, 0), kParse);
}

TEST(Atecc608Mac, IsTheHashOfKeyChallengeAndSerial) {
  Memory memory = prepared_memory();
  memory.slots[6].assign(36, 0x66);
  Host host{memory};
  const Bytes challenge(32, 0x11);
  const Bytes expected = digest_of({Bytes(32, 0x66),
                                    challenge,
                                    hex("08400600"),
                                    zeros(11),
                                    hex("ee"
                                        "e90b2d4f"
                                        "0123"
                                        "a5c7")});
  EXPECT_EQ(host.send(Opcode::Mac, 0x40, 6, challenge), expected);
  const Bytes short_form = digest_of({Bytes(32, 0x66),
                                      challenge,
                                      hex("08000600"),
                                      zeros(11),
                                      hex("ee"),
                                      zeros(4),
                                      hex("0123"),
                                      zeros(2)});
  EXPECT_EQ(host.send(Opcode::Mac, 0x00, 6, challenge), short_form);
}

TEST(Atecc608CheckMac, AuthorisesTheKeyThatAnotherOneNeeds) {
  Memory memory = prepared_memory();
  set_key_config(memory, 0, 0x0033 | 0x0080 | 4U << 8U);  // ReqAuth by slot 4
  Host host{memory};
  host.open_session();
  ASSERT_EQ(host.priv_write(), kSuccess);
  EXPECT_EQ(host.status(Opcode::GenKey, 0, 0), kExecution);
  ASSERT_EQ(to_hex(host.chip.answer(injection("checkmac_frame"))), "04000340");
  EXPECT_EQ(host.send(Opcode::GenKey, 0, 0), injection("public_key"));
  host.chip.sleep();
  EXPECT_EQ(host.status(Opcode::GenKey, 0, 0), kExecution);
}

TEST(Atecc608DeriveKey, RollsAKeyWithTheTempKey) {
  Memory memory = prepared_memory();
  set_slot_config(memory, 7, 0x248F);  // xx1x, source is the slot itself
  memory.slots[7].assign(36, 0x70);
  Host host{memory};
  const Bytes nonce(32, 0x99);
  ASSERT_EQ(host.status(Opcode::Nonce, 0x03, 0, nonce), kSuccess);
  EXPECT_EQ(host.status(Opcode::DeriveKey, 0x00, 7), kExecution) << "the source flag is Input";
  ASSERT_EQ(host.status(Opcode::Nonce, 0x03, 0, nonce), kSuccess);
  EXPECT_EQ(host.status(Opcode::DeriveKey, 0x04, 7), kSuccess);
  EXPECT_EQ(to_bytes(host.chip.memory().key(7)),
            digest_of({Bytes(32, 0x70), hex("1c040700"), kShortSerial, zeros(25), nonce}));
  ASSERT_EQ(host.status(Opcode::Nonce, 0x03, 0, nonce), kSuccess);
  EXPECT_EQ(host.status(Opcode::DeriveKey, 0x04, 4), kExecution) << "never";
}

TEST(Atecc608Sha, HashesInPiecesAndGoesWhereItIsTold) {
  Host host{prepared_memory()};
  const Bytes first(64, 0x61);
  const Bytes last(13, 0x62);
  ASSERT_EQ(host.status(Opcode::Sha, 0, 0), kSuccess);
  ASSERT_EQ(host.status(Opcode::Sha, 1, 64, first), kSuccess);
  const Bytes digest = host.send(Opcode::Sha, 2, 13, last);
  EXPECT_EQ(digest, digest_of({first, last}));
  EXPECT_EQ(to_bytes(host.chip.temp_key().key()), digest);
  EXPECT_EQ(host.status(Opcode::Sha, 2, 0), kExecution) << "no context";
}

TEST(Atecc608Sha, GivesItsContextAwayAndTakesItBack) {
  Host host{prepared_memory()};
  const Bytes first(64, 0x61);
  const Bytes middle(20, 0x63);
  ASSERT_EQ(host.status(Opcode::Sha, 0, 0), kSuccess);
  ASSERT_EQ(host.status(Opcode::Sha, 1, 64, first), kSuccess);
  ASSERT_EQ(host.status(Opcode::Sha, 1, 20, middle), kSuccess);
  const Bytes context = host.send(Opcode::Sha, 6, 0);
  ASSERT_EQ(context.size(), 4U + 32 + 20);
  host.chip.sleep();
  ASSERT_EQ(host.status(Opcode::Sha, 7, static_cast<std::uint16_t>(context.size()), context),
            kSuccess);
  EXPECT_EQ(host.send(Opcode::Sha, 0xC2, 0), digest_of({first, middle}));
}

TEST(Atecc608Sha, MakesHmacWithASlotsKey) {
  Memory memory = prepared_memory();
  memory.slots[6].assign(36, 0x66);
  Host host{memory};
  ASSERT_EQ(host.status(Opcode::Sha, 4, 6), kSuccess);
  EXPECT_EQ(host.send(Opcode::Sha, 0xC2, 5, as_bytes("hello")),
            to_bytes(crypto::hmac_sha256(Bytes(32, 0x66), {as_bytes("hello")}).expose()));
  EXPECT_EQ(host.status(Opcode::Sha, 4, 4), kExecution) << "NoMac";
}

class Atecc608SecureBoot : public testing::Test {
 protected:
  Atecc608SecureBoot() {
    Bytes stored(4);
    append(stored, key_.public_key().point().subspan(1, 32));
    append(stored, zeros(4));
    append(stored, key_.public_key().point().subspan(33, 32));
    memory_.slots[15] = stored;
    data_ = to_bytes(digest_.bytes());
    append(data_, key_.sign_digest(digest_));
  }

  crypto::SoftKey key_ = crypto::SoftKey::generate();
  Digest digest_ = crypto::sha256(as_bytes("firmware"));
  Memory memory_ = prepared_memory();
  Bytes data_;
};

TEST_F(Atecc608SecureBoot, VerifiesAFirmwareSignature) {
  Host host{memory_};
  EXPECT_EQ(host.status(Opcode::SecureBoot, 5, 0, data_), kSuccess);
  data_[0] ^= 1;
  EXPECT_EQ(host.status(Opcode::SecureBoot, 5, 0, data_), kMiscompare);
  EXPECT_EQ(host.status(Opcode::SecureBoot, 7, 0, data_), kExecution) << "FullBoth stores nothing";
}

TEST_F(Atecc608SecureBoot, ComparesAStoredDigest) {
  memory_.config[70] = 0x03;  // FullDig
  memory_.config[71] = 0xF9;  // digest in slot 9
  Host host{memory_};
  EXPECT_EQ(host.status(Opcode::SecureBoot, 6, 0, digest_.bytes()), kMiscompare);
  EXPECT_EQ(host.status(Opcode::SecureBoot, 7, 0, data_), kSuccess);
  EXPECT_EQ(host.status(Opcode::SecureBoot, 6, 0, digest_.bytes()), kSuccess);
}

TEST_F(Atecc608SecureBoot, AnswersWithAMacUnderTheIoKey) {
  memory_.config[90] = 0x02;
  memory_.config[91] = 0x60;  // I/O protection with the key in slot 6
  memory_.slots[6].assign(36, 0x66);
  Host host{memory_};
  ASSERT_EQ(host.status(Opcode::Nonce, 0x03, 0, Bytes(32, 0x12)), kSuccess);
  const Bytes session = digest_of({Bytes(32, 0x66), Bytes(32, 0x12)});
  Bytes sent = data_;
  for (std::size_t i = 0; i < 32; ++i) sent[i] ^= session[i];
  EXPECT_EQ(host.send(Opcode::SecureBoot, 0x85, 0, sent),
            digest_of({session, digest_.bytes(), ByteView{data_}.last(64), hex("80850000")}));
}

TEST_F(Atecc608SecureBoot, IsProhibitedUntilThePowerCycleWhenAskedSo) {
  Host host{memory_};
  EXPECT_EQ(host.status(Opcode::SecureBoot, 0x45, 0, data_), kSuccess);
  host.chip.sleep();
  EXPECT_EQ(host.status(Opcode::SecureBoot, 5, 0, data_), kExecution);
  host.chip.power_off();
  EXPECT_EQ(host.status(Opcode::SecureBoot, 5, 0, data_), kSuccess);
}

TEST_F(Atecc608SecureBoot, VerifyDoesTheSameWithTheStoredAndWithAGivenKey) {
  Host host{memory_};
  const ByteView signature = ByteView{data_}.last(64);
  ASSERT_EQ(host.status(Opcode::Nonce, 0x43, 0, digest_.bytes()), kSuccess);
  EXPECT_EQ(host.status(Opcode::Verify, 0x20, 15, signature), kSuccess);
  Bytes with_key = to_bytes(signature);
  append(with_key, key_.public_key().point().subspan(1));
  EXPECT_EQ(host.status(Opcode::Verify, 0x22, 4, with_key), kSuccess);
  with_key[0] ^= 1;
  EXPECT_EQ(host.status(Opcode::Verify, 0x22, 4, with_key), kMiscompare);
  with_key[127] ^= 1;
  EXPECT_EQ(host.status(Opcode::Verify, 0x22, 4, with_key), 0x05) << "no point of the curve";
  EXPECT_EQ(host.status(Opcode::Verify, 0x20, 11, signature), 0x05) << "an empty slot is no key";
  EXPECT_EQ(host.status(Opcode::Verify, 0x20, 0, signature), kExecution) << "a private slot";
}

TEST(Atecc608GenKey, MakesKeysOnlyUntilTheSlotIsLocked) {
  Host host{prepared_memory()};
  const Bytes one = host.send(Opcode::GenKey, 0x04, 1);
  const Bytes two = host.send(Opcode::GenKey, 0x04, 1);
  ASSERT_EQ(two.size(), 64U);
  EXPECT_NE(one, two);
  EXPECT_EQ(host.status(Opcode::Lock, 0x82 | 1U << 2U, 0), kSuccess);
  EXPECT_EQ(host.status(Opcode::GenKey, 0x04, 1), kExecution);
  EXPECT_EQ(host.send(Opcode::GenKey, 0x00, 1), two);
}

TEST(Atecc608GenKey, DigestsAStoredPublicKey) {
  Host host{prepared_memory()};
  const Bytes nonce(32, 0x21);
  ASSERT_EQ(host.status(Opcode::Nonce, 0x03, 0, nonce), kSuccess);
  EXPECT_EQ(host.status(Opcode::GenKey, 0x10, 11, Bytes{0x0A, 0x0B, 0x00}), kSuccess);
  EXPECT_EQ(to_bytes(host.chip.temp_key().key()),
            digest_of({nonce, hex("400a0b00"), kShortSerial, zeros(25), Bytes(64, 0xFF)}));
  EXPECT_EQ(host.chip.temp_key().key_id, 11);
}

TEST(Atecc608SelfTest, PassesWhatItHas) {
  Host host{prepared_memory()};
  EXPECT_EQ(host.status(Opcode::SelfTest, 0x24, 0), kSuccess);
  EXPECT_EQ(host.status(Opcode::SelfTest, 0x00, 0), kParse);
}

}  // namespace
}  // namespace keyferry::vse::atecc608
