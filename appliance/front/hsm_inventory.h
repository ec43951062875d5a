// `hsm inventory`: every token object of the HSM against the role table, the log's key leaves and
// the registry.
#pragma once

namespace keyferry::appliance {

class Context;

/// 1 when a key drifted, is missing, has another check value or public key than its leaf, or has no
/// leaf; strangers are warnings and alone give 0.
int hsm_inventory(Context& context);

}  // namespace keyferry::appliance
