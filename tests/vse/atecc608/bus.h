// A chip on its powered bus: execution times, watchdog, faults, and the cells on disk before any
// reply leaves (facts: se/atecc608.md, sections 1.4 to 1.6).
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <optional>

#include "tests/vse/atecc608/chip.h"
#include "tests/vse/atecc608/faults.h"

namespace keyferry::vse::atecc608 {

enum class Timing { Instant, Table };

struct BusSettings {
  std::filesystem::path state;
  Timing timing = Timing::Instant;
  bool strict_rand = false;
  FaultScript faults;
  std::function<void(Memory&)> before_command = {};  // somebody reaches into the silicon
};

/// What the host gets for a command.
struct BusAnswer {
  Bytes reply;                        // empty: silence
  std::chrono::milliseconds busy{0};  // nothing is answered before
  bool power_cut = false;             // the connection ends here
};

class Bus {
 public:
  using Now = std::function<std::chrono::steady_clock::time_point()>;

  /// The state file must be there. Error{Storage} otherwise.
  Bus(const BusSettings& settings, RandomSource& random, Now now = std::chrono::steady_clock::now);

  /// `packet`: count to CRC as it came.
  [[nodiscard]] BusAnswer command(ByteView packet);

  void idle();
  void sleep();
  void power_off();

  [[nodiscard]] const Chip& chip() const { return chip_; }

  [[nodiscard]] std::uint64_t commands() const { return commands_; }

 private:
  [[nodiscard]] bool awake_in_time(std::uint8_t opcode);
  [[nodiscard]] Bytes carry_out(ByteView packet);
  void apply(const Fault& fault, BusAnswer& answer, const Bytes& before);

  BusSettings settings_;
  RandomSource& random_;
  Now now_;
  Chip chip_;
  FaultClock faults_;
  std::optional<std::chrono::steady_clock::time_point> awake_since_;
  std::uint32_t nacks_left_ = 0;
  std::uint64_t commands_ = 0;
  Bytes last_reply_;
};

/// Section 1.5: the maxima of the vendor's library; zero for a command that is not in its table.
[[nodiscard]] std::chrono::milliseconds execution_time(std::uint8_t opcode, std::uint8_t chip_mode);

}  // namespace keyferry::vse::atecc608
