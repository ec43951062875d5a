// The folders of ceremonies beside a home, numbered in the order of their beginning: 0001-initialization, ...
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "appliance/front/ceremony/engine.h"

namespace keyferry::appliance {

/// A ceremony that was begun, as its folder tells.
struct KeptCeremony {
  ceremony::CeremonyFiles files;
  ceremony::Script script;
  ceremony::Progress progress;

  [[nodiscard]] std::string name() const { return files.folder.filename().string(); }

  /// Steps are left, the log does not have it, or somebody was not asked to sign. Signatures may come later.
  [[nodiscard]] bool unfinished() const { return !progress.ended; }
};

/// Error{Refused} when its journal was edited, Error{Storage} when files are missing.
[[nodiscard]] KeptCeremony open_ceremony(const std::filesystem::path& folder);

/// In the order of their numbers. Folders without a first entry (cut off before it) are left out.
[[nodiscard]] std::vector<std::filesystem::path> ceremony_folders(const std::filesystem::path& all);

/// A new folder with the script in it, durable; what was cut off before its first entry is cleared away.
[[nodiscard]] ceremony::CeremonyFiles new_ceremony(const std::filesystem::path& all, const ceremony::Script& script);

}  // namespace keyferry::appliance
