#include "wrap/se/compressed_certificate.h"

#include <algorithm>
#include <chrono>
#include <optional>

#include "wrap/x509/certificate.h"
#include "wrap/x509/certificate_builder.h"

namespace keyferry::se {
namespace {

// Octets of the form (Atmel-8974, section 2).
constexpr std::size_t kDatesAt = 64;     // year 5, month 4, day 5, hour 5, years 5 bits
constexpr std::size_t kSignerIdAt = 67;  // 2 octets
constexpr int kFirstYear = 2000;
constexpr int kMostYears = 31;
constexpr unsigned kNoExpiry = 0;

struct Moment {
  std::chrono::year_month_day date;
  unsigned hour = 0;
  std::chrono::milliseconds within_hour{0};
};

Moment moment_of(UtcMillis time) {
  using namespace std::chrono;
  const sys_time<milliseconds> at{milliseconds{time.value}};
  const auto day = floor<days>(at);
  const auto hour = floor<hours>(at - day);
  return {year_month_day{day}, static_cast<unsigned>(hour.count()), at - day - hour};
}

bool same_but_year(const Moment& a, const Moment& b) {
  return a.date.month() == b.date.month() && a.date.day() == b.date.day() && a.hour == b.hour &&
         a.within_hour == b.within_hour;
}

/// Years of validity; 0 stands for no end.
std::optional<unsigned> years_of(UtcMillis not_before, UtcMillis not_after) {
  if (to_rfc3339(not_after) == "9999-12-31T23:59:59Z") return kNoExpiry;
  const Moment from = moment_of(not_before);
  const Moment to = moment_of(not_after);
  const int years = static_cast<int>(to.date.year()) - static_cast<int>(from.date.year());
  if (!same_but_year(from, to) || years < 1 || years > kMostYears) return std::nullopt;
  return static_cast<unsigned>(years);
}

std::optional<std::uint32_t> dates_of(const x509::CertificateFacts& facts) {
  const Moment from = moment_of(facts.not_before);
  const int year = static_cast<int>(from.date.year()) - kFirstYear;
  const auto years = years_of(facts.not_before, facts.not_after);
  if (year < 0 || year > kMostYears || from.within_hour.count() != 0 || !years) return std::nullopt;
  return static_cast<std::uint32_t>(year) << 19U | static_cast<unsigned>(from.date.month()) << 15U |
         static_cast<unsigned>(from.date.day()) << 10U | from.hour << 5U | *years;
}

}  // namespace

std::variant<CompressedCertificate, Refusal> compress_certificate(ByteView der) {
  const auto parsed = x509::parse_certificate(der);
  if (const auto* refusal = std::get_if<Refusal>(&parsed)) return *refusal;
  const auto& facts = std::get<x509::CertificateFacts>(parsed);
  const auto dates = dates_of(facts);
  if (!dates) {
    return Refusal{"atecc608-certificate-form",
                   "a compressed certificate begins on a whole hour of 2000 to 2031 and holds for "
                   "1 to 31 years to the second, or without end; this one is from " +
                       to_rfc3339(facts.not_before) + " to " + to_rfc3339(facts.not_after),
                   "choose such a validity in the plan, or certificate_form \"plain\""};
  }
  CompressedCertificate compressed{};
  std::ranges::copy(facts.signature, compressed.begin());
  compressed[kDatesAt] = static_cast<std::uint8_t>(*dates >> 16U);
  compressed[kDatesAt + 1] = static_cast<std::uint8_t>(*dates >> 8U);
  compressed[kDatesAt + 2] = static_cast<std::uint8_t>(*dates);
  const Bytes& issuer = facts.authority_key_identifier;
  std::copy_n(
      issuer.begin(), std::min<std::size_t>(issuer.size(), 2), compressed.begin() + kSignerIdAt);
  return compressed;  // template, chain, source of the serial number, form, reserved: 0
}

std::variant<Bytes, Refusal> expand_certificate(const CompressedCertificate& compressed,
                                                ByteView known) {
  const auto expected = compress_certificate(known);
  if (const auto* refusal = std::get_if<Refusal>(&expected)) return *refusal;
  const auto& own = std::get<CompressedCertificate>(expected);
  const ByteView read{compressed};
  if (!equal(read.subspan(kDatesAt), ByteView{own}.subspan(kDatesAt))) {
    return Refusal{"atecc608-certificate-other",
                   "the compressed certificate is of another certificate: dates or issuer differ"};
  }
  const auto facts = x509::parse_certificate(known);
  return x509::assemble(std::get<x509::CertificateFacts>(facts).tbs, read.first(kDatesAt));
}

}  // namespace keyferry::se
