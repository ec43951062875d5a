// The I2C wire over a bus of our own making: waking, polling while the chip does not acknowledge,
// and the order of octets.
#include "station-agent/atecc608/i2c_wire.h"

#include <gtest/gtest.h>

namespace keyferry::atecc608 {
namespace {

constexpr std::uint8_t kAddress = 0x60;

/// A chip on the bus as sections 1.3 and 1.4 of the facts tell it.
struct BusChip {
  Bytes response;
  std::size_t next = 0;  // the address counter
  int busy_reads = 0;
  int deaf_wakes = 0;
  bool awake = false;
  std::vector<Bytes> written;
  std::chrono::microseconds paused{0};
};

class FakeBus final : public I2cBus {
 public:
  explicit FakeBus(BusChip& chip) : chip_{chip} {}

  bool write(std::uint8_t address, ByteView octets) override {
    if (address == 0) {
      if (chip_.deaf_wakes-- > 0) return false;
      chip_.awake = true;
      chip_.response = {0x04, 0x11, 0x33, 0x43};
      chip_.next = 0;
      return false;
    }
    if (address != kAddress || !chip_.awake) return false;
    chip_.written.push_back(to_bytes(octets));
    if (octets[0] == kWordReset) chip_.next = 0;
    if (octets[0] == kWordIdle || octets[0] == kWordSleep) chip_.awake = false;
    return true;
  }

  std::optional<Bytes> read(std::uint8_t address, std::size_t size) override {
    if (address != kAddress || !chip_.awake) return std::nullopt;
    if (chip_.busy_reads-- > 0) return std::nullopt;
    Bytes octets;
    while (octets.size() < size)
      octets.push_back(chip_.next < chip_.response.size() ? chip_.response[chip_.next++] : 0xFF);
    return octets;
  }

  void pause(std::chrono::microseconds time) override { chip_.paused += time; }

 private:
  BusChip& chip_;
};

class I2cWireTest : public testing::Test {
 protected:
  BusChip chip_;
  I2cWire wire_{std::make_unique<FakeBus>(chip_), kAddress};
};

TEST_F(I2cWireTest, WakesByAddressZeroAndWaits) {
  EXPECT_TRUE(wire_.wake());
  EXPECT_GE(chip_.paused, std::chrono::microseconds{1500});
}

TEST_F(I2cWireTest, WakesAgainWhenNobodyAnswered) {
  chip_.deaf_wakes = 2;
  EXPECT_TRUE(wire_.wake());
}

TEST_F(I2cWireTest, SaysWhenNobodyWakes) {
  chip_.deaf_wakes = 100;
  EXPECT_FALSE(wire_.wake());
}

TEST_F(I2cWireTest, SendsAPacketBehindItsWordAddress) {
  ASSERT_TRUE(wire_.wake());
  const Bytes packet{0x07, 0x30, 0, 0, 0, 0x03, 0x5D};
  ASSERT_TRUE(wire_.send(packet));
  EXPECT_EQ(to_hex(chip_.written.back()), "030730000000035d");
}

TEST_F(I2cWireTest, PollsAfterOneMillisecondAndThenEachTwo) {
  ASSERT_TRUE(wire_.wake());
  chip_.response = {0x04, 0x00, 0x03, 0x40};
  chip_.next = 0;
  chip_.busy_reads = 3;
  chip_.paused = {};
  EXPECT_EQ(wire_.receive(kGiveUp), (Bytes{0x04, 0x00, 0x03, 0x40}));
  EXPECT_EQ(chip_.paused, std::chrono::milliseconds{1 + 3 * 2});
}

TEST_F(I2cWireTest, GivesUpAfterItsLimit) {
  ASSERT_TRUE(wire_.wake());
  chip_.busy_reads = 1'000'000;
  chip_.paused = {};
  EXPECT_FALSE(wire_.receive(kGiveUp));
  EXPECT_GE(chip_.paused, kGiveUp);
  EXPECT_LE(chip_.paused, kGiveUp + std::chrono::milliseconds{10});
}

TEST_F(I2cWireTest, ReadsAResponseOnceMore) {
  ASSERT_TRUE(wire_.wake());
  chip_.response = {0x04, 0x00, 0x03, 0x40};
  chip_.next = 0;
  ASSERT_TRUE(wire_.receive(kGiveUp));
  EXPECT_EQ(wire_.receive_again(), (Bytes{0x04, 0x00, 0x03, 0x40}));
}

TEST_F(I2cWireTest, TakesACountThatNoResponseHasAsDamage) {
  ASSERT_TRUE(wire_.wake());
  chip_.response = {0xFF};
  chip_.next = 0;
  EXPECT_EQ(wire_.receive(kGiveUp), Bytes{0xFF});
}

TEST(I2cBusTest, IsLostWhenThereIsNone) {
  EXPECT_THROW(static_cast<void>(open_i2c_bus("/dev/i2c-none")), station::ChipLost);
}

}  // namespace
}  // namespace keyferry::atecc608
