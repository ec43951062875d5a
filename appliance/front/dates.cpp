#include "appliance/front/dates.h"

#include "wrap/base/error.h"
#include "wrap/base/text.h"

namespace keyferry::appliance {
namespace {

constexpr std::size_t kDateChars = 10;
constexpr std::int64_t kSecondMs = 1000;

}  // namespace

UtcMillis read_time(const std::string& option, const std::string& text) {
  const auto time = from_rfc3339(text.size() == kDateChars ? text + "T00:00:00Z" : text);
  if (!time) {
    throw Error{Code::Usage,
                option + ": \"" + printable(text) + "\" is no date",
                "write 2026-11-22 or 2026-11-22T08:00:00Z"};
  }
  return *time;
}

UtcMillis read_time_or(const std::string& option,
                       const std::optional<std::string>& text,
                       UtcMillis fallback) {
  return text ? read_time(option, *text) : UtcMillis{fallback.value - fallback.value % kSecondMs};
}

}  // namespace keyferry::appliance
