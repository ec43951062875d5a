// libcrypto and nothing of ours around it: what the figures of seal, open, ingest and log are held
// against. Contexts, keys and parsed values are made before the clock starts.
#pragma once

#include <cstdint>
#include <vector>

#include "wrap/base/bytes.h"

namespace keyferry::bench {

inline constexpr std::size_t kRawChunkBytes = 65'536;

/// Seconds in which `threads` threads encrypt `size_bytes` octets with AES-256-GCM in chunks of 64
/// KiB and take SHA-256 of each ciphertext and tag. `plaintext`: whole chunks in memory, gone
/// through again when it is shorter.
[[nodiscard]] double raw_seal_seconds(ByteView plaintext,
                                      std::uint64_t size_bytes,
                                      unsigned threads);

/// Chunks of plaintext as raw_open_seconds wants them: ciphertext and tag each.
[[nodiscard]] Bytes raw_sealed(ByteView plaintext);

/// Seconds in which `threads` threads take SHA-256 of sealed chunks of `size_bytes` octets of
/// plaintext and decrypt them. Error{Internal} when a tag is wrong.
[[nodiscard]] double raw_open_seconds(ByteView sealed, std::uint64_t size_bytes, unsigned threads);

/// P-256 point (65), digest (32), signature r || s (64).
struct RawSignature {
  Bytes point;
  Bytes digest;
  Bytes signature;
};

/// Verifications per second on `threads` threads over all of `signatures`, each by its own key.
/// Error{Internal} when one does not verify.
[[nodiscard]] double raw_verify_rate(const std::vector<RawSignature>& signatures, unsigned threads);

/// Seconds for SHA-256 of `leaves` inputs of `leaf_bytes` octets out of `memory` (gone through
/// again when it is shorter) and of leaves - 1 inputs of 65 octets, on one thread, in one loop.
[[nodiscard]] double raw_tree_seconds(ByteView memory,
                                      std::size_t leaf_bytes,
                                      std::uint64_t leaves);

}  // namespace keyferry::bench
