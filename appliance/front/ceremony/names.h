// Names of those present: a file of their own beside the journal, which may be erased. Journal and log hold a salted
// hash of each.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "wrap/base/ids.h"
#include "wrap/base/random.h"

namespace keyferry::ceremony {

/// Adds or replaces the person's row, durably; SHA-256(salt, name), with a new salt of 16 octets.
Digest keep_name(const std::filesystem::path& file, const std::string& person, const std::string& name, RandomSource& random);

/// Nothing when it was erased, or does not belong to `hash`.
[[nodiscard]] std::optional<std::string> name_of(const std::filesystem::path& file, const std::string& person, const Digest& hash);

}  // namespace keyferry::ceremony
