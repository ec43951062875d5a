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

/// Quarantined and returned SEs that nobody released, scrapped or replaced; of one batch, or all.
int quarantine_list(Context& context, const std::optional<std::string>& batch);
int quarantine_show(Context& context, const std::string& batch, std::uint32_t record);
/// Error{Refused} for a record that is not quarantined.
int quarantine_label(Context& context, const std::string& batch, std::uint32_t record, const LabelFiles& files);

}  // namespace keyferry::appliance
