// The time of day as a port: programs pass SystemClock, tests a clock of their own.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace keyferry {

/// Milliseconds since 1970-01-01T00:00:00Z.
struct UtcMillis {
  std::int64_t value = 0;
  friend auto operator<=>(const UtcMillis&, const UtcMillis&) = default;
};

/// RFC 3339 with `Z`, to the second: "2026-11-22T08:00:00Z".
[[nodiscard]] std::string to_rfc3339(UtcMillis time);

/// Nothing unless `text` is exactly `YYYY-MM-DDTHH:MM:SSZ` and a real date.
[[nodiscard]] std::optional<UtcMillis> from_rfc3339(std::string_view text);

class Clock {
 public:
  virtual ~Clock() = default;
  [[nodiscard]] virtual UtcMillis now() const = 0;
};

/// In builds with test hooks (cut.h) KEYFERRY_CLOCK_SHIFT moves it, in seconds.
class SystemClock final : public Clock {
 public:
  [[nodiscard]] UtcMillis now() const override;
};

}  // namespace keyferry
