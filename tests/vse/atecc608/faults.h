// Things that go wrong on purpose, as a script: one a line, `#` begins a comment.
//
//   drop WHEN              the command is carried out, its reply never comes
//   nack WHEN TIMES        as a chip that does not acknowledge: this command and the next TIMES - 1
//   are neither carried
//                          out nor answered; on a stream that looks like silence until the host has
//                          sent again
//   flip WHEN OCTET BIT    one bit of the reply; octet 0 is the count, so a reader may wait for
//   more than there is garbage WHEN           a reply of the right form whose content and CRC are
//   noise late WHEN MS           the reply comes that much later previous WHEN          the reply
//   of the command before, again cut-before WHEN        power goes before the command is carried
//   out cut-after WHEN         power goes after the cells were written and before the reply noise
//   PERCENT SEED     one bit in PERCENT of the packets, both ways; the count octet is spared, since
//   a stream
//                          cannot resynchronise as an I2C bus does
//   counterfeit            every signature is noise
//
// WHEN: N, the N-th command since the program started; or NAME or NAME:K, the K-th command with
// that name (Nonce, GenDig, PrivWrite, ...). Each line but the last two happens once.
#pragma once

#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "tests/vse/atecc608/packet.h"

namespace keyferry::vse::atecc608 {

enum class FaultKind { Drop, Nack, Flip, Garbage, Late, Previous, CutBefore, CutAfter };

struct Fault {
  FaultKind kind = FaultKind::Drop;
  std::optional<Opcode> opcode;  // counts only commands with it
  std::uint32_t number = 1;
  std::uint32_t first = 0;   // TIMES, OCTET, MS
  std::uint32_t second = 0;  // BIT
};

struct FaultScript {
  std::vector<Fault> faults;
  double noise_percent = 0;
  std::uint64_t noise_seed = 0;
  bool counterfeit = false;
};

/// Error{Usage} names the line.
[[nodiscard]] FaultScript read_faults(std::string_view text, const std::string& where);

/// Nothing when no command of ours has that name; letter case counts.
[[nodiscard]] std::optional<Opcode> opcode_from_name(std::string_view name);

/// "0x55" for one that no chip knows.
[[nodiscard]] std::string opcode_name(std::uint8_t opcode);

/// Says for each command which faults are due.
class FaultClock {
 public:
  explicit FaultClock(FaultScript script);

  /// The faults of this command, in the script's order.
  [[nodiscard]] std::vector<Fault> due(std::uint8_t opcode);

  /// The packet, perhaps with one bit flipped.
  [[nodiscard]] Bytes with_noise(Bytes packet);

 private:
  struct Waiting {
    Fault fault;
    std::uint32_t left;
  };

  FaultScript script_;
  std::vector<Waiting> waiting_;
  std::mt19937_64 noise_;
};

}  // namespace keyferry::vse::atecc608
