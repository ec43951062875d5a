// The sticker for a device that was set aside: text for people, and a QR code with the same facts
// for a scanner.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "wrap/base/bytes.h"
#include "wrap/base/clock.h"

namespace keyferry::label {

struct QuarantineLabel {
  std::string family;         // "pkcs11", ...
  std::string se_serial;      // as a screen shows it
  std::string device_serial;  // may be empty
  std::string reason;         // reason code
  std::string words;          // what it means
  std::string batch;          // 32 hex digits
  std::uint32_t record_no = 0;
  UtcMillis time;  // when it was set aside
};

/// FORMAT.md: "KFQ1" and seven fields, each after a '|'.
[[nodiscard]] std::string qr_text(const QuarantineLabel& label);

/// A few lines, none over 48 characters of printable ASCII.
[[nodiscard]] std::vector<std::string> text_lines(const QuarantineLabel& label);

/// QR code to the left, the lines to the right of it.
[[nodiscard]] Bytes picture(const QuarantineLabel& label);

}  // namespace keyferry::label
