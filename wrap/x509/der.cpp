#include "wrap/x509/der.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>

#include "wrap/base/error.h"

namespace keyferry::x509::der {
namespace {

void append_arc(Bytes& out, std::uint64_t arc) {
  unsigned groups = 1;
  for (std::uint64_t rest = arc >> 7; rest != 0; rest >>= 7) ++groups;
  while (groups-- > 0) {
    const auto low = static_cast<std::uint8_t>((arc >> (7 * groups)) & 0x7fU);
    out.push_back(groups > 0 ? static_cast<std::uint8_t>(low | 0x80U) : low);
  }
}

std::vector<std::uint32_t> split_arcs(std::string_view dotted) {
  std::vector<std::uint32_t> arcs;
  const char* at = dotted.data();
  const char* const end = at + dotted.size();
  while (true) {
    std::uint32_t arc = 0;
    const auto [stop, failed] = std::from_chars(at, end, arc);
    if (failed != std::errc{}) return {};
    arcs.push_back(arc);
    if (stop == end) return arcs;
    if (*stop != '.') return {};
    at = stop + 1;
  }
}

std::optional<int> digits(std::string_view text, std::size_t at, std::size_t count) {
  int value = 0;
  for (const char c : text.substr(at, count)) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + (c - '0');
  }
  return value;
}

}  // namespace

std::size_t header_size(std::size_t content_size) {
  std::size_t size = 2;
  if (content_size >= 0x80) {
    for (std::size_t rest = content_size; rest != 0; rest >>= 8) ++size;
  }
  return size;
}

void append_header(Bytes& out, std::uint8_t tag, std::size_t content_size) {
  out.push_back(tag);
  if (content_size < 0x80) {
    out.push_back(static_cast<std::uint8_t>(content_size));
    return;
  }
  std::size_t octets = header_size(content_size) - 2;
  out.push_back(static_cast<std::uint8_t>(0x80U | octets));
  while (octets-- > 0) out.push_back(static_cast<std::uint8_t>(content_size >> (8 * octets)));
}

void append_tlv(Bytes& out, std::uint8_t tag, ByteView content) {
  append_header(out, tag, content.size());
  append(out, content);
}

Bytes tlv(std::uint8_t tag, ByteView content) {
  return constructed(tag, {content});
}

Bytes constructed(std::uint8_t tag, std::initializer_list<ByteView> parts) {
  std::size_t size = 0;
  for (const ByteView part : parts) size += part.size();
  Bytes out;
  out.reserve(header_size(size) + size);
  append_header(out, tag, size);
  for (const ByteView part : parts) append(out, part);
  return out;
}

Bytes sequence(std::initializer_list<ByteView> parts) {
  return constructed(kSequence, parts);
}

Bytes integer(ByteView unsigned_big_endian) {
  while (!unsigned_big_endian.empty() && unsigned_big_endian.front() == 0) {
    unsigned_big_endian = unsigned_big_endian.subspan(1);
  }
  constexpr std::uint8_t kZero[] = {0};
  const bool needs_zero = unsigned_big_endian.empty() || unsigned_big_endian.front() >= 0x80;
  return constructed(kInteger, {needs_zero ? ByteView{kZero} : ByteView{}, unsigned_big_endian});
}

Bytes integer(std::uint64_t value) {
  Bytes octets;
  append_u64be(octets, value);
  return integer(ByteView{octets});
}

bool is_oid(std::string_view dotted) {
  const std::vector<std::uint32_t> arcs = split_arcs(dotted);
  return arcs.size() >= 2 && arcs[0] <= 2 && (arcs[0] == 2 || arcs[1] <= 39);
}

Bytes oid(std::string_view dotted) {
  const std::vector<std::uint32_t> arcs = split_arcs(dotted);
  if (!is_oid(dotted)) {
    throw Error{Code::InvalidArgument, fmt::format("not an object identifier: {}", dotted)};
  }
  Bytes content;
  append_arc(content, std::uint64_t{arcs[0]} * 40 + arcs[1]);
  for (std::size_t i = 2; i < arcs.size(); ++i) append_arc(content, arcs[i]);
  return tlv(kOid, content);
}

Bytes bit_string(ByteView content, unsigned unused_bits) {
  const bool fits = unused_bits == 0 || (unused_bits < 8 && !content.empty() &&
                                         (content.back() & ((1U << unused_bits) - 1)) == 0);
  if (!fits) throw Error{Code::InvalidArgument, "bit string: unused bits that are not zero"};
  const std::uint8_t first[] = {static_cast<std::uint8_t>(unused_bits)};
  return constructed(kBitString, {first, content});
}

Bytes octet_string(ByteView content) {
  return tlv(kOctetString, content);
}

Bytes utf8_string(std::string_view text) {
  return tlv(kUtf8String, as_bytes(text));
}

Bytes printable_string(std::string_view text) {
  if (!is_printable_string(text)) {
    throw Error{Code::InvalidArgument, "a character that PrintableString does not have"};
  }
  return tlv(kPrintableString, as_bytes(text));
}

Bytes boolean(bool value) {
  const std::uint8_t content[] = {static_cast<std::uint8_t>(value ? 0xff : 0x00)};
  return tlv(kBoolean, content);
}

Bytes time(UtcMillis time) {
  if (time < kFirstTime || time > kLastTime) {
    throw Error{Code::InvalidArgument, "a time outside of the years 1950 to 9999"};
  }
  using namespace std::chrono;
  const sys_time<milliseconds> point{milliseconds{time.value}};
  const auto day = floor<days>(point);
  const year_month_day date{day};
  const hh_mm_ss clock{floor<seconds>(point - day)};
  const int year = static_cast<int>(date.year());
  const std::string rest = fmt::format("{:02}{:02}{:02}{:02}{:02}Z",
                                       static_cast<unsigned>(date.month()),
                                       static_cast<unsigned>(date.day()),
                                       clock.hours().count(),
                                       clock.minutes().count(),
                                       clock.seconds().count());
  // RFC 5280 4.1.2.5: through 2049 as UTCTime, from 2050 on as GeneralizedTime.
  if (year < 2050) return tlv(kUtcTime, as_bytes(fmt::format("{:02}{}", year % 100, rest)));
  return tlv(kGeneralizedTime, as_bytes(fmt::format("{:04}{}", year, rest)));
}

bool is_printable_string(std::string_view text) {
  static constexpr std::string_view kOthers = " '()+,-./:=?";
  return std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           kOthers.find(c) != std::string_view::npos;
  });
}

std::optional<std::uint8_t> Reader::peek() const {
  if (rest_.empty()) return std::nullopt;
  return rest_.front();
}

std::optional<Element> Reader::next() {
  if (rest_.size() < 2 || (rest_[0] & 0x1fU) == 0x1f) return std::nullopt;
  std::size_t header = 2;
  std::size_t length = rest_[1];
  if (length >= 0x80) {
    const std::size_t octets = length & 0x7fU;
    // 0x80 is the indefinite form; four octets are more than any input here.
    if (octets == 0 || octets > 4 || rest_.size() < 2 + octets || rest_[2] == 0)
      return std::nullopt;
    length = 0;
    for (std::size_t i = 0; i < octets; ++i) length = (length << 8) | rest_[2 + i];
    if (length < 0x80) return std::nullopt;
    header += octets;
  }
  if (rest_.size() - header < length) return std::nullopt;
  const Element element{rest_[0], rest_.subspan(header, length), rest_.first(header + length)};
  rest_ = rest_.subspan(header + length);
  return element;
}

std::optional<Element> Reader::next(std::uint8_t tag) {
  if (peek() != tag) return std::nullopt;
  return next();
}

std::optional<Element> only_element(ByteView bytes, std::uint8_t tag) {
  Reader reader{bytes};
  auto element = reader.next(tag);
  if (!element || !reader.at_end()) return std::nullopt;
  return element;
}

bool is_shortest_integer(ByteView content) {
  if (content.empty()) return false;
  if (content.size() == 1) return true;
  const bool next_high = content[1] >= 0x80;
  return !(content[0] == 0x00 && !next_high) && !(content[0] == 0xff && next_high);
}

std::optional<std::uint32_t> small_unsigned(ByteView content) {
  if (!is_shortest_integer(content) || content.front() >= 0x80) return std::nullopt;
  if (content.front() == 0 && content.size() > 1) content = content.subspan(1);
  if (content.size() > 4) return std::nullopt;
  std::uint32_t value = 0;
  for (const std::uint8_t octet : content) value = (value << 8) | octet;
  return value;
}

std::optional<UtcMillis> read_time(const Element& element) {
  const std::string_view text = as_chars(element.content);
  const bool utc = element.tag == kUtcTime;
  if (!utc && element.tag != kGeneralizedTime) return std::nullopt;
  const std::size_t year_digits = utc ? 2 : 4;
  if (text.size() != year_digits + 11 || text.back() != 'Z') return std::nullopt;
  const auto written_year = digits(text, 0, year_digits);
  const auto rest = text.substr(year_digits);
  if (!written_year ||
      !std::ranges::all_of(rest.substr(0, 10), [](char c) { return c >= '0' && c <= '9'; })) {
    return std::nullopt;
  }
  // RFC 5280 4.1.2.5.1: 50 to 99 are 19YY, 00 to 49 are 20YY.
  const int year = utc ? (*written_year >= 50 ? 1900 : 2000) + *written_year : *written_year;
  if (!utc && year < 2050) return std::nullopt;
  return from_rfc3339(fmt::format("{:04}-{}-{}T{}:{}:{}Z",
                                  year,
                                  rest.substr(0, 2),
                                  rest.substr(2, 2),
                                  rest.substr(4, 2),
                                  rest.substr(6, 2),
                                  rest.substr(8, 2)));
}

}  // namespace keyferry::x509::der
