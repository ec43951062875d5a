// One SoftHSM store that plays one SE: its folder, and how it is made.
//
//   se-00000/softhsm2.conf    value for SOFTHSM2_CONF of whoever speaks to this SE
//   se-00000/tokens/          SoftHSM's own
//   se-00000/pin              the user PIN: random, one line, mode 0600; the SO PIN was random too
//   and nobody has it se-00000/chip.toml        written last, when everything else is on the disk:
//   the chip is ready
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "wrap/base/random.h"
#include "wrap/base/secret_bytes.h"

namespace keyferry::vse {

/// What chip.toml says: all of it public.
struct ChipFacts {
  std::string label;
  Bytes serial;  // normal form
  std::string master;
  std::string part;
  std::string key_name;
  Bytes check_value;  // of the transport key (secure_room.h)

  friend bool operator==(const ChipFacts&, const ChipFacts&) = default;
};

class ChipStore {
 public:
  /// se-NNNNN below `folder`. Nothing is touched.
  ChipStore(const std::filesystem::path& folder, std::uint32_t number);
  /// The store in `path` itself.
  explicit ChipStore(std::filesystem::path path);

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

  [[nodiscard]] std::filesystem::path config() const { return path_ / "softhsm2.conf"; }

  [[nodiscard]] std::filesystem::path tokens() const { return path_ / "tokens"; }

  [[nodiscard]] std::filesystem::path pin() const { return path_ / "pin"; }

  [[nodiscard]] std::filesystem::path marker() const { return path_ / "chip.toml"; }

  /// Nothing when there is no finished store; Error{Storage} when chip.toml is there and what it
  /// stands for is not.
  [[nodiscard]] std::optional<ChipFacts> facts() const;

  /// An empty store with its configuration, in place of what a cut-off run left. Error{Refused}
  /// when a finished store is there, or a file that no store of ours has.
  void begin() const;

  /// Syncs the store, then writes chip.toml.
  void finish(const ChipFacts& facts) const;

 private:
  std::filesystem::path path_;
};

/// What the table in the secure room gives to a chip that told its serial (normal form): the
/// transport key.
using KeyForSerial = std::function<SecretBytes(const Bytes& serial)>;

/// Makes the whole store, in this process and once in it (SoftHSM reads its configuration once):
/// token, PINs, transport key, the abuses tried, chip.toml. `facts`: serial and check value are
/// filled in. Error{Refused} when the module lets an abuse through; the sentences are in its text.
void make_chip(const ChipStore& store,
               const std::filesystem::path& module,
               ChipFacts facts,
               RandomSource& random,
               const KeyForSerial& key_for_serial);

}  // namespace keyferry::vse
