// Every public key and certificate serial that was ever made here: none is taken twice (I2). Two large tables, and
// before them one run for each segment until there are many (0005_seen_run.sql).
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "wrap/base/bytes.h"
#include "wrap/store/database.h"

namespace keyferry::appliance {

/// Leading octets of the SHA-256 of a 65-octet point; a certificate serial.
using SeenId = std::array<std::uint8_t, 16>;

[[nodiscard]] SeenId seen_public_key(ByteView point);

/// Thrown for a value that was there before; its text names the table.
struct SeenBefore {
  std::string table;
};

class SeenValues {
 public:
  /// Reads the runs: 32 octets of memory for each of at most about 150,000 records.
  explicit SeenValues(store::Database& database);

  /// As many of the one as of the other, at least one; inside the caller's transaction. SeenBefore for a value that a
  /// table, a run or the values themselves hold twice. Whoever rolls the transaction back drops this object.
  void add(std::vector<SeenId> public_keys, std::vector<SeenId> serials);

 private:
  void move_runs();

  store::Database& database_;
  std::vector<SeenId> public_keys_;  // of all runs, sorted
  std::vector<SeenId> serials_;
};

}  // namespace keyferry::appliance
