// The end-to-end side of a benchmark: a real appliance in a folder of its own, worked through its
// command line.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace keyferry::bench {

class ApplianceLine {
 public:
  /// `folder`: empty, on the disk that is to be measured. workers: key workers of the gate.
  ApplianceLine(std::filesystem::path folder, unsigned workers);

  /// HSM, officer, CA, master, source, and an enrolled station that batches are for.
  void set_up();

  /// Inventory rows of `count` SEs that do not exist, imported, planned, approved. The plan's file.
  [[nodiscard]] std::filesystem::path prepare_batch(std::uint32_t number, std::uint32_t count);

  /// Seconds from the start of `keyferry-appliance plan run` to its end: gate and worker are
  /// started, the batch is made, sealed, durable, and logged. Error{Refused} when it did not seal
  /// `count` keys.
  [[nodiscard]] double run_batch(const std::filesystem::path& plan, std::uint32_t count) const;

 private:
  enum class As { Nobody, Officer };

  std::string appliance(std::vector<std::string> arguments, As who) const;
  std::string station(std::vector<std::string> arguments) const;

  std::filesystem::path folder_;
  unsigned workers_;
};

/// Runs a program of ours to its end; what it wrote on stdout. `secret`: a file that it gets as
/// descriptor 3, or empty. Error{Refused} when it ends with another status than 0.
[[nodiscard]] std::string run_program(
    const std::string& name,
    const std::vector<std::string>& arguments,
    const std::filesystem::path& secret,
    const std::vector<std::pair<std::string, std::string>>& environment = {});

/// A new PIN or passphrase in a file of mode 0600.
void write_random_secret(const std::filesystem::path& file);

}  // namespace keyferry::bench
