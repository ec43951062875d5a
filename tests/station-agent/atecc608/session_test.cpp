// The session over a scripted wire: what is said again, what is asked first, and when it gives up.
#include "station-agent/atecc608/session.h"

#include <gtest/gtest.h>

#include <deque>

namespace keyferry::atecc608 {
namespace {

const Bytes kRevision{0x00, 0x00, 0x60, 0x03};

/// A response packet around `payload`.
Bytes packet(ByteView payload) {
  Bytes octets{static_cast<std::uint8_t>(payload.size() + 3)};
  append(octets, payload);
  const std::uint16_t crc = crc16(octets);
  octets.push_back(static_cast<std::uint8_t>(crc & 0xFFU));
  octets.push_back(static_cast<std::uint8_t>(crc >> 8U));
  return octets;
}

Bytes packet(Status status) {
  const auto octet = static_cast<std::uint8_t>(status);
  return packet(ByteView{&octet, 1});
}

Bytes damaged(Bytes octets) {
  octets.back() ^= 1U;
  return octets;
}

const std::optional<Bytes> kSilence = std::nullopt;

/// What happened on the bus, one letter each: W wake, I idle, S sleep, and a command's opcode in
/// hex.
struct Script {
  std::deque<std::optional<Bytes>> responses;
  std::deque<std::optional<Bytes>> again;
  std::deque<bool> wakes;
  std::string log;
};

class ScriptedWire final : public Wire {
  /// The first one goes at the end of the scope.
  struct Taken {
    std::deque<std::optional<Bytes>>& from;

    ~Taken() { from.pop_front(); }
  };

 public:
  explicit ScriptedWire(Script& script) : script_{script} {}

  bool wake() override {
    script_.log += "W ";
    if (script_.wakes.empty()) return true;
    const bool awake = script_.wakes.front();
    script_.wakes.pop_front();
    return awake;
  }

  void idle() override { script_.log += "I "; }

  void sleep() override { script_.log += "S "; }

  bool send(ByteView octets) override {
    script_.log += to_hex(octets.subspan(1, 1)) + " ";
    return true;
  }

  std::optional<Bytes> receive(Millis) override {
    if (script_.responses.empty()) throw station::ChipLost{"the script is over"};
    const Taken taken{script_.responses};
    return script_.responses.front();
  }

  std::optional<Bytes> receive_again() override {
    if (script_.again.empty()) return std::nullopt;
    const Taken taken{script_.again};
    return script_.again.front();
  }

 private:
  Script& script_;
};

class SessionTest : public testing::Test {
 protected:
  std::unique_ptr<Session> session(SessionSettings settings = {}) {
    return std::make_unique<Session>(std::make_unique<ScriptedWire>(script_), settings);
  }

  void answers(std::initializer_list<std::optional<Bytes>> responses) {
    script_.responses.assign(responses);
  }

  static PrivWriteSteps steps() { return {4, 0, Bytes(32, 1), Bytes(36, 2), Bytes(32, 3)}; }

  Script script_;
};

TEST_F(SessionTest, WakesOnceAndSleepsAtTheEnd) {
  answers({packet(kRevision), packet(kRevision)});
  {
    auto chip = session();
    EXPECT_EQ(std::get<Bytes>(chip->revision()), kRevision);
    EXPECT_EQ(std::get<Bytes>(chip->revision()), kRevision);
  }
  EXPECT_EQ(script_.log, "W 30 30 S ");
}

TEST_F(SessionTest, IdlesAndWakesBeforeTheWatchdogWouldTakeTempKey) {
  answers({packet(kRevision), packet(kRevision)});
  auto chip = session({.awake_budget = Millis{0}});
  static_cast<void>(chip->revision());
  static_cast<void>(chip->revision());
  EXPECT_EQ(script_.log, "W 30 I W 30 ");
}

TEST_F(SessionTest, WakesAgainWhenTheChipDoesNotAnswerToWaking) {
  answers({packet(kRevision)});
  script_.wakes = {false, false, true};
  auto chip = session();
  EXPECT_EQ(std::get<Bytes>(chip->revision()), kRevision);
  EXPECT_EQ(script_.log, "W W W 30 ");
}

TEST_F(SessionTest, SaysAgainWhatTheChipReceivedDamaged) {
  answers({packet(Status::Communication), packet(kRevision)});
  EXPECT_EQ(std::get<Bytes>(session()->revision()), kRevision);
}

TEST_F(SessionTest, SaysAgainWhatCameBackDamaged) {
  answers({damaged(packet(kRevision)), packet(kRevision)});
  auto chip = session();
  EXPECT_EQ(std::get<Bytes>(chip->revision()), kRevision);
  EXPECT_EQ(chip->counts().repeated, 1U);
}

TEST_F(SessionTest, ReadsTheSameResponseAgainWhereTheBusCan) {
  answers({damaged(packet(kRevision))});
  script_.again = {packet(kRevision)};
  auto chip = session();
  EXPECT_EQ(std::get<Bytes>(chip->revision()), kRevision);
  EXPECT_EQ(chip->counts().commands, 1U) << "nothing was said again";
}

TEST_F(SessionTest, IdlesWhenTheChipSaysThatItsWatchdogIsNear) {
  answers({packet(Status::WatchdogSoon), packet(kRevision)});
  EXPECT_EQ(std::get<Bytes>(session()->revision()), kRevision);
  EXPECT_EQ(script_.log, "W 30 I W 30 S ");
}

TEST_F(SessionTest, DoesNotRepeatARefusal) {
  answers({packet(Status::ExecutionError)});
  EXPECT_EQ(std::get<Status>(session()->public_key(0)), Status::ExecutionError);
}

TEST_F(SessionTest, LosesAChipThatStaysGarbled) {
  auto chip = session({.tries = 3});
  answers({damaged(packet(kRevision)), damaged(packet(kRevision)), damaged(packet(kRevision))});
  EXPECT_THROW(static_cast<void>(chip->revision()), station::ChipLost);
}

TEST_F(SessionTest, LosesAChipThatStaysSilent) {
  answers({kSilence, kSilence, kSilence, kSilence, kSilence});
  EXPECT_THROW(static_cast<void>(session()->revision()), station::ChipLost);
}

TEST_F(SessionTest, TakesNoLateAnswerForAnother) {
  const Bytes word(4, 0x77);
  answers({kSilence,                 // to Read
           packet(Bytes(32, 0x11)),  // before the answer to Info: one to something older
           packet(kRevision),        // to Info
           kSilence,                 // nothing more
           packet(word)});           // to Read, said again
  EXPECT_EQ(std::get<Bytes>(session()->read_config_word(88)), word);
  EXPECT_EQ(script_.log, "W 02 W 30 02 S ");
}

TEST_F(SessionTest, TakesNoLateAnswerOfTheSameSizeForAnother) {
  const Bytes late(4, 0x55);
  const Bytes word(4, 0x77);
  answers({kSilence, packet(late), packet(kRevision), packet(kRevision), kSilence, packet(word)});
  EXPECT_EQ(std::get<Bytes>(session()->read_config_word(88)), word)
      << "an answer to Info is not taken for a lock word either";
}

TEST_F(SessionTest, TakesNoAnswerOfAnotherSize) {
  answers(
      {packet(kRevision), packet(Bytes(64, 9)), packet(kRevision), kSilence, packet(Bytes(64, 5))});
  EXPECT_EQ(std::get<Bytes>(session()->public_key(0)), Bytes(64, 5))
      << "the one before it was late";
}

TEST_F(SessionTest, BeginsASequenceAgainFromItsNonce) {
  answers({packet(Status::Success),
           damaged(packet(Bytes(64, 5))),
           packet(Status::Success),
           packet(Bytes(64, 6))});
  EXPECT_EQ(std::get<Bytes>(session()->sign_digest(0, Bytes(32))), Bytes(64, 6));
  EXPECT_EQ(script_.log, "W 16 41 16 41 S ");
}

TEST_F(SessionTest, PrivWriteBeginsAgainWhileNothingIsWritten) {
  answers({packet(Status::Success),
           damaged(packet(Status::Success)),
           packet(Status::Success),
           packet(Status::Success),
           packet(Status::Success)});
  const auto result = session()->priv_write(steps());
  EXPECT_EQ(std::get<Status>(result), Status::Success);
  EXPECT_EQ(script_.log, "W 16 15 16 15 46 S ");
}

TEST_F(SessionTest, PrivWriteIsNotSaidAgainWhenItsAnswerIsLost) {
  answers({packet(Status::Success), packet(Status::Success), damaged(packet(Status::Success))});
  const auto result = session()->priv_write(steps());
  EXPECT_TRUE(std::holds_alternative<Unanswered>(result));
  EXPECT_EQ(script_.log, "W 16 15 46 S ");
}

TEST_F(SessionTest, PrivWriteIsSaidAgainWhenTheChipReceivedItDamaged) {
  answers({packet(Status::Success),
           packet(Status::Success),
           packet(Status::Communication),
           packet(Status::Success)});
  EXPECT_EQ(std::get<Status>(session()->priv_write(steps())), Status::Success);
  EXPECT_EQ(script_.log, "W 16 15 46 46 S ");
}

TEST_F(SessionTest, PrivWriteIsSaidAgainWhenTheWatchdogWasQuicker) {
  answers({packet(Status::Success),
           packet(Status::Success),
           packet(Status::ExecutionError),
           packet(Status::Success),
           packet(Status::Success),
           packet(Status::Success)});
  auto chip = session({.awake_budget = Millis{0}, .watchdog = Millis{0}});
  EXPECT_EQ(std::get<Status>(chip->priv_write(steps())), Status::Success);
}

TEST_F(SessionTest, PrivWriteThatIsRefusedInTimeIsNotSaidAgain) {
  answers({packet(Status::Success), packet(Status::Success), packet(Status::ExecutionError)});
  EXPECT_EQ(std::get<Status>(session()->priv_write(steps())), Status::ExecutionError);
}

TEST_F(SessionTest, ALostAnswerToLockIsDecidedByReadingTheLockBack) {
  answers({damaged(packet(Status::Success)), packet(Bytes{0xFE, 0xFF, 0, 0})});
  EXPECT_EQ(session()->lock_slot(0), Status::Success);
  EXPECT_EQ(script_.log, "W 17 02 S ");
}

TEST_F(SessionTest, ASuccessOfLockThatIsNoLockIsNone) {
  answers({packet(Status::Success), packet(Bytes{0xFF, 0xFF, 0, 0})});
  EXPECT_EQ(session()->lock_slot(0), Status::ExecutionError);
}

TEST_F(SessionTest, AKeyIsNotMadeTwice) {
  answers({damaged(packet(Bytes(64)))});
  EXPECT_TRUE(std::holds_alternative<Unanswered>(session()->make_key(1)));
  EXPECT_EQ(script_.log, "W 40 S ");
}

TEST(Addresses, AreTheWorkedOnesOfThePage) {
  EXPECT_EQ(data_address(8, 2) | 3, 0x0243);
  EXPECT_EQ(data_address(5, 0), 0x0028);
  EXPECT_EQ(config_address(88), 2 << 3 | 6);
}

struct AddressCase {
  const char* text;
  bool sound;
};

class ChipAddressText : public testing::TestWithParam<AddressCase> {};

TEST_P(ChipAddressText, IsTakenOrRefused) {
  const auto parsed = parse_chip_address(GetParam().text);
  const auto* address = std::get_if<ChipAddress>(&parsed);
  ASSERT_EQ(address != nullptr, GetParam().sound) << GetParam().text;
  if (address != nullptr) {
    EXPECT_EQ(to_string(*address), GetParam().text);
  }
}

INSTANTIATE_TEST_SUITE_P(Forms,
                         ChipAddressText,
                         testing::Values(AddressCase{"unix:/run/chip", true},
                                         AddressCase{"tcp:127.0.0.1:4711", true},
                                         AddressCase{"i2c:/dev/i2c-1:0x60", true},
                                         AddressCase{"unix:chip", false},
                                         AddressCase{"tcp:localhost:1", false},
                                         AddressCase{"tcp:127.0.0.1:0", false},
                                         AddressCase{"tcp:127.0.0.1:70000", false},
                                         AddressCase{"i2c:/dev/i2c-1:60", false},
                                         AddressCase{"i2c:/dev/i2c-1:0x78", false},
                                         AddressCase{"i2c:/dev/null:0x60", false},
                                         AddressCase{"usb:1", false}));

}  // namespace
}  // namespace keyferry::atecc608
