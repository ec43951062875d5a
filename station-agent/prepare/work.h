// The preparer's journal: one durable file for each chip, in a folder for each order.
//
// Stages, and what a cut after each leaves:
//   begun      this chip was blank when we met it; configuration perhaps written, perhaps locked
//   attested   its attestation key is known; the slot perhaps locked
//   sealed     the receipt that delivers its transport key is signed and kept here; the key is
//              perhaps in the chip, the data zone perhaps locked. While the zone is open the next
//              run makes another key and another receipt
//   done       the chip has proved the key of the receipt with everything locked
//   set-aside  something was not as it must be: this chip is not used, and nobody tries again
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "wrap/base/bytes.h"
#include "wrap/base/durable_file.h"
#include "wrap/base/ids.h"

namespace keyferry::prepare {

enum class Stage { Begun = 1, Attested = 2, Sealed = 3, Done = 4, SetAside = 5 };

[[nodiscard]] std::string_view stage_name(Stage stage);

struct Work {
  Bytes serial;  // 9
  Digest plan_digest;
  Stage stage = Stage::Begun;
  Bytes attestation_key = {};  // 65, or empty
  Bytes receipt = {};          // token::SignedBytes, encoded
  Bytes challenge = {};        // 32: CheckMac of the receipt's transport key
  Bytes response = {};         // 32
  std::string reason = {};     // of set-aside

  friend bool operator==(const Work&, const Work&) = default;
};

class Journal {
 public:
  /// FOLDER/DIGEST/SERIAL.work; the folder is made.
  Journal(const std::filesystem::path& folder, const Digest& plan_digest);

  /// Error{Storage} when the file is there and is no work of this order.
  [[nodiscard]] std::optional<Work> find(ByteView serial) const;

  /// Durable when this returns.
  void save(const Work& work) const;

  /// All of them, by serial.
  [[nodiscard]] std::vector<Work> all() const;

 private:
  [[nodiscard]] std::filesystem::path file_of(ByteView serial) const;
  [[nodiscard]] Work read(const std::filesystem::path& file) const;

  std::filesystem::path folder_;
  Digest plan_digest_;
};

}  // namespace keyferry::prepare
