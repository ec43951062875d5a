#include "appliance/gate/share_files.h"

#include <botan/mem_ops.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "wrap/base/cut.h"
#include "wrap/base/durable_file.h"
#include "wrap/base/random.h"

namespace keyferry::appliance {
namespace {

namespace fs = std::filesystem;

/// To the end, at most one octet more than a share may have.
SecretBytes read_all(int fd, const std::string& where) {
  SecretBytes text{kMaxShareFileBytes + 1};
  std::size_t size = 0;
  while (size < text.size()) {
    const ssize_t got = ::read(fd, text.expose_writable().data() + size, text.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw system_error(Code::Storage, "read a share from " + where, errno);
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
  }
  text.resize(size);
  return text;
}

/// Past the cache, as far as the file system lets go of it.
SecretBytes read_text(const fs::path& file) {
  const Fd fd{::open(file.c_str(), O_RDONLY | O_CLOEXEC)};
  if (!fd.valid()) throw system_error(Code::Storage, "open the share " + file.string(), errno);
  static_cast<void>(::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED));
  return read_all(fd.get(), file.string());
}

ShareFile parsed(const SecretBytes& text, const std::string& where) {
  auto file = parse_share_text(text);
  if (const auto* refusal = std::get_if<Refusal>(&file)) {
    throw Error{Code::Refused, where + ": " + refusal->text, refusal->hint};
  }
  return std::get<ShareFile>(std::move(file));
}

/// The first `needed` of a whole set; every file is looked at.
BackupShares existing_set(const std::vector<fs::path>& files, ShareCounts counts) {
  BackupShares set{{}, counts, {}};
  for (const fs::path& file : files) {
    ShareFile one = read_share_file(file);
    if (one.kind != ShareKind::BackupKey || one.counts != counts || (!set.check_value.empty() && one.check_value != set.check_value)) {
      throw Error{Code::Refused, file.string() + " is a share of another backup key", "choose another --backup-share-dir"};
    }
    set.check_value = one.check_value;
    if (set.shares.size() < counts.needed) set.shares.push_back(std::move(one.share));
  }
  return set;
}

}  // namespace

std::vector<SecretBytes> BackupShares::copies() const {
  std::vector<SecretBytes> made;
  for (const SecretBytes& share : shares) made.push_back(SecretBytes::copy_of(share.expose()));
  return made;
}

ShareFile read_share_file(const fs::path& file) { return parsed(read_text(file), file.string()); }

ShareFile write_share_file(const fs::path& file, const SecretBytes& text) {
  write_file_durably(file, text.expose(), Overwrite::Replace);
  const SecretBytes back = read_text(file);
  if (back.size() != text.size() || !Botan::constant_time_compare(back.expose().data(), text.expose().data(), text.size())) {
    throw Error{Code::Storage, "what was read back from " + file.string() + " is not what was written",
                "use another medium, and give the same command again"};
  }
  return parsed(back, file.string());
}

std::string share_file_name(ShareKind kind, const std::string& appliance, unsigned number, ShareCounts counts) {
  const std::string_view word = kind == ShareKind::BackupKey ? "backup" : share_kind_word(kind);
  return fmt::format("kf-{}-{}-share-{}-of-{}.txt", word, appliance, number, counts.shares);
}

BackupShares make_share_files(const std::vector<fs::path>& folders, ShareCounts counts, const std::string& appliance) {
  if (folders.size() != 1 && folders.size() != counts.shares) {
    throw Error{Code::Usage, fmt::format("{} shares of the backup key go into one folder, or into one for each custodian", counts.shares),
                "give --backup-share-dir once, or once for each"};
  }
  std::vector<fs::path> files;
  for (unsigned number = 1; number <= counts.shares; ++number) {
    const fs::path& folder = folders.size() == 1 ? folders.front() : folders[number - 1];
    files.push_back(folder / share_file_name(ShareKind::BackupKey, appliance, number, counts));
  }
  for (const fs::path& folder : folders) make_private_directory(folder);
  if (std::ranges::all_of(files, [](const fs::path& file) { return fs::exists(file); })) return existing_set(files, counts);
  {
    SystemRandom random;
    SecretBytes key{kBackupKeyBytes};
    random.fill(key.expose_writable());
    const std::vector<SecretBytes> shares = split_backup_key(key, counts);
    for (unsigned i = 0; i < counts.shares; ++i) {
      static_cast<void>(write_share_file(files[i], share_text(ShareKind::BackupKey, shares[i], i + 1, counts)));
      KF_CUT("gate.shares.written");
    }
  }  // the key ends here: from now on there are only its shares
  return existing_set(files, counts);
}

std::vector<GivenShare> read_given_shares(const std::vector<fs::path>& files, const std::vector<int>& descriptors) {
  std::vector<GivenShare> given;
  for (const fs::path& file : files) given.push_back({read_share_file(file), file.string()});
  for (const int descriptor : descriptors) {
    const Fd fd{descriptor};
    const std::string where = fmt::format("descriptor {}", descriptor);
    given.push_back({parsed(read_all(fd.get(), where), where), where});
  }
  return given;
}

std::optional<BackupShares> take_backup_shares(std::vector<GivenShare>& given) {
  BackupShares set;
  for (GivenShare& one : given) {
    if (one.share.kind != ShareKind::BackupKey) continue;
    if (!set.check_value.empty() && one.share.check_value != set.check_value) {
      throw Error{Code::Refused, one.where + " is a share of another backup key",
                  "each share says on its line \"check\" which key it belongs to"};
    }
    set.check_value = one.share.check_value;
    set.counts = one.share.counts;
    set.shares.push_back(std::move(one.share.share));
  }
  std::erase_if(given, [](const GivenShare& one) { return one.share.kind == ShareKind::BackupKey; });
  if (set.shares.empty()) return std::nullopt;
  if (set.shares.size() < set.counts.needed) {
    throw Error{Code::Refused, fmt::format("{} shares of kf-backup were given, {} are needed", set.shares.size(), set.counts.needed),
                "ask more custodians: --share FILE for each"};
  }
  return set;
}

}  // namespace keyferry::appliance
