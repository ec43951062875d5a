// SHA-256 in pieces whose inner state can be taken out and put back, as the chip's SHA command does
// (section 4.13).
#pragma once

#include <openssl/sha.h>

#include <optional>

#include "wrap/base/bytes.h"

namespace keyferry::vse::atecc608 {

class ShaContext {
 public:
  ShaContext();

  /// HMAC-SHA-256 (RFC 2104) with a key of at most 64 octets.
  [[nodiscard]] static ShaContext hmac(ByteView key);

  /// Nothing unless `octets` is what save() gave.
  [[nodiscard]] static std::optional<ShaContext> restore(ByteView octets);

  void update(ByteView octets);
  [[nodiscard]] Bytes finish();

  /// Length so far as LE4, eight state words, the octets of the unfinished block. Nothing for an
  /// HMAC: its key would come out with it.
  [[nodiscard]] std::optional<Bytes> save() const;

 private:
  SHA256_CTX inner_{};
  std::optional<Bytes> outer_pad_;  // HMAC only
};

}  // namespace keyferry::vse::atecc608
