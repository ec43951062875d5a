// gate.toml: which HSM, how its module is started, and what the gate insists on. It lies beside the HSM's store.
#pragma once

#include <chrono>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "appliance/plan/plan.h"
#include "wrap/base/bytes.h"

namespace keyferry::appliance {

/// [gate] seccomp = "strict", "network-module", "off": the system call filter of gate and workers (seccomp.h).
enum class SystemCallFilter { Strict, NetworkModule, Off };

/// [hsm] pin: "typed" (a descriptor, pin-source=file:, the terminal) or "shares" (random, M of N custodians bring it).
enum class PinSource { Typed, Shares };

struct GateSettings {
  std::string uri;                                   // RFC 7512, with module-path; pin-source=file: for development
  std::optional<std::filesystem::path> store;        // synced after each write of kf-state; for modules that do not
  std::map<std::string, std::string> environment;    // of the worker only, e.g. SOFTHSM2_CONF
  PinSource pin = PinSource::Typed;
  Environment kind = Environment::Development;
  unsigned workers = 1;                              // key workers: processes
  unsigned threads = 1;                              // in each worker; more than 1 for HSMs that answer slowly
  std::uint64_t keys_per_worker = 100'000;           // then it is replaced (modules leak)
  std::vector<std::string> insecure_allow;           // "network", "swap", "memlock"
  SystemCallFilter filter = SystemCallFilter::Strict;  // NetworkModule: HSMs behind a network; Off: not in production
  std::optional<unsigned> idle_lock_s;               // a listening gate logs out and ends after so long without a request
  std::optional<std::filesystem::path> socket;       // production: where the gate listens
  std::optional<unsigned> allow_uid;                 // production: the front end's user
};

/// idle_lock_s, or what it is where gate.toml says nothing: 900 in production, else 0 = never.
[[nodiscard]] std::chrono::seconds idle_lock(const GateSettings& settings);

/// Which shares open the HSM (pin_sharing.h): gate.toml -> gate.pin-sharing; gate.toml.restore -> gate.toml.restore.pin-sharing.
[[nodiscard]] std::filesystem::path pin_sharing_file(const std::filesystem::path& settings_file);

/// Error{Usage} naming the field.
[[nodiscard]] GateSettings parse_settings(ByteView toml, const std::string& where);
[[nodiscard]] GateSettings read_settings(const std::filesystem::path& file);
/// The file that the PIN is read from when no descriptor is given; nothing: it is typed at the gate's terminal.
[[nodiscard]] std::optional<std::filesystem::path> pin_file(const GateSettings& settings);
[[nodiscard]] std::string settings_text(const GateSettings& settings);

}  // namespace keyferry::appliance
