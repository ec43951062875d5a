// A leaf of the appliance's log as event name and fields: what `log show` prints. Every value is
// hex, a number, or printable(): a leaf holds names that people chose.
#pragma once

#include <string>

#include "appliance/front/output.h"
#include "wrap/base/bytes.h"
#include "wrap/base/clock.h"

namespace keyferry::appliance {

struct LeafText {
  UtcMillis time;
  std::string origin;  // "done", "reported"
  std::string event;   // "key.issued", ...
  Json fields;         // strings and numbers, in the order of the message
};

/// A leaf that this program does not know has event "unknown" and its hash.
[[nodiscard]] LeafText leaf_text(ByteView octets);

/// "key.issued batch=7f3a... record=112"
[[nodiscard]] std::string one_line(const LeafText& leaf);

}  // namespace keyferry::appliance
