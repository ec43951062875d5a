// The octets of a key that comes from outside: read by the gate alone, at its start, as one line of 64 hex digits; or in two
// or three parts (components), each brought by another custodian, whose exclusive or is the key.
#pragma once

#include <vector>

#include "wrap/base/bytes.h"
#include "wrap/base/secret_bytes.h"

namespace keyferry::appliance {

inline constexpr std::size_t kImportedKeyBytes = 32;

/// From an inherited descriptor; -1: asked for on the terminal without echo, twice. Error{Usage} when the line is no
/// AES-256 key in hex, or the two differ; the text never repeats what was read.
[[nodiscard]] SecretBytes obtain_imported_key(int key_fd);

/// Two or three parts, one after another: from inherited descriptors, one each; none: asked for on the terminal without echo,
/// each on a cleared screen, again when its check value (crypto::aes_check_value, 16 octets) is not the part's in
/// `check_values`. Error{Refused} naming the part whose check value differs, before the next one is asked for.
[[nodiscard]] SecretBytes obtain_components(const std::vector<Bytes>& check_values, const std::vector<int>& key_fds);

/// Two or three times 32 hex digits. Error{Usage} otherwise.
[[nodiscard]] std::vector<Bytes> component_check_values(const std::vector<std::string>& texts);

/// 64 hex digits, either case. Error{Usage} otherwise.
[[nodiscard]] SecretBytes imported_key_from_hex(const SecretBytes& digits);

}  // namespace keyferry::appliance
