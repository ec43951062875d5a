// What lies in quarantine: list, one of them with what can be done, and the sticker for it. Reads only.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace keyferry::appliance {

class Context;

struct LabelFiles {
  std::optional<std::filesystem::path> text, png;  // neither: the text on stdout
};

constexpr std::uint32_t kQuarantineListed = 1000;
constexpr std::uint32_t kMostQuarantineListed = 100'000;

/// Quarantined and returned SEs that nobody released, scrapped or replaced; of one batch, or all. The first `limit` of
/// them, and how many there are.
int quarantine_list(Context& context, const std::optional<std::string>& batch, std::uint32_t limit);
int quarantine_show(Context& context, const std::string& batch, std::uint32_t record);
/// Error{Refused} for a record that is not quarantined.
int quarantine_label(Context& context, const std::string& batch, std::uint32_t record, const LabelFiles& files);

}  // namespace keyferry::appliance
