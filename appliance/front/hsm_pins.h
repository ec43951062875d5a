// `hsm pin-change`: new random PINs, new shares. The gate makes and hands them out at its start; the front end sees none.
#pragma once

#include <cstdint>
#include <string>

namespace keyferry::appliance {

class Context;

/// Custodians and where their shares go stand in the context's options. The shares of before are given with --share and the
/// like: M of the user PIN for the login, M of the SO PIN for the change. Cut off anywhere, the same command goes on.
int hsm_pin_change(Context& context, std::uint32_t shares_needed, const std::string& reason);

/// Ends the login of the gate that listens (settings.toml, gate_socket). Without one there is none between commands.
int hsm_lock(Context& context);

}  // namespace keyferry::appliance
