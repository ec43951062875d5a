// keyferry-hsm-gate: the only door to the HSM. It loads no module; it owns PIN, approvals, plan state and the log's
// frontier, and starts the workers that load the module. One thread, one event loop.
#pragma once

#include <boost/asio/io_context.hpp>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "appliance/gate/async_frames.h"
#include "appliance/gate/settings.h"
#include "wrap/base/clock.h"
#include "wrap/base/secret_bytes.h"

namespace keyferry::appliance {

struct GateArguments {
  GateSettings settings;
  std::filesystem::path settings_file;
  SecretBytes pin;
  std::vector<std::string> insecure_allow;
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

  /// Set when a worker was lost: nothing more can be trusted to be in step, the process ends.
  [[nodiscard]] bool broken() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace keyferry::appliance
