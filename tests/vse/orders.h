// What keyferry-vse is asked to do, apart from its command line.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "tests/vse/lists.h"
#include "tests/vse/secure_room.h"
#include "wrap/base/error.h"
#include "wrap/base/random.h"

namespace keyferry::vse {

/// Options of the commands; each uses its own part.
struct Options {
  std::uint32_t count = 0;
  std::uint32_t first = 0;
  std::filesystem::path inventory;
  std::string master;
  std::string part;
  std::string lot = "LOT-1";
  std::string key_name = "dac";
  std::string device_serial_prefix = "DEV-";
  bool bind_at_line = false;
  bool json = false;
  // make
  std::filesystem::path folder;
  std::filesystem::path lanes;
  std::filesystem::path gate_settings;
  std::string transport = "derived";
  std::filesystem::path vendor_keys;
  std::filesystem::path module;
  std::optional<int> pin_fd;
  std::uint32_t lane_count = 1;
  unsigned parallel = 0;
  // make-one
  std::string label;
  // atecc608
  std::filesystem::path config;
  std::filesystem::path state;
  std::filesystem::path socket;
  std::optional<std::uint16_t> port;
  std::string timing = "instant";
  bool strict_rand = false;
  std::filesystem::path faults_file;
  std::vector<std::string> faults;
  bool blank = false;
  unsigned transport_slot = 4;
  std::optional<unsigned> attestation_slot;
  std::filesystem::path secure_boot_key;
};

// orders.cpp: shared by the families

/// Error{Usage} with `what` unless `right`.
void check(bool right, const std::string& what);

/// Texts that stand in an inventory.
void check_texts(const Options& options);

/// Empty without a prefix.
[[nodiscard]] std::string device_serial(const Options& options, std::uint32_t number);

[[nodiscard]] InventoryRow row_of(const Options& options,
                                  const std::string& family,
                                  Bytes serial,
                                  std::uint32_t number);

/// The room that --transport asks for. `random` must outlive it.
[[nodiscard]] std::unique_ptr<KeyRoom> open_room(const Options& options,
                                                 const std::string& family,
                                                 RandomSource& random);

/// Keeps what the room has to keep.
void close_room(const KeyRoom& room);

/// The result of a `make` on stdout.
void print_made(const Options& options, std::uint32_t made, std::uint32_t kept);

/// A line on stderr every two seconds and at the end.
class Progress {
 public:
  explicit Progress(std::uint32_t total) : total_{total} {}

  void at(std::uint32_t ready);

 private:
  std::uint32_t total_;
  std::chrono::steady_clock::time_point shown_ = std::chrono::steady_clock::now();
};

// One function for each command; the exit status.
int make_pkcs11(const Options& options);
int inventory_only(const Options& options);
int make_one_pkcs11(const Options& options);
int make_atecc608(const Options& options);
int serve_atecc608(const Options& options);

}  // namespace keyferry::vse
