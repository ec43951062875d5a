// The bare loop that `generate` is held against: the module calls that one key of family pkcs11
// costs, and nothing else. Speaks Cryptoki directly (p11-kit's header), so that nothing of ours is
// in it but the loop.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace keyferry::bench {

/// For each of `count` keys: C_DeriveKey of a transport key from a master, C_GenerateKeyPair
/// (P-256), C_WrapKey, C_SignInit and C_Sign by a CA key, the public point read, three
/// C_DestroyObject. The templates are those of the appliance. `folder`: a SoftHSM store of its own,
/// made here when it is not there; SOFTHSM2_CONF must name its softhsm2.conf before this process
/// loads the module. Seconds for the loop alone: start, login and keys of the store are not in it.
/// Error{Hsm} when a call fails.
[[nodiscard]] double raw_loop_seconds(const std::filesystem::path& module,
                                      const std::string& pin,
                                      std::uint32_t count);

/// An empty store: softhsm2.conf and tokens/. The value for SOFTHSM2_CONF.
std::filesystem::path make_raw_store(const std::filesystem::path& folder);

}  // namespace keyferry::bench
