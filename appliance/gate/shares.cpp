#include "appliance/gate/shares.h"

#include <botan/hex.h>
#include <botan/system_rng.h>
#include <botan/tss.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <set>

#include "appliance/plan/plan.h"
#include "wrap/crypto/hash.h"
#include "wrap/crypto/kwp.h"

namespace keyferry::appliance {
namespace {

constexpr std::string_view kHeader = "keyferry-share 1";
constexpr std::string_view kOldHeader = "keyferry-backup-share 1";
constexpr std::size_t kSumBytes = 8;  // of the old form
// draft-mcgrew-tss-03: identifier, hash, threshold, u16be length, share index, then the secret and its SHA-256.
constexpr std::size_t kThresholdOffset = 17;
constexpr std::size_t kNumberOffset = 20;
constexpr std::size_t kRtssOverhead = 16 + 1 + 1 + 2 + 1 + 32;
// A share's lines: kind, number of shares, RTSS share, then so much of a sum as fills the last line.
constexpr std::size_t kLineHead = 2;
constexpr std::size_t kLeastSum = 3;
constexpr std::size_t kLineOctets = 10;
constexpr std::size_t kLineDigits = 16;
constexpr std::size_t kLineCheckDigits = 4;
constexpr std::string_view kDigits32 = "abcdefghijklmnopqrstuvwxyz234567";  // RFC 4648 section 6, lower case

struct KindRow {
  ShareKind kind;
  std::string_view word, noun;
  std::size_t secret_bytes;
};

/// In a PIN's sharing the kind stands before the seed: a share of the other PIN never fits.
constexpr std::array kKinds{
    KindRow{ShareKind::BackupKey, "backup-key", "kf-backup", kBackupKeyBytes},
    KindRow{ShareKind::UserPin, "user-pin", "the user PIN", 1 + kPinSeedBytes},
    KindRow{ShareKind::SoPin, "so-pin", "the SO PIN", 1 + kPinSeedBytes},
};

const KindRow& row_of(ShareKind kind) {
  return *std::ranges::find(kKinds, kind, &KindRow::kind);  // every kind has a row
}

std::size_t rtss_bytes(ShareKind kind) { return row_of(kind).secret_bytes + kRtssOverhead; }

std::size_t line_count(ShareKind kind) {
  return (kLineHead + rtss_bytes(kind) + kLeastSum + kLineOctets - 1) / kLineOctets;
}

Refusal no(const char* reason, std::string text, std::string hint = {}) {
  return Refusal{reason, std::move(text), std::move(hint)};
}

Refusal malformed(std::string text, ShareKind kind = ShareKind::BackupKey) {
  return no("share-malformed", fmt::format("a share of {} is unreadable: {}", row_of(kind).noun, text),
            "copy it again from what its custodian keeps");
}

/// For typing errors; it proves nothing.
Bytes old_sum_of(ByteView share) {
  const Digest digest = crypto::sha256_of({as_bytes("keyferry/v1/backup-share"), ByteView{}, share});
  return to_bytes(digest.bytes().first(kSumBytes));
}

Bytes sum_of(ByteView head_and_share, std::size_t size) {
  const Digest digest = crypto::sha256_of({as_bytes("keyferry/v1/share"), head_and_share});
  return to_bytes(digest.bytes().first(size));
}

void append_secret(Botan::secure_vector<std::uint8_t>& text, std::string_view part) {
  text.insert(text.end(), part.begin(), part.end());
}

/// Five bits a digit, the first ones of `octets`; as many digits as asked for.
void append_digits32(Botan::secure_vector<std::uint8_t>& text, ByteView octets, std::size_t digits) {
  for (std::size_t i = 0; i < digits; ++i) {
    unsigned value = 0;
    for (std::size_t bit = 5 * i; bit < 5 * i + 5; ++bit) {
      const unsigned set = bit / 8 < octets.size() ? (octets[bit / 8] >> (7 - bit % 8)) & 1U : 0U;
      value = value * 2 + set;
    }
    text.push_back(static_cast<std::uint8_t>(kDigits32[value]));
  }
}

/// 0 to 31; nothing for what is no digit. 0, 1 and 8 are what a hand makes of o, l and b.
std::optional<unsigned> digit32(char typed) {
  if (typed >= 'A' && typed <= 'Z') typed = static_cast<char>(typed - 'A' + 'a');
  if (typed == '0') typed = 'o';
  if (typed == '1') typed = 'l';
  if (typed == '8') typed = 'b';
  const std::size_t at = kDigits32.find(typed);
  if (at == std::string_view::npos) return std::nullopt;
  return static_cast<unsigned>(at);
}

Digest line_digest(unsigned line, ByteView octets) {
  const std::array<std::uint8_t, 1> number{static_cast<std::uint8_t>(line)};
  return crypto::sha256_of({as_bytes("keyferry/v1/share-line"), number, octets});
}

std::optional<SecretBytes> secret_from_hex(std::string_view hex) {
  if (hex.size() % 2 != 0 || hex.find_first_not_of("0123456789abcdefABCDEF") != std::string_view::npos) return std::nullopt;
  return SecretBytes{Botan::hex_decode_locked(hex.data(), hex.size(), false)};
}

/// 1 to kMaxBackupShares; 0 for anything else.
unsigned small_number(std::string_view text) {
  unsigned value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (problem != std::errc{} || end != text.data() + text.size() || value > kMaxBackupShares) return 0;
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

/// What stands between the header and the octets, in both forms.
struct Heading {
  unsigned number = 0;
  ShareCounts counts;
  Bytes check;
};

std::optional<Heading> heading(Lines& lines) {
  const unsigned number = small_number(lines.value("share").value_or(""));
  const unsigned shares = small_number(lines.value("of").value_or(""));
  const unsigned needed = small_number(lines.value("needed").value_or(""));
  const auto check = from_hex(lines.value("check").value_or(""));
  if (number == 0 || !usable({needed, shares}) || !check || check->size() != kShareSetIdBytes) return std::nullopt;
  return Heading{number, {needed, shares}, *check};
}

std::variant<ShareFile, Refusal> parse_old_text(Lines& lines) {
  auto head = heading(lines);
  auto data = secret_from_hex(lines.value("data").value_or(""));
  const auto sum = from_hex(lines.value("sum").value_or(""));
  if (!head || !data || data->size() != rtss_bytes(ShareKind::BackupKey) || !sum) return malformed("a line is missing or no hex");
  if (!equal(old_sum_of(data->expose()), *sum) || !equal(data->expose().first(kShareSetIdBytes), head->check)) {
    return malformed(fmt::format("share {}: its sum does not fit: a digit was changed", head->number));
  }
  return ShareFile{std::move(*data), head->number, head->counts, head->check, ShareKind::BackupKey};
}

std::variant<ShareFile, Refusal> parse_new_text(Lines& lines) {
  const std::string_view word = lines.value("kind").value_or("");
  const auto* const row = std::ranges::find(kKinds, word, &KindRow::word);
  if (row == kKinds.end()) return malformed("its line \"kind\" names none");
  const auto head = heading(lines);
  if (!head) return malformed("one of its lines \"share\", \"of\", \"needed\", \"check\" is missing or wrong", row->kind);
  ShareTyping typing;
  while (!typing.complete()) {
    const unsigned number = typing.next_line();
    const auto line = lines.value(fmt::format("line {}", number));
    if (!line) return malformed(fmt::format("share {}: line {} is missing", head->number, number), row->kind);
    if (const auto refusal = typing.add(SecretBytes::copy_of(as_bytes(*line)))) {
      return malformed(fmt::format("share {}: {}", head->number, refusal->text), row->kind);
    }
  }
  auto taken = typing.take();
  const auto* const file = std::get_if<ShareFile>(&taken);
  if (file == nullptr) return taken;
  if (file->kind != row->kind || file->number != head->number || file->counts != head->counts || file->check_value != head->check) {
    return malformed(fmt::format("share {}: what stands above its lines is not what they say", head->number), row->kind);
  }
  return taken;
}

/// The secret of that kind, without a PIN's leading kind.
std::variant<SecretBytes, Refusal> combine(ShareKind kind, const std::vector<SecretBytes>& shares, const Refusal& mixed) {
  const std::string_view noun = row_of(kind).noun;
  if (shares.empty()) return no("share-missing", fmt::format("no share of {} was given", noun));
  std::vector<Botan::RTSS_Share> parsed;
  std::set<std::uint8_t> numbers;
  const ByteView first = shares.front().expose();
  for (const SecretBytes& share : shares) {
    const ByteView octets = share.expose();
    if (octets.size() != rtss_bytes(kind)) return malformed("its length is wrong", kind);
    if (!equal(octets.first(kShareSetIdBytes), first.first(kShareSetIdBytes))) return mixed;
    parsed.emplace_back(octets.data(), octets.size());
    if (!numbers.insert(parsed.back().share_id()).second) {
      return no("share-twice", fmt::format("share {} of {} was given twice", parsed.back().share_id(), noun),
                "another custodian's share is needed");
    }
  }
  const unsigned needed = first[kThresholdOffset];
  if (shares.size() < needed) {
    return no("share-missing", fmt::format("{} shares of {} were given, {} are needed", shares.size(), noun, needed),
              "ask more custodians: --share FILE for each");
  }
  const Refusal wrong = no("share-wrong", fmt::format("the shares of {} do not fit together: one of them is not what it was", noun),
                           "try without one of them, if there are enough others");
  try {
    SecretBytes secret{Botan::RTSS_Share::reconstruct(parsed)};
    if (secret.size() != row_of(kind).secret_bytes) return wrong;
    if (kind == ShareKind::BackupKey) {
      if (!equal(backup_key_check(secret), first.first(kBackupKeyCheckBytes))) return wrong;
      return secret;
    }
    if (secret.expose()[0] != static_cast<std::uint8_t>(kind)) return wrong;
    return SecretBytes::copy_of(secret.expose().subspan(1));
  } catch (const Botan::Exception&) {  // the library's only way to say that the sum inside does not fit
    return wrong;
  }
}

std::vector<SecretBytes> split(const SecretBytes& secret, ByteView identifier, ShareCounts counts) {
  if (!usable(counts)) throw Error{Code::InvalidArgument, "a number of shares that cannot be"};
  Botan::System_RNG random;
  const auto shares = Botan::RTSS_Share::split(static_cast<std::uint8_t>(counts.needed), static_cast<std::uint8_t>(counts.shares),
                                               secret.expose().data(), static_cast<std::uint16_t>(secret.size()),
                                               to_bytes(identifier), "SHA-256", random);
  std::vector<SecretBytes> octets;
  for (const Botan::RTSS_Share& share : shares) octets.emplace_back(share.data());
  return octets;
}

}  // namespace

std::string_view share_kind_word(ShareKind kind) { return row_of(kind).word; }

std::string_view share_kind_noun(ShareKind kind) { return row_of(kind).noun; }

ShareCounts parse_share_counts(std::string_view text, std::string_view option) {
  const std::size_t slash = text.find('/');
  const unsigned needed = small_number(text.substr(0, slash));
  const unsigned shares = slash == std::string_view::npos ? 0 : small_number(text.substr(slash + 1));
  if (!usable({needed, shares})) {
    throw Error{Code::Usage, fmt::format("{}: M/N with 2 <= M <= N <= {}, for example 2/3", option, kMaxBackupShares)};
  }
  return {needed, shares};
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
  return split(key, backup_key_check(key), counts);
}

std::vector<SecretBytes> split_pin_seed(ShareKind kind, const SecretBytes& seed, ByteView set_id, ShareCounts counts) {
  if (seed.size() != kPinSeedBytes || set_id.size() != kShareSetIdBytes || kind == ShareKind::BackupKey) {
    throw Error{Code::InvalidArgument, "a PIN's seed and a set's id have 16 octets"};
  }
  Botan::secure_vector<std::uint8_t> secret{static_cast<std::uint8_t>(kind)};
  secret.insert(secret.end(), seed.expose().begin(), seed.expose().end());
  return split(SecretBytes{std::move(secret)}, set_id, counts);
}

std::variant<SecretBytes, Refusal> combine_shares(const std::vector<SecretBytes>& shares) {
  return combine(ShareKind::BackupKey, shares,
                 no("share-mixed", "the shares belong to different backup keys",
                    "each share says on its line \"check\" which key it belongs to"));
}

std::variant<SecretBytes, Refusal> combine_pin_seed(ShareKind kind, const std::vector<SecretBytes>& shares) {
  return combine(kind, shares,
                 no("share-mixed", fmt::format("the shares of {} belong to different sets", row_of(kind).noun),
                    "each share says on its line \"check\" which set it belongs to"));
}

SecretBytes pin_of_seed(const SecretBytes& seed) {
  if (seed.size() != kPinSeedBytes) throw Error{Code::InvalidArgument, "a PIN's seed has 16 octets"};
  Botan::secure_vector<std::uint8_t> pin;
  append_digits32(pin, seed.expose(), (8 * kPinSeedBytes + 4) / 5);
  return SecretBytes{std::move(pin)};
}

std::variant<ShareFile, Refusal> share_of(ShareKind kind, SecretBytes rtss, unsigned shares) {
  const ByteView octets = rtss.expose();
  if (octets.size() != rtss_bytes(kind)) return malformed("its length is wrong", kind);
  const ShareCounts counts{octets[kThresholdOffset], shares};
  const unsigned number = octets[kNumberOffset];
  if (!usable(counts) || number < 1 || number > shares) return malformed("its numbers cannot be", kind);
  Bytes check = to_bytes(octets.first(kShareSetIdBytes));
  return ShareFile{std::move(rtss), number, counts, std::move(check), kind};
}

std::vector<SecretBytes> share_lines(ShareKind kind, const SecretBytes& share, unsigned shares) {
  Botan::secure_vector<std::uint8_t> octets{static_cast<std::uint8_t>(kind), static_cast<std::uint8_t>(shares)};
  octets.insert(octets.end(), share.expose().begin(), share.expose().end());
  const std::size_t size = line_count(kind) * kLineOctets;
  const Bytes sum = sum_of(octets, size - octets.size());
  octets.insert(octets.end(), sum.begin(), sum.end());
  std::vector<SecretBytes> lines;
  for (std::size_t at = 0; at < size; at += kLineOctets) {
    const ByteView part = ByteView{octets}.subspan(at, kLineOctets);
    Botan::secure_vector<std::uint8_t> digits;
    append_digits32(digits, part, kLineDigits);
    append_digits32(digits, line_digest(static_cast<unsigned>(lines.size()) + 1, part).bytes(), kLineCheckDigits);
    Botan::secure_vector<std::uint8_t> line;
    for (std::size_t i = 0; i < digits.size(); ++i) {
      if (i != 0 && i % 4 == 0) line.push_back(' ');
      line.push_back(digits[i]);
    }
    lines.emplace_back(std::move(line));
  }
  return lines;
}

SecretBytes share_text(ShareKind kind, const SecretBytes& share, unsigned number, ShareCounts counts) {
  Botan::secure_vector<std::uint8_t> text;
  append_secret(text, fmt::format("{}\nkind {}\nshare {}\nof {}\nneeded {}\ncheck {}\n", kHeader, row_of(kind).word, number,
                                  counts.shares, counts.needed, to_hex(share.expose().first(kShareSetIdBytes))));
  unsigned count = 0;
  for (const SecretBytes& line : share_lines(kind, share, counts.shares)) {
    append_secret(text, fmt::format("line {} ", ++count));
    append_secret(text, as_chars(line.expose()));
    append_secret(text, "\n");
  }
  return SecretBytes{std::move(text)};
}

std::variant<ShareFile, Refusal> parse_share_text(const SecretBytes& text) {
  if (text.size() > kMaxShareFileBytes) return malformed("it is too long");
  Lines lines{text.expose()};
  const auto first = lines.next();
  if (first == kOldHeader) return parse_old_text(lines);
  if (first == kHeader) return parse_new_text(lines);
  return malformed("its first line is not \"keyferry-share 1\"");
}

std::optional<Refusal> ShareTyping::add(const SecretBytes& line) {
  Botan::secure_vector<std::uint8_t> octets(kLineOctets);
  std::array<unsigned, kLineCheckDigits> check{};
  std::size_t digits = 0;
  for (const std::uint8_t typed : line.expose()) {
    if (typed == ' ' || typed == '-' || typed == '\t') continue;
    const auto value = digit32(static_cast<char>(typed));
    if (!value) return no("share-line", fmt::format("line {} has a character that no share has", next_line()));
    if (digits >= kShareLineChars) return no("share-line", fmt::format("line {} is longer than {} characters", next_line(), kShareLineChars));
    if (digits >= kLineDigits) {
      check.at(digits - kLineDigits) = *value;
    } else {
      for (std::size_t i = 0; i < 5; ++i) {
        const std::size_t bit = 5 * digits + i;
        if ((*value >> (4 - i) & 1U) != 0) octets[bit / 8] = static_cast<std::uint8_t>(octets[bit / 8] | (0x80U >> (bit % 8)));
      }
    }
    ++digits;
  }
  if (digits != kShareLineChars) {
    return no("share-line", fmt::format("line {} has {} characters, not {}", next_line(), digits, kShareLineChars));
  }
  Botan::secure_vector<std::uint8_t> wanted;
  append_digits32(wanted, line_digest(next_line(), octets).bytes(), kLineCheckDigits);
  for (std::size_t i = 0; i < kLineCheckDigits; ++i) {
    if (kDigits32[check.at(i)] != static_cast<char>(wanted[i])) {
      return no("share-line", fmt::format("line {} was changed: its last four characters do not fit the others", next_line()));
    }
  }
  if (octets_.empty() && std::ranges::find(kKinds, static_cast<ShareKind>(octets[0]), &KindRow::kind) == kKinds.end()) {
    return no("share-line", "line 1 begins no share");
  }
  const std::size_t before = octets_.size();
  octets_.resize(before + kLineOctets);
  std::ranges::copy(octets, octets_.expose_writable().begin() + static_cast<std::ptrdiff_t>(before));
  return std::nullopt;
}

unsigned ShareTyping::lines() const {
  return octets_.empty() ? 0 : static_cast<unsigned>(line_count(static_cast<ShareKind>(octets_.expose()[0])));
}

bool ShareTyping::complete() const { return !octets_.empty() && octets_.size() == lines() * kLineOctets; }

std::variant<ShareFile, Refusal> ShareTyping::take() {
  if (!complete()) throw Error{Code::InvalidArgument, "a share whose lines were not all typed"};
  const ByteView octets = octets_.expose();
  const auto kind = static_cast<ShareKind>(octets[0]);
  const std::size_t body = kLineHead + rtss_bytes(kind);
  if (!equal(sum_of(octets.first(body), octets.size() - body), octets.subspan(body))) {
    return malformed("its lines are not those of one share", kind);
  }
  auto share = share_of(kind, SecretBytes::copy_of(octets.subspan(kLineHead, rtss_bytes(kind))), octets[1]);
  octets_ = SecretBytes{};
  return share;
}

}  // namespace keyferry::appliance
