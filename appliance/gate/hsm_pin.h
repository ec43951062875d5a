// Where the gate gets the HSM's PIN: an inherited descriptor, pin-source=file: in the URI, or the terminal.
#pragma once

#include "appliance/gate/settings.h"
#include "wrap/base/secret_bytes.h"

namespace keyferry::appliance {

/// pin_fd: -1 for none. new_pin: at the terminal the PIN is asked for twice. Error{Usage} when they differ, or from
/// reading. pin-source is refused in production.
[[nodiscard]] SecretBytes obtain_pin(const GateSettings& settings, int pin_fd, bool new_pin);

}  // namespace keyferry::appliance
