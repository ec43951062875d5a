#include "token/layout.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "wrap/base/text.h"

namespace keyferry::token {
namespace {

constexpr std::string_view kRoot = "keyferry";
constexpr std::string_view kEnding = ".kf";
constexpr std::size_t kRequestHexDigits = 16;
constexpr std::size_t kMaxStrange = 100;

bool is_lower_hex(std::string_view text, std::size_t digits) {
  return text.size() == digits && std::ranges::all_of(text, [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

template <typename Id>
std::optional<Id> id_from(std::string_view text) {
  if (!is_lower_hex(text, 2 * Id::kSizeBytes)) return std::nullopt;
  return Id::from_hex(text);
}

/// Takes `ahead` off the front of `text`.
bool skip(std::string_view& text, std::string_view ahead) {
  if (!text.starts_with(ahead)) return false;
  text.remove_prefix(ahead.size());
  return true;
}

bool skip_end(std::string_view& text, std::string_view behind) {
  if (!text.ends_with(behind)) return false;
  text.remove_suffix(behind.size());
  return true;
}

/// A decimal number without needless zeros, at the front of `text`.
template <typename Number>
std::optional<Number> take_number(std::string_view& text) {
  Number value = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
  const auto digits = static_cast<std::size_t>(end - text.data());
  if (failed != std::errc{} || digits == 0 || (digits > 1 && text.front() == '0'))
    return std::nullopt;
  text.remove_prefix(digits);
  return value;
}

std::optional<TokenName> parse_enrolment(std::string_view rest) {
  if (skip(rest, "request-")) {
    if (!is_lower_hex(rest, kRequestHexDigits)) return std::nullopt;
    return RequestName{std::string{rest}};
  }
  if (!skip(rest, "answer-")) return std::nullopt;
  const auto station = id_from<StationId>(rest);
  if (!station) return std::nullopt;
  return AnswerName{*station};
}

std::optional<TokenName> parse_batch(std::string_view rest) {
  constexpr std::size_t kBatchDigits = 2 * BatchId::kSizeBytes;
  const auto batch = id_from<BatchId>(rest.substr(0, kBatchDigits));
  if (!batch) return std::nullopt;
  rest.remove_prefix(kBatchDigits);
  if (rest == "/manifest") return ManifestName{*batch};
  if (!skip(rest, "/segment-") || rest.size() != 5) return std::nullopt;
  std::uint32_t index = 0;
  const auto [end, failed] = std::from_chars(rest.data(), rest.data() + rest.size(), index);
  if (failed != std::errc{} || end != rest.data() + rest.size()) return std::nullopt;
  return SegmentName{*batch, {index}};
}

std::optional<TokenName> parse_receipts(std::string_view rest) {
  constexpr std::size_t kStationDigits = 2 * StationId::kSizeBytes;
  const auto station = id_from<StationId>(rest.substr(0, kStationDigits));
  if (!station) return std::nullopt;
  rest.remove_prefix(kStationDigits);
  if (!skip(rest, "-")) return std::nullopt;
  const auto generation = take_number<std::uint32_t>(rest);
  if (!generation || !skip(rest, "-")) return std::nullopt;
  const auto from = take_number<std::uint64_t>(rest);
  if (!from || !skip(rest, "-")) return std::nullopt;
  const auto to = take_number<std::uint64_t>(rest);
  if (!to || !rest.empty()) return std::nullopt;
  return ReceiptsName{*station, *generation, *from, *to};
}

class Lister {
 public:
  explicit Lister(Medium& medium) : medium_{medium} {}

  TokenListing list() {
    folder(std::string{kRoot}, 0);
    std::ranges::sort(out_.files, {}, &TokenFile::name);
    return std::move(out_);
  }

 private:
  void folder(const std::string& path, std::size_t depth) {
    constexpr std::size_t kMaxDepth = 2;  // keyferry/batch/<id>
    const auto entries = medium_.list(path, left_ + 1);
    if (entries.size() > left_) {
      out_.too_many = true;
      left_ = 0;
      return;
    }
    left_ -= entries.size();
    for (const MediumEntry& entry : entries) {
      const std::string name = path + "/" + entry.name;
      const bool sane = is_medium_name(name);
      if (sane && entry.kind == EntryKind::Folder && depth < kMaxDepth) {
        folder(name, depth + 1);
      } else if (auto parsed = sane ? parse_name(name) : std::nullopt;
                 parsed && entry.kind == EntryKind::File) {
        out_.files.push_back({name, std::move(*parsed), entry.size_bytes});
      } else if (!(entry.kind == EntryKind::File && is_leftover(name)) &&
                 out_.strange.size() < kMaxStrange) {
        out_.strange.push_back(printable(name));
      }
    }
  }

  static bool is_leftover(std::string_view name) {
    return skip_end(name, ".tmp") && is_medium_name(name) && parse_name(name).has_value();
  }

  Medium& medium_;
  TokenListing out_;
  std::size_t left_ = kMaxListedFiles;
};

}  // namespace

std::string request_name(const Digest& request_sha256) {
  return fmt::format("keyferry/enrol/request-{}.kf",
                     request_sha256.hex().substr(0, kRequestHexDigits));
}

std::string answer_name(const StationId& station_id) {
  return fmt::format("keyferry/enrol/answer-{}.kf", station_id.hex());
}

std::string manifest_name(const BatchId& batch_id) {
  return fmt::format("keyferry/batch/{}/manifest.kf", batch_id.hex());
}

std::string segment_name(const BatchId& batch_id, SegmentIndex index) {
  if (index.value > kMaxSegmentNameIndex) {
    throw Error{Code::InvalidArgument, "a segment's index has at most five digits on a token"};
  }
  return fmt::format("keyferry/batch/{}/segment-{:05}.kf", batch_id.hex(), index.value);
}

std::string receipts_name(const StationId& station_id,
                          std::uint32_t generation,
                          std::uint64_t from_size,
                          std::uint64_t to_size) {
  return fmt::format(
      "keyferry/receipts/{}-{}-{}-{}.kf", station_id.hex(), generation, from_size, to_size);
}

std::optional<TokenName> parse_name(std::string_view name) {
  if (name == kTokenCardName) return TokenCardName{};
  if (name == kApplianceCardName) return ApplianceCardName{};
  if (name == kRevocationsName) return RevocationsName{};
  if (name == kCustodyName) return CustodyName{};
  if (!skip(name, kRoot) || !skip_end(name, kEnding)) return std::nullopt;
  if (skip(name, "/enrol/")) return parse_enrolment(name);
  if (skip(name, "/batch/")) return parse_batch(name);
  if (skip(name, "/receipts/")) return parse_receipts(name);
  return std::nullopt;
}

TokenListing list_token(Medium& medium) {
  return Lister{medium}.list();
}

}  // namespace keyferry::token
