// kf-kdf-1: the derivation data of a transport key (FORMAT.md). The key is AES-256-ECB(master,
// data), leading octets. A silicon vendor who holds the same master computes the same key.
#pragma once

#include <string_view>

#include "wrap/base/bytes.h"
#include "wrap/base/secret_bytes.h"
#include "wrap/se/entry.h"

namespace keyferry::se {

/// Blocks of 16 octets, as many as `key_size_bytes` (16 to 64) need: block i (from 1) is octet i,
/// then the first 15 octets of SHA-256(`input`), which is kdf_input(). Other sizes are
/// Error{InvalidArgument}.
[[nodiscard]] Bytes kf_kdf_1_data(ByteView input, std::size_t key_size_bytes);

/// The same over kdf_input(master_name, entry).
[[nodiscard]] Bytes kf_kdf_1_data(std::string_view master_name,
                                  const Entry& entry,
                                  std::size_t key_size_bytes);

/// The key itself in software: leading octets of AES-256-ECB(master, data). master: 32 octets, else
/// Error{InvalidArgument}.
[[nodiscard]] SecretBytes kf_kdf_1(const SecretBytes& master,
                                   ByteView input,
                                   std::size_t key_size_bytes);

}  // namespace keyferry::se
