#include "appliance/front/ceremony_folders.h"

#include <fmt/format.h>

#include <algorithm>

#include "wrap/base/cut.h"
#include "wrap/base/error.h"
#include "wrap/base/text.h"

namespace keyferry::appliance {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kNumberDigits = 4;
constexpr unsigned kMostCeremonies = 9999;

/// Number in front of a folder's name; nothing for a name that is no ceremony's.
std::optional<unsigned> number_of(const std::string& name) {
  if (name.size() < kNumberDigits + 2 || name[kNumberDigits] != '-' || !is_name(name.substr(kNumberDigits + 1))) return std::nullopt;
  const std::string digits = name.substr(0, kNumberDigits);
  if (digits.find_first_not_of("0123456789") != std::string::npos) return std::nullopt;
  return static_cast<unsigned>(std::stoul(digits));
}

std::vector<fs::path> numbered_folders(const fs::path& all) {
  std::vector<fs::path> found;
  if (!fs::is_directory(all)) return found;
  for (const auto& entry : fs::directory_iterator{all}) {
    if (entry.is_directory() && !entry.is_symlink() && number_of(entry.path().filename().string())) found.push_back(entry.path());
  }
  std::ranges::sort(found);
  return found;
}

bool has_begun(const fs::path& folder) {
  const auto octets = read_file_if_exists(ceremony::CeremonyFiles{folder}.journal(), ceremony::kMaxJournalBytes);
  return octets && std::ranges::find(*octets, std::uint8_t{'\n'}) != octets->end();
}

}  // namespace

KeptCeremony open_ceremony(const fs::path& folder) {
  ceremony::CeremonyFiles files{folder};
  const Bytes octets = read_file(files.script(), ceremony::kMaxScriptBytes);
  ceremony::Script script = ceremony::parse_script(octets, files.script().string());
  const Bytes journal = read_file(files.journal(), ceremony::kMaxJournalBytes);
  const std::string origin = files.journal().string();
  ceremony::Progress progress = ceremony::fold(script, ceremony::read_journal(journal, origin).entries, origin);
  return KeptCeremony{std::move(files), std::move(script), std::move(progress)};
}

std::vector<fs::path> ceremony_folders(const fs::path& all) {
  std::vector<fs::path> folders = numbered_folders(all);
  std::erase_if(folders, [](const fs::path& folder) { return !has_begun(folder); });
  return folders;
}

ceremony::CeremonyFiles new_ceremony(const fs::path& all, const ceremony::Script& script) {
  make_private_directory(all);
  unsigned number = 1;
  for (const fs::path& folder : numbered_folders(all)) {
    if (!has_begun(folder)) {
      fs::remove_all(folder);
    } else {
      number = std::max(number, *number_of(folder.filename().string()) + 1);
    }
  }
  if (number > kMostCeremonies) throw Error{Code::Storage, all.string() + " holds 9,999 ceremonies", "move the old ones to the archive"};
  ceremony::CeremonyFiles files{all / fmt::format("{:04}-{}", number, script.id)};
  make_private_directory(files.folder);
  sync_directory(all);
  write_file_durably(files.script(), script.octets, Overwrite::Replace);
  KF_CUT("front.ceremony.folder");
  return files;
}

}  // namespace keyferry::appliance
