// Power, time and faults around the virtual ATECC608.
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "tests/support/temp_folder.h"
#include "tests/vse/atecc608/bus.h"
#include "tests/vse/atecc608/server.h"
#include "tests/vse/test/atecc608_host.h"
#include "wrap/base/process.h"

namespace keyferry::vse::atecc608 {
namespace {

using std::chrono::milliseconds;

class Atecc608Bus : public testing::Test {
 protected:
  Atecc608Bus() { save_memory(state(), prepared_memory()); }

  [[nodiscard]] std::filesystem::path state() const { return folder_ / "chip.state"; }

  [[nodiscard]] BusSettings settings(const std::string& faults = "") const {
    BusSettings wanted;
    wanted.state = state();
    wanted.faults = read_faults(faults, "script");
    return wanted;
  }

  [[nodiscard]] Bus make_bus(const BusSettings& wanted) {
    return Bus{wanted, random_, [this] { return now_; }};
  }

  /// Replies to the frames of the vector's injection, in order; empty for silence, "cut" for a
  /// power cut.
  static std::vector<std::string> inject(Bus& bus) {
    std::vector<std::string> replies;
    for (const char* frame : {"nonce_frame", "gendig_frame", "privwrite_frame"}) {
      const BusAnswer answer = bus.command(injection(frame));
      replies.push_back(answer.power_cut ? "cut" : to_hex(answer.reply));
      if (answer.power_cut) bus.power_off();
    }
    return replies;
  }

  [[nodiscard]] bool has_key() const {
    return to_hex(ByteView{load_memory(state())->slots[0]}.subspan(4)) == to_hex(injection("d"));
  }

  test::TempFolder folder_;
  SystemRandom random_;
  std::chrono::steady_clock::time_point now_{};
};

const std::string kOk = "04000340";
const std::string kNo = "040f2342";
const std::vector<std::string> kAllOk{kOk, kOk, kOk};

TEST_F(Atecc608Bus, HasTheKeyOnDiskWhenTheReplyLeaves) {
  Bus bus = make_bus(settings());
  EXPECT_EQ(inject(bus), kAllOk);
  EXPECT_TRUE(has_key());
  Bus after = make_bus(settings());
  EXPECT_EQ(to_hex(payload_of(after.command(command_packet(0x40, 0, 0)).reply)),
            to_hex(injection("public_key")));
}

TEST_F(Atecc608Bus, KeepsTempKeyOverIdleAndLosesItInSleep) {
  Bus bus = make_bus(settings());
  for (const char* frame : {"nonce_frame", "gendig_frame"}) {
    EXPECT_EQ(to_hex(bus.command(injection(frame)).reply), kOk);
    bus.idle();
  }
  EXPECT_TRUE(bus.chip().temp_key().valid);
  bus.sleep();
  EXPECT_EQ(to_hex(bus.command(injection("privwrite_frame")).reply), kNo);
}

TEST_F(Atecc608Bus, AfterAPowerCutBeforeTheCommandHasWrittenNothing) {
  Bus bus = make_bus(settings("cut-before PrivWrite"));
  EXPECT_EQ(inject(bus), (std::vector<std::string>{kOk, kOk, "cut"}));
  EXPECT_FALSE(has_key());
  EXPECT_EQ(inject(bus), kAllOk) << "it happens once";
}

TEST_F(Atecc608Bus, AfterAPowerCutBeforeTheReplyHasWritten) {
  Bus bus = make_bus(settings("cut-after PrivWrite"));
  EXPECT_EQ(inject(bus), (std::vector<std::string>{kOk, kOk, "cut"}));
  EXPECT_TRUE(has_key());
  EXPECT_FALSE(bus.chip().temp_key().valid);
}

TEST_F(Atecc608Bus, DropsOneReplyAndHasDoneTheCommand) {
  Bus bus = make_bus(settings("drop 3"));
  EXPECT_EQ(inject(bus), (std::vector<std::string>{kOk, kOk, ""}));
  EXPECT_TRUE(has_key());
}

TEST_F(Atecc608Bus, IsSilentUntilANackedCommandWasSentAgain) {
  Bus bus = make_bus(settings("nack Nonce 2"));
  EXPECT_EQ(to_hex(bus.command(injection("nonce_frame")).reply), "");
  EXPECT_FALSE(bus.chip().temp_key().valid);
  EXPECT_EQ(to_hex(bus.command(injection("nonce_frame")).reply), "");
  EXPECT_EQ(to_hex(bus.command(injection("nonce_frame")).reply), kOk);
}

TEST_F(Atecc608Bus, FlipsTheBitThatTheScriptNames) {
  Bus bus = make_bus(settings("flip GenDig 1 0"));
  EXPECT_EQ(inject(bus), (std::vector<std::string>{kOk, "04010340", kOk}));
}

TEST_F(Atecc608Bus, RepeatsTheReplyBeforeWhenToldSo) {
  Bus bus = make_bus(settings("previous 2"));
  const Bytes random = bus.command(command_packet(0x1B, 0, 0)).reply;
  EXPECT_EQ(bus.command(command_packet(0x30, 0, 0)).reply, random);
  EXPECT_EQ(to_hex(bus.command(command_packet(0x30, 0, 0)).reply), "070000600383bb");
}

TEST_F(Atecc608Bus, AnswersGarbageOfTheRightLength) {
  Bus bus = make_bus(settings("garbage Random"));
  const Bytes reply = bus.command(command_packet(0x1B, 0, 0)).reply;
  ASSERT_EQ(reply.size(), 35U);
  EXPECT_EQ(reply[0], 35);
  Bytes crc;
  append_u16le(crc, crc16(ByteView{reply}.first(33)));
  EXPECT_FALSE(equal(crc, ByteView{reply}.last(2)));
}

TEST_F(Atecc608Bus, IsLateByWhatTheScriptSays) {
  Bus bus = make_bus(settings("late Info 700"));
  EXPECT_EQ(bus.command(command_packet(0x30, 0, 0)).busy, milliseconds{700});
  EXPECT_EQ(bus.command(command_packet(0x30, 0, 0)).busy, milliseconds{0});
}

TEST_F(Atecc608Bus, DamagesTheShareOfPacketsThatNoiseAsksFor) {
  BusSettings wanted = settings("noise 10 7");
  Bus bus = make_bus(wanted);
  int damaged = 0;
  for (int i = 0; i < 2000; ++i)
    damaged += to_hex(bus.command(command_packet(0x30, 0, 0)).reply) != "070000600383bb" ? 1 : 0;
  EXPECT_GT(damaged, 300) << "of 2000, 10 % each way";
  EXPECT_LT(damaged, 460);
}

TEST_F(Atecc608Bus, TakesTheTablesTimes) {
  BusSettings wanted = settings();
  wanted.timing = Timing::Table;
  Bus bus = make_bus(wanted);
  EXPECT_EQ(bus.command(injection("nonce_frame")).busy, milliseconds{20});
  EXPECT_EQ(bus.command(injection("gendig_frame")).busy, milliseconds{25});
  EXPECT_EQ(bus.command(injection("privwrite_frame")).busy, milliseconds{50});
  EXPECT_EQ(execution_time(0x41, 0x28), milliseconds{220});
  EXPECT_EQ(execution_time(0x41, 0x68), milliseconds{665});
}

TEST_F(Atecc608Bus, FallsAsleepOnItsWatchdogUnlessItWasIdle) {
  BusSettings wanted = settings();
  wanted.timing = Timing::Table;
  Bus bus = make_bus(wanted);
  EXPECT_EQ(to_hex(bus.command(injection("nonce_frame")).reply), kOk);
  now_ += milliseconds{1290};
  EXPECT_EQ(to_hex(bus.command(injection("gendig_frame")).reply), "04ee3141") << "no time left";
  now_ += milliseconds{20};
  EXPECT_EQ(to_hex(bus.command(injection("gendig_frame")).reply), kNo) << "TempKey is gone";
  EXPECT_EQ(to_hex(bus.command(injection("nonce_frame")).reply), kOk);
  bus.idle();
  now_ += milliseconds{60'000};
  EXPECT_EQ(to_hex(bus.command(injection("gendig_frame")).reply), kOk);
}

TEST_F(Atecc608Bus, WithoutItsStateIsAnError) {
  BusSettings wanted = settings();
  wanted.state = folder_ / "none.state";
  EXPECT_THROW(make_bus(wanted), Error);
  write_file_durably(
      wanted.state, as_bytes("keyferry-vse-atecc608 1\nconfig 00\n"), Overwrite::Refuse);
  EXPECT_THROW(make_bus(wanted), Error);
}

TEST(Atecc608Faults, RefuseALineThatTheyDoNotKnow) {
  for (const char* line : {"drop",
                           "drop 0",
                           "drop Nonsense",
                           "flip 3 1",
                           "flip 3 1 8",
                           "explode 3",
                           "noise 101 1",
                           "nack 2",
                           "drop PrivWrite:0",
                           "drop 3 4"}) {
    EXPECT_THROW(static_cast<void>(read_faults(line, "script")), Error) << line;
  }
  EXPECT_EQ(read_faults("# nothing\n\n drop PrivWrite:2 # twice\n", "script").faults.size(), 1U);
}

class Atecc608Stream : public Atecc608Bus {
 protected:
  /// A served connection; its chip's power goes when the client hangs up.
  struct Served {
    std::jthread server;
    Fd client;  // closed first: the thread ends then
  };

  Served serve_one(Bus& bus) {
    auto [ours, theirs] = socket_pair();
    return {std::jthread{[&bus, fd = std::move(theirs)] { serve_connection(fd.get(), bus); }},
            std::move(ours)};
  }

  static void send_word(const Fd& fd, std::uint8_t word, ByteView packet = {}) {
    Bytes octets{word};
    append(octets, packet);
    write_all(fd, octets, "the chip");
  }

  static std::string receive(const Fd& fd, std::size_t size) {
    Bytes got(size);
    const ssize_t count = recv(fd.get(), got.data(), size, MSG_WAITALL);
    got.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
    return to_hex(got);
  }
};

TEST_F(Atecc608Stream, AnswersCommandsOnlyAndClosesOnAnUnknownWordAddress) {
  Bus bus = make_bus(settings());
  Served served = serve_one(bus);
  send_word(served.client, 0x00);
  send_word(served.client, 0x03, hex("0730000000035d"));
  send_word(served.client, 0x02);
  EXPECT_EQ(receive(served.client, 7), "070000600383bb");
  send_word(served.client, 0x03, Bytes{0x00});
  EXPECT_EQ(receive(served.client, 4), "04ff0142") << "a count of zero";
  send_word(served.client, 0x77);
  EXPECT_EQ(receive(served.client, 1), "") << "closed";
}

TEST_F(Atecc608Stream, LosesTempKeyWithTheConnection) {
  Bus bus = make_bus(settings());
  {
    Served served = serve_one(bus);
    send_word(served.client, 0x03, injection("nonce_frame"));
    EXPECT_EQ(receive(served.client, 4), kOk);
    EXPECT_TRUE(bus.chip().temp_key().valid);
    served.client.reset();
  }
  EXPECT_FALSE(bus.chip().temp_key().valid);
}

TEST_F(Atecc608Stream, TakesItsTime) {
  BusSettings wanted = settings();
  wanted.timing = Timing::Table;
  Bus bus = make_bus(wanted);
  Served served = serve_one(bus);
  const auto begun = std::chrono::steady_clock::now();
  send_word(served.client, 0x03, injection("checkmac_frame"));
  EXPECT_EQ(receive(served.client, 4), kOk);
  EXPECT_GE(std::chrono::steady_clock::now() - begun, milliseconds{40});
}

}  // namespace
}  // namespace keyferry::vse::atecc608
