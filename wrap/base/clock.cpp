#include "wrap/base/clock.h"

#include <fmt/format.h>

#include <chrono>
#include <cstdlib>

#include "wrap/base/cut.h"

namespace keyferry {
namespace {

std::optional<int> number(std::string_view text, std::size_t at, std::size_t count) {
  int value = 0;
  for (std::size_t i = at; i < at + count; ++i) {
    if (text[i] < '0' || text[i] > '9') return std::nullopt;
    value = value * 10 + (text[i] - '0');
  }
  return value;
}

/// KEYFERRY_CLOCK_SHIFT, in seconds; 0 without test hooks.
std::int64_t shift_ms() {
  if constexpr (!kTestHooks) return 0;
  static const char* const shift = std::getenv("KEYFERRY_CLOCK_SHIFT");
  return shift == nullptr ? 0 : std::strtoll(shift, nullptr, 10) * 1000;
}

}  // namespace

std::string to_rfc3339(UtcMillis time) {
  using namespace std::chrono;
  const sys_time<milliseconds> point{milliseconds{time.value}};
  const auto day = floor<days>(point);
  const year_month_day date{day};
  const hh_mm_ss clock{floor<seconds>(point - day)};
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                     clock.hours().count(), clock.minutes().count(), clock.seconds().count());
}

std::optional<UtcMillis> from_rfc3339(std::string_view text) {
  using namespace std::chrono;
  if (text.size() != 20 || text[4] != '-' || text[7] != '-' || text[10] != 'T' || text[13] != ':' ||
      text[16] != ':' || text[19] != 'Z') {
    return std::nullopt;
  }
  const auto y = number(text, 0, 4), mo = number(text, 5, 2), d = number(text, 8, 2);
  const auto h = number(text, 11, 2), mi = number(text, 14, 2), s = number(text, 17, 2);
  if (!y || !mo || !d || !h || !mi || !s) return std::nullopt;
  const year_month_day date{year{*y}, month{static_cast<unsigned>(*mo)}, day{static_cast<unsigned>(*d)}};
  if (!date.ok() || *h > 23 || *mi > 59 || *s > 59) return std::nullopt;
  const auto point = sys_days{date} + hours{*h} + minutes{*mi} + seconds{*s};
  return UtcMillis{duration_cast<milliseconds>(point.time_since_epoch()).count()};
}

UtcMillis SystemClock::now() const {
  using namespace std::chrono;
  const auto now = duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
  return UtcMillis{now + shift_ms()};
}

}  // namespace keyferry
