// keyferry-hsm-gate: the only door to the HSM. It loads no module; it owns PIN, approvals, plan state and the log's
// frontier, and starts the workers that load the module. One thread, one event loop.
#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "appliance/gate/async_frames.h"
#include "appliance/gate/pin_custody.h"
#include "appliance/gate/settings.h"
#include "appliance/gate/share_files.h"
#include "wrap/base/clock.h"
#include "wrap/base/secret_bytes.h"

namespace keyferry::appliance {

struct GateArguments {
  GateSettings settings;
  std::filesystem::path settings_file;
  SecretBytes pin;
  std::vector<std::string> insecure_allow;
  std::vector<std::string> hardening;  // sentences on this process, for HsmFacts
  std::optional<SecretBytes> imported_key = std::nullopt;  // 32 octets, for the one import that this start is for
  std::vector<Bytes> component_check_values = {};          // 16 each: of the parts that it was put together from
  std::optional<BackupShares> backup = std::nullopt;       // init: as they were written; restore: as they were read
  std::optional<SecretBytes> so_pin = std::nullopt;        // of a token that is made, or gets kf-backup, or another PIN
  std::optional<PinSharing> pin_sharing = std::nullopt;    // `pin` came from shares of this set
  std::optional<NewPins> new_pins = std::nullopt;          // for the one hsm-pin-change that this start is for
  bool start_workers = false;                              // all key workers, as soon as the HSM is open
};

class Gate {
 public:
  /// Error{Refused}: the surroundings are not those of an air-gapped machine and not overridden, or a build with test
  /// hooks was pointed at a production store.
  Gate(asio::io_context& context, GateArguments arguments, const Clock& clock);
  ~Gate();
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;

  /// Serves one front end until it goes. Never throws for what a front end does.
  asio::awaitable<void> serve(LocalSocket socket);

  /// Ends the workers, which log out, and wipes the PIN; nothing is answered afterwards.
  void lock();

  /// lock() was called, by a request or from here.
  [[nodiscard]] bool locked() const;

  /// Since the last request, of any connection, was answered; zero while one is under way.
  [[nodiscard]] std::chrono::steady_clock::duration idle() const;

  /// Set when a worker was lost: nothing more can be trusted to be in step, the process ends.
  [[nodiscard]] bool broken() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace keyferry::appliance
