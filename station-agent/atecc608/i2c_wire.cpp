#include "station-agent/atecc608/i2c_wire.h"

#include <fcntl.h>
#include <linux/i2c-dev.h>
#include <linux/i2c.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <thread>
#include <utility>

#include "station-agent/atecc608/packet.h"
#include "wrap/base/durable_file.h"

namespace keyferry::atecc608 {
namespace {

constexpr std::chrono::microseconds kWakeDelay{1500};  // facts, section 1.4
constexpr int kWakeTries = 4;
/// Some parts send these after waking when the self-test failed: an answer too.
constexpr std::array<std::uint8_t, 4> kWakeReply{0x04, 0x11, 0x33, 0x43};

class LinuxI2cBus final : public I2cBus {
 public:
  explicit LinuxI2cBus(const std::string& device)
      : name_{device}, fd_{open(device.c_str(), O_RDWR | O_CLOEXEC)} {
    if (!fd_.valid()) throw station::ChipLost{"no I2C bus " + device + ": " + std::strerror(errno)};
  }

  bool write(std::uint8_t address, ByteView octets) override {
    Bytes copy = to_bytes(octets);
    const Wiped wiped{copy};
    return transfer(address, 0, copy);
  }

  std::optional<Bytes> read(std::uint8_t address, std::size_t size) override {
    Bytes octets(size);
    if (!transfer(address, I2C_M_RD, octets)) return std::nullopt;
    return octets;
  }

  void pause(std::chrono::microseconds time) override { std::this_thread::sleep_for(time); }

 private:
  bool transfer(std::uint8_t address, std::uint16_t flags, Bytes& octets) const {
    i2c_msg message{address, flags, static_cast<std::uint16_t>(octets.size()), octets.data()};
    i2c_rdwr_ioctl_data transfer{&message, 1};
    if (ioctl(fd_.get(), I2C_RDWR, &transfer) == 1) return true;
    // Not acknowledged, in the words of the various adapters' drivers
    // (Documentation/i2c/fault-codes).
    if (errno == ENXIO || errno == EREMOTEIO || errno == EIO || errno == EAGAIN ||
        errno == ETIMEDOUT) {
      return false;
    }
    throw station::ChipLost{"the I2C bus " + name_ + " is gone: " + std::strerror(errno)};
  }

  std::string name_;
  Fd fd_;
};

}  // namespace

std::unique_ptr<I2cBus> open_i2c_bus(const std::string& device) {
  return std::make_unique<LinuxI2cBus>(device);
}

I2cWire::I2cWire(std::unique_ptr<I2cBus> bus, std::uint8_t address)
    : bus_{std::move(bus)}, address_{address} {}

bool I2cWire::word(std::uint8_t address) const {
  const std::array<std::uint8_t, 1> octet{address};
  return bus_->write(address_, octet);
}

bool I2cWire::wake() {
  for (int tries = 0; tries < kWakeTries; ++tries) {
    const std::array<std::uint8_t, 1> low{0};
    static_cast<void>(bus_->write(0, low));  // nobody acknowledges it
    bus_->pause(kWakeDelay);
    const auto reply = bus_->read(address_, kWakeReply.size());
    if (reply && equal(*reply, kWakeReply)) return true;
    // An awake chip answers with what it said last, or with nothing: put it into a known state.
    static_cast<void>(word(kWordIdle));
  }
  return false;
}

void I2cWire::idle() {
  static_cast<void>(word(kWordIdle));
}

void I2cWire::sleep() {
  static_cast<void>(word(kWordSleep));
}

bool I2cWire::send(ByteView packet) {
  Bytes octets(1 + packet.size(), kWordCommand);
  std::ranges::copy(packet, octets.begin() + 1);
  const Wiped wiped{octets};
  return bus_->write(address_, octets);
}

std::optional<Bytes> I2cWire::receive(Millis limit) {
  // A bus that is held low takes an adapter's own time for each try: the clock counts too.
  const auto end = std::chrono::steady_clock::now() + 2 * limit;
  bus_->pause(kFirstPoll);
  for (Millis waited = kFirstPoll; waited <= limit && std::chrono::steady_clock::now() < end;
       waited += kNextPoll) {
    const auto count = bus_->read(address_, 1);
    if (count) return read_packet(count->front());
    bus_->pause(kNextPoll);
  }
  return std::nullopt;
}

/// The whole packet from its first octet on: reading begins there again after the counter's reset.
std::optional<Bytes> I2cWire::read_packet(std::uint8_t count) const {
  if (count < kMinResponseBytes || count > kMaxResponseBytes) return Bytes{count};
  if (!word(kWordReset)) return Bytes{count};
  const auto packet = bus_->read(address_, count);
  return packet ? packet : Bytes{count};
}

std::optional<Bytes> I2cWire::receive_again() {
  if (!word(kWordReset)) return std::nullopt;
  const auto count = bus_->read(address_, 1);
  if (!count) return std::nullopt;
  return read_packet(count->front());
}

}  // namespace keyferry::atecc608
