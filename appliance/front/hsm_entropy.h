// `hsm entropy`: the HSM's generator and this machine's getrandom(2) through the health tests of SP 800-90B.
#pragma once

namespace keyferry::appliance {

class Context;

/// Exit status: 0 when both passed, 1 when one failed.
int hsm_entropy(Context& context);

}  // namespace keyferry::appliance
