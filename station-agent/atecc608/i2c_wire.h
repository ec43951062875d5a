// A chip on an I2C bus (sections 1.3 and 1.4 of the facts). Waking is a write to address 0, whose
// low data line is long enough at 100 kHz and below; the chip does not acknowledge it, nor anything
// while it is busy.
#pragma once

#include <memory>

#include "station-agent/atecc608/wire.h"

namespace keyferry::atecc608 {

/// The bus as such, so that a test can stand in for it.
class I2cBus {
 public:
  virtual ~I2cBus() = default;

  /// False: not acknowledged. Throws station::ChipLost when the adapter is gone.
  [[nodiscard]] virtual bool write(std::uint8_t address, ByteView octets) = 0;
  /// Exactly `size` octets; nothing when the address was not acknowledged.
  [[nodiscard]] virtual std::optional<Bytes> read(std::uint8_t address, std::size_t size) = 0;
  virtual void pause(std::chrono::microseconds time) = 0;

 protected:
  I2cBus() = default;
  I2cBus(const I2cBus&) = default;
  I2cBus& operator=(const I2cBus&) = default;
};

/// /dev/i2c-N by I2C_RDWR (linux/i2c-dev.h).
[[nodiscard]] std::unique_ptr<I2cBus> open_i2c_bus(const std::string& device);

class I2cWire final : public Wire {
 public:
  I2cWire(std::unique_ptr<I2cBus> bus, std::uint8_t address);

  [[nodiscard]] bool wake() override;
  void idle() override;
  void sleep() override;
  [[nodiscard]] bool send(ByteView packet) override;
  [[nodiscard]] std::optional<Bytes> receive(Millis limit) override;
  [[nodiscard]] std::optional<Bytes> receive_again() override;

 private:
  [[nodiscard]] bool word(std::uint8_t address) const;
  [[nodiscard]] std::optional<Bytes> read_packet(std::uint8_t count) const;

  std::unique_ptr<I2cBus> bus_;
  std::uint8_t address_;
};

}  // namespace keyferry::atecc608
