// The octets of a key that comes from outside: read by the gate alone, at its start, as one line of 64 hex digits.
#pragma once

#include "wrap/base/secret_bytes.h"

namespace keyferry::appliance {

inline constexpr std::size_t kImportedKeyBytes = 32;

/// From an inherited descriptor; -1: asked for on the terminal without echo, twice. Error{Usage} when the line is no
/// AES-256 key in hex, or the two differ; the text never repeats what was read.
[[nodiscard]] SecretBytes obtain_imported_key(int key_fd);

/// 64 hex digits, either case. Error{Usage} otherwise.
[[nodiscard]] SecretBytes imported_key_from_hex(const SecretBytes& digits);

}  // namespace keyferry::appliance
