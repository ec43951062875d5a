// The `age` program, when there is one: what everybody else would seal a file with.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace keyferry::bench {

class Age {
 public:
  /// Nothing when `age` or `age-keygen` is not in PATH. Makes an identity in `folder`.
  [[nodiscard]] static std::optional<Age> find(const std::filesystem::path& folder);

  /// Seconds of `age -r RECIPIENT -o sealed plain`, to the end of the process; the file is not
  /// synced.
  [[nodiscard]] double seal_seconds(const std::filesystem::path& plain,
                                    const std::filesystem::path& sealed) const;

  /// Seconds of `age -d -i IDENTITY -o /dev/null sealed`.
  [[nodiscard]] double open_seconds(const std::filesystem::path& sealed) const;

 private:
  Age() = default;

  std::filesystem::path program_;
  std::filesystem::path identity_;
  std::string recipient_;
};

}  // namespace keyferry::bench
