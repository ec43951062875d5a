// The SE list entry of wrap/se/FORMAT.md, and the hex strings that stand there.
#pragma once

#include <fstream>
#include <string>

#include "wrap/se/entry.h"

namespace keyferry::se {

inline SeSerial serial_of(std::string_view text) {
  return *SeSerial::from_bytes(as_bytes(text));
}

inline Entry example_entry() {
  return Entry{.family = Family::Pkcs11,
               .serial = serial_of("5e11a07c00000001"),
               .part = "SE-1",
               .lot = "L7",
               .key_name = "dac",
               .device_serial = "",
               .generation = 1,
               .transport_kind = TransportKind::Derived,
               .transport_name = "site-a",
               .transport_data = {}};
}

/// The hex string that FORMAT.md gives after `name` on a line of an example; empty when there is
/// none.
inline std::string in_format_md(const std::string& name) {
  std::ifstream file{KEYFERRY_SOURCE_DIR "/wrap/se/FORMAT.md"};
  const std::string begin = "    " + name + " ";
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(begin)) continue;
    const std::string value = line.substr(line.rfind(' ') + 1);
    if (value.size() >= 32 && from_hex(value)) return value;
  }
  return "";
}

}  // namespace keyferry::se
