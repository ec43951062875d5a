// A prepared ATECC608 for the station's tests: the virtual chip of tests/vse on a Unix socket, its
// cells in a file. It can be taken off power, restarted with other faults, and looked into.
#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "tests/vse/atecc608/bus.h"
#include "wrap/base/durable_file.h"
#include "wrap/base/ids.h"
#include "wrap/base/random.h"
#include "wrap/crypto/soft_key.h"
#include "wrap/se/atecc608_profile.h"

namespace keyferry::station::test {

/// The example of section 2.4 of the facts, with certificates in slots 8, 10 and 12.
[[nodiscard]] se::Atecc608Profile example_profile();

struct ChipMaking {
  se::Atecc608Profile profile = example_profile();
  bool locked = true;                               // configuration and data zones
  std::optional<crypto::PublicKey> firmware_key{};  // into the secure boot slot
  bool boot_slot_open = false;                      // which is not locked then
};

class VirtualChip {
 public:
  /// A chip as it comes from preparation; `number` makes its serial. Not on power yet.
  VirtualChip(const std::filesystem::path& folder, unsigned number, const ChipMaking& making = {});
  ~VirtualChip();
  VirtualChip(const VirtualChip&) = delete;
  VirtualChip& operator=(const VirtualChip&) = delete;

  /// On power, with these faults; again: off and on.
  void power(const vse::atecc608::FaultScript& faults = {},
             vse::atecc608::Timing timing = vse::atecc608::Timing::Instant);
  void power(const std::string& faults);
  void power_off();

  /// Its cells, from the file.
  [[nodiscard]] vse::atecc608::Memory cells() const;
  void set_cells(const vse::atecc608::Memory& cells);

  /// Reaches into the powered chip's cells before its next command.
  void alter(std::function<void(vse::atecc608::Memory&)> change);

  /// Commands that came since the last power().
  [[nodiscard]] std::uint64_t commands() const { return commands_; }

  [[nodiscard]] std::string address() const { return "unix:" + socket().string(); }

  /// The public key of what slot 0 holds; nothing when it is no key.
  [[nodiscard]] std::optional<crypto::PublicKey> held_key() const;
  [[nodiscard]] bool target_locked() const;

  SeSerial serial;
  Bytes transport_key;
  crypto::PublicKey attestation_key;

 private:
  [[nodiscard]] std::filesystem::path state() const { return folder_ / "cells"; }

  [[nodiscard]] std::filesystem::path socket() const { return folder_ / "bus"; }

  void serve(vse::atecc608::BusSettings settings);

  std::filesystem::path folder_;
  se::Atecc608Profile profile_;
  SystemRandom random_;
  Fd listener_;
  std::atomic<bool> off_ = true;
  std::atomic<int> connection_ = -1;
  std::atomic<std::uint64_t> commands_ = 0;
  std::mutex mutex_;  // of connection_'s end
  std::mutex change_mutex_;
  std::function<void(vse::atecc608::Memory&)> change_;
  std::thread thread_;
};

}  // namespace keyferry::station::test
