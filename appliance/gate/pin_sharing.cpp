#include "appliance/gate/pin_sharing.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <sstream>

#include "wrap/base/durable_file.h"
#include "wrap/base/text.h"

namespace keyferry::appliance {
namespace {

constexpr std::uint64_t kMaxFileBytes = 512;
constexpr std::string_view kHeader = "keyferry-pin-sharing 1";

constexpr std::array kStages{
    std::pair{PinChangeStage::HandedOut, std::string_view{"handed-out"}},
    std::pair{PinChangeStage::Begun, std::string_view{"begun"}},
    std::pair{PinChangeStage::SoDone, std::string_view{"so-done"}},
    std::pair{PinChangeStage::UserDone, std::string_view{"user-done"}},
};

std::string line_of(std::string_view word, const PinSharing& sharing) {
  return fmt::format("{} {} {}/{}", word, to_hex(sharing.set_id), sharing.needed, sharing.total);
}

/// What follows the word: set id, blank, M/N. The rest of the line stays in `line`.
std::optional<PinSharing> sharing_in(std::istringstream& line) {
  std::string hex, counts;
  if (!(line >> hex >> counts)) return std::nullopt;
  const auto id = from_hex(hex);
  const std::size_t slash = counts.find('/');
  if (!id || id->size() != kShareSetIdBytes || slash == std::string::npos) return std::nullopt;
  PinSharing sharing{0, 0, *id};
  const char* const text = counts.data();
  const auto first = std::from_chars(text, text + slash, sharing.needed);
  const auto second = std::from_chars(text + slash + 1, text + counts.size(), sharing.total);
  if (first.ec != std::errc{} || second.ec != std::errc{} || sharing.needed < 2 || sharing.needed > sharing.total) return std::nullopt;
  return sharing;
}

std::optional<PinSharingRecord> parse(const std::string& octets) {
  std::istringstream text{octets};
  std::string line;
  if (!std::getline(text, line) || line != kHeader) return std::nullopt;
  PinSharingRecord record;
  while (std::getline(text, line)) {
    std::istringstream words{line};
    std::string word, stage;
    words >> word;
    const auto sharing = sharing_in(words);
    if (!sharing) return std::nullopt;
    if (word == "current" && !record.current) {
      record.current = sharing;
    } else if (word == "next" && record.current && !record.next) {
      words >> stage;
      const auto* const known = std::ranges::find(kStages, stage, [](const auto& pair) { return pair.second; });
      if (known == kStages.end()) return std::nullopt;
      record.next = sharing;
      record.stage = known->first;
    } else {
      return std::nullopt;
    }
  }
  return record;
}

}  // namespace

std::string short_set_id(const Bytes& set_id) { return to_hex(set_id).substr(0, 8); }

std::string sharing_text(const PinSharing& sharing) {
  return fmt::format("{} of {}, set {}", sharing.needed, sharing.total, short_set_id(sharing.set_id));
}

PinSharingRecord read_pin_sharing(const std::filesystem::path& settings_file) {
  const std::filesystem::path file = pin_sharing_file(settings_file);
  const auto octets = read_file_if_exists(file, kMaxFileBytes);
  if (!octets) return {};
  auto record = parse(to_string(*octets));
  if (!record) {
    throw Error{Code::Storage, fmt::format("{} does not say which shares open the HSM", printable(file.string())),
                "restore it from the newest copy; each share says on its line \"check\" which set it belongs to"};
  }
  return std::move(*record);
}

void write_pin_sharing(const std::filesystem::path& settings_file, const PinSharingRecord& record) {
  std::string text = fmt::format("{}\n", kHeader);
  if (record.current) text += line_of("current", *record.current) + "\n";
  if (record.next) {
    const auto* const stage = std::ranges::find(kStages, record.stage, [](const auto& pair) { return pair.first; });
    text += fmt::format("{} {}\n", line_of("next", *record.next), stage->second);
  }
  write_file_durably(pin_sharing_file(settings_file), as_bytes(text), Overwrite::Replace);
}

}  // namespace keyferry::appliance
