// What gate and worker do to themselves before they hold a PIN, and what the kernel says of it afterwards.
#pragma once

#include <string>
#include <vector>

#include "appliance/gate/seccomp.h"
#include "wrap/base/secret_bytes.h"

namespace keyferry::appliance {

/// Closes every inherited descriptor but 0, 1, 2 and `keep`; opens /dev/null where 0, 1 or 2 are closed, so that nothing
/// else gets these numbers.
void close_descriptors_but(std::vector<int> keep);

/// Standard input is /dev/null from here on: after the PIN was read, nobody types into gate or worker.
void detach_input();

/// One sentence for each fact, as read back from the kernel: dumpable, core size, new privileges, parent, filter, and
/// whether `pin` (or the pool that keys come from) lies in locked memory. For `doctor` and HsmFacts.
[[nodiscard]] std::vector<std::string> hardening_facts(FilteredProcess process, const SecretBytes& pin);

}  // namespace keyferry::appliance
