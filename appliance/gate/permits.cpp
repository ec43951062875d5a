#include "appliance/gate/permits.h"

#include <fmt/format.h>

#include <algorithm>

#include "wrap/base/durable_file.h"

namespace keyferry::appliance {
namespace {

constexpr std::uint64_t kMaxFileBytes = 4096;
constexpr std::string_view kHeading = "keyferry-permits 1\n";
constexpr std::string_view kUntil = " until ";

std::filesystem::path file_beside(const std::filesystem::path& settings_file) {
  return std::filesystem::path{settings_file}.replace_extension(".permits");
}

}  // namespace

std::vector<Permit> read_permits(const std::filesystem::path& settings_file) {
  const auto octets = read_file_if_exists(file_beside(settings_file), kMaxFileBytes);
  if (!octets) return {};
  std::string_view text = as_chars(*octets);
  if (!text.starts_with(kHeading)) return {};
  text.remove_prefix(kHeading.size());
  std::vector<Permit> permits;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    const std::size_t at = line.find(kUntil);
    const auto until = at == std::string_view::npos ? std::nullopt : from_rfc3339(line.substr(at + kUntil.size()));
    if (end == std::string_view::npos || !until) return {};
    permits.push_back({std::string{line.substr(0, at)}, *until});
    text.remove_prefix(end + 1);
  }
  return permits;
}

void write_permits(const std::filesystem::path& settings_file, const std::vector<Permit>& permits) {
  std::string text{kHeading};
  for (const Permit& permit : permits) text += fmt::format("{}{}{}\n", permit.what, kUntil, to_rfc3339(permit.until));
  write_file_durably(file_beside(settings_file), as_bytes(text), Overwrite::Replace);
}

std::vector<Permit> still_good(std::vector<Permit> permits, UtcMillis now) {
  std::erase_if(permits, [now](const Permit& permit) { return permit.until <= now; });
  return permits;
}

std::optional<Refusal> check_permit_time(UtcMillis now, UtcMillis until) {
  if (until > now && until.value - now.value <= kMaxPermitMs) return std::nullopt;
  return Refusal{"permit-time",
                 fmt::format("{} is {}", to_rfc3339(until),
                             until <= now ? "over already" : fmt::format("more than {} days ahead", kMaxPermitMs / 86'400'000)),
                 "choose a time soon: a weakness is allowed for a job, not for good"};
}

const Permit* permit_for(const std::vector<Permit>& permits, std::string_view what, UtcMillis now) {
  for (const Permit& permit : permits) {
    if (permit.what == what && permit.until > now) return &permit;
  }
  return nullptr;
}

}  // namespace keyferry::appliance
