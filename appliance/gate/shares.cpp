#include "appliance/gate/shares.h"

#include <botan/hex.h>
#include <botan/system_rng.h>
#include <botan/tss.h>
#include <fmt/format.h>

#include <charconv>
#include <set>

#include "appliance/plan/plan.h"
#include "wrap/crypto/hash.h"
#include "wrap/crypto/kwp.h"

namespace keyferry::appliance {
namespace {

constexpr std::string_view kHeader = "keyferry-backup-share 1";
constexpr std::size_t kSumBytes = 8;
// draft-mcgrew-tss-03: identifier, hash, threshold, u16be length, share index, then the secret and its SHA-256.
constexpr std::size_t kThresholdOffset = 17;
constexpr std::size_t kRtssBytes = 16 + 1 + 1 + 2 + 1 + kBackupKeyBytes + 32;

Refusal no(const char* reason, std::string text, std::string hint = {}) {
  return Refusal{reason, std::move(text), std::move(hint)};
}

Refusal malformed(std::string text) {
  return no("share-malformed", "a share of kf-backup is unreadable: " + std::move(text),
            "copy it again from what its custodian keeps");
}

/// For typing errors; it proves nothing.
Bytes sum_of(ByteView share) {
  const Digest digest = crypto::sha256_of({as_bytes("keyferry/v1/backup-share"), ByteView{}, share});
  return to_bytes(digest.bytes().first(kSumBytes));
}

void append_secret(Botan::secure_vector<std::uint8_t>& text, std::string_view part) {
  text.insert(text.end(), part.begin(), part.end());
}

void append_secret_hex(Botan::secure_vector<std::uint8_t>& text, ByteView octets) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  for (const std::uint8_t octet : octets) {
    text.push_back(static_cast<std::uint8_t>(kDigits[octet >> 4]));
    text.push_back(static_cast<std::uint8_t>(kDigits[octet & 15]));
  }
}

std::optional<SecretBytes> secret_from_hex(std::string_view hex) {
  if (hex.size() % 2 != 0 || hex.find_first_not_of("0123456789abcdefABCDEF") != std::string_view::npos) return std::nullopt;
  return SecretBytes{Botan::hex_decode_locked(hex.data(), hex.size(), false)};
}

std::optional<unsigned> small_number(std::string_view text) {
  unsigned value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (problem != std::errc{} || end != text.data() + text.size() || value == 0 || value > kMaxBackupShares) return std::nullopt;
  return value;
}

/// The lines of a share's text by their first word; the text outlives them.
class Lines {
 public:
  explicit Lines(ByteView octets) : text_{as_chars(octets)} {}

  /// The next line without its end, or nothing.
  std::optional<std::string_view> next() {
    if (text_.empty()) return std::nullopt;
    const std::size_t end = text_.find('\n');
    std::string_view line = text_.substr(0, end);
    text_ = end == std::string_view::npos ? std::string_view{} : text_.substr(end + 1);
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.remove_suffix(1);
    return line;
  }

  /// What follows `word` and a blank in the next line.
  std::optional<std::string_view> value(std::string_view word) {
    const auto line = next();
    if (!line || line->size() <= word.size() || !line->starts_with(word) || (*line)[word.size()] != ' ') return std::nullopt;
    return line->substr(word.size() + 1);
  }

 private:
  std::string_view text_;
};

bool usable(ShareCounts counts) {
  return counts.needed >= 2 && counts.needed <= counts.shares && counts.shares <= kMaxBackupShares;
}

}  // namespace

ShareCounts parse_share_counts(std::string_view text) {
  const std::size_t slash = text.find('/');
  const auto needed = small_number(text.substr(0, slash));
  const auto shares = slash == std::string_view::npos ? std::nullopt : small_number(text.substr(slash + 1));
  if (!needed || !shares || !usable({*needed, *shares})) {
    throw Error{Code::Usage, fmt::format("--backup-shares: M/N with 2 <= M <= N <= {}, for example 2/3", kMaxBackupShares)};
  }
  return {*needed, *shares};
}

SecretBytes backup_check_constant() {
  return SecretBytes::copy_of(crypto::sha256(as_bytes("keyferry/v1/backup-key-check")).bytes());
}

Bytes backup_check_of_blob(ByteView blob) {
  return to_bytes(crypto::sha256(blob).bytes().first(kBackupKeyCheckBytes));
}

Bytes backup_key_check(const SecretBytes& key) {
  if (key.size() != kBackupKeyBytes) throw Error{Code::InvalidArgument, "kf-backup has 32 octets"};
  return backup_check_of_blob(crypto::wrap_kwp(key, backup_check_constant()));
}

std::vector<SecretBytes> split_backup_key(const SecretBytes& key, ShareCounts counts) {
  const Bytes identifier = backup_key_check(key);
  if (!usable(counts)) throw Error{Code::InvalidArgument, "a number of shares that cannot be"};
  Botan::System_RNG random;
  const auto shares = Botan::RTSS_Share::split(static_cast<std::uint8_t>(counts.needed), static_cast<std::uint8_t>(counts.shares),
                                               key.expose().data(), static_cast<std::uint16_t>(key.size()), identifier,
                                               "SHA-256", random);
  std::vector<SecretBytes> octets;
  for (const Botan::RTSS_Share& share : shares) octets.emplace_back(share.data());
  return octets;
}

std::variant<SecretBytes, Refusal> combine_shares(const std::vector<SecretBytes>& shares) {
  if (shares.empty()) return no("share-missing", "no share of kf-backup was given");
  std::vector<Botan::RTSS_Share> parsed;
  std::set<std::uint8_t> numbers;
  const ByteView first = shares.front().expose();
  for (const SecretBytes& share : shares) {
    const ByteView octets = share.expose();
    if (octets.size() != kRtssBytes) return malformed("its length is wrong");
    if (!equal(octets.first(kBackupKeyCheckBytes), first.first(kBackupKeyCheckBytes))) {
      return no("share-mixed", "the shares belong to different backup keys",
                "each share says on its line \"check\" which key it belongs to");
    }
    parsed.emplace_back(octets.data(), octets.size());
    if (!numbers.insert(parsed.back().share_id()).second) {
      return no("share-twice", "one share of kf-backup was given twice", "another custodian's share is needed");
    }
  }
  const unsigned needed = first[kThresholdOffset];
  if (shares.size() < needed) {
    return no("share-missing", fmt::format("{} shares of kf-backup were given, {} are needed", shares.size(), needed),
              "ask more custodians: --share FILE for each");
  }
  const Refusal wrong = no("share-wrong", "the shares do not fit together: one of them is not what it was",
                           "try without one of them, if there are enough others");
  try {
    SecretBytes key{Botan::RTSS_Share::reconstruct(parsed)};
    if (key.size() != kBackupKeyBytes || !equal(backup_key_check(key), first.first(kBackupKeyCheckBytes))) return wrong;
    return key;
  } catch (const Botan::Exception&) {  // the library's only way to say that the sum inside does not fit
    return wrong;
  }
}

SecretBytes share_text(const SecretBytes& share, unsigned number, ShareCounts counts) {
  const ByteView octets = share.expose();
  Botan::secure_vector<std::uint8_t> text;
  append_secret(text, kHeader);
  append_secret(text, fmt::format("\nshare {}\nof {}\nneeded {}\ncheck {}\ndata ", number, counts.shares, counts.needed,
                                  to_hex(octets.first(kBackupKeyCheckBytes))));
  append_secret_hex(text, octets);
  append_secret(text, fmt::format("\nsum {}\n", to_hex(sum_of(octets))));
  return SecretBytes{std::move(text)};
}

std::variant<ShareFile, Refusal> parse_share_text(const SecretBytes& text) {
  if (text.size() > kMaxShareFileBytes) return malformed("it is too long");
  Lines lines{text.expose()};
  if (lines.next() != kHeader) return malformed("its first line is not \"keyferry-backup-share 1\"");
  ShareFile file;
  const auto number = small_number(lines.value("share").value_or(""));
  const auto shares = small_number(lines.value("of").value_or(""));
  const auto needed = small_number(lines.value("needed").value_or(""));
  const auto check = from_hex(lines.value("check").value_or(""));
  auto data = secret_from_hex(lines.value("data").value_or(""));
  const auto sum = from_hex(lines.value("sum").value_or(""));
  if (!number || !shares || !needed || !usable({*needed, *shares}) || !check || !data || data->size() != kRtssBytes || !sum) {
    return malformed("a line is missing or no hex");
  }
  if (!equal(sum_of(data->expose()), *sum) || !equal(data->expose().first(kBackupKeyCheckBytes), *check)) {
    return malformed("its sum does not fit: a digit was changed");
  }
  return ShareFile{std::move(*data), *number, {*needed, *shares}, *check};
}

}  // namespace keyferry::appliance
