// keyferry-hsm-worker: serves a closed set of requests of its gate over one socket, in one thread. The PIN comes first,
// as a raw frame. An error of a request is an answer; a lost channel ends the process.
#pragma once

#include "appliance/gate/settings.h"
#include "wrap/base/clock.h"
#include "wrap/base/random.h"

namespace keyferry::appliance {

/// Until the gate closes the channel. Returns the exit status.
int run_worker(int fd,
               const GateSettings& settings,
               const std::filesystem::path& settings_file,
               RandomSource& random);

}  // namespace keyferry::appliance
