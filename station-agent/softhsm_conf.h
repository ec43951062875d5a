// SoftHSM's configuration file, as far as we write it and need it. SoftHSM reads it once per
// process, through the environment variable SOFTHSM2_CONF; the system's own configuration is never
// touched.
#pragma once

#include <filesystem>
#include <optional>

namespace keyferry::station {

/// A folder for a SoftHSM of our own: `folder`/softhsm2.conf and `folder`/tokens, owner-only.
/// Idempotent. The path of the configuration file.
std::filesystem::path make_softhsm_store(const std::filesystem::path& folder);

/// directories.tokendir of a configuration file; nothing when there is none in it.
[[nodiscard]] std::optional<std::filesystem::path> softhsm_token_folder(
    const std::filesystem::path& conf);

/// The token folder of the configuration that SOFTHSM2_CONF names in this process. The module never
/// calls fsync, so whoever counts on an object in it syncs that folder first. Nothing when the
/// variable is not set.
[[nodiscard]] std::optional<std::filesystem::path> softhsm_store_in_use();

}  // namespace keyferry::station
