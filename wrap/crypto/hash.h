// SHA-256 (FIPS 180-4), HMAC-SHA-256 (RFC 2104) and HKDF-SHA-256 (RFC 5869), by libcrypto.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <memory>

#include "wrap/base/bytes.h"
#include "wrap/base/ids.h"
#include "wrap/base/secret_bytes.h"

struct evp_md_ctx_st;  // libcrypto's, so that its headers stay out of ours

namespace keyferry::crypto {

/// SHA-256 of `octets`. For public data: the thread's digest context is kept between calls.
[[nodiscard]] Digest sha256(ByteView octets);

/// SHA-256 of the parts one after another. Nothing separates them: the caller's format says where
/// each ends.
[[nodiscard]] Digest sha256_of(std::initializer_list<ByteView> parts);

/// SHA-256 in steps. One thread at a time.
class Sha256 {
 public:
  Sha256();
  Sha256(Sha256&&) noexcept = default;
  Sha256& operator=(Sha256&&) noexcept = default;
  ~Sha256() = default;

  Sha256& update(ByteView octets);

  /// The digest of what was given since the start or the last finish(); ready for the next message.
  [[nodiscard]] Digest finish();

 private:
  struct Free {
    void operator()(evp_md_ctx_st* context) const;
  };

  std::unique_ptr<evp_md_ctx_st, Free> context_;
};

inline constexpr std::size_t kHkdfMaxOutputBytes = 255 * Digest::kSizeBytes;  // RFC 5869 §2.3

/// HMAC-SHA-256 of the parts one after another: 32 octets.
[[nodiscard]] SecretBytes hmac_sha256(ByteView key, std::initializer_list<ByteView> parts);

/// RFC 5869 §2.2: 32 octets. An empty salt is the same as 32 zero octets.
[[nodiscard]] SecretBytes hkdf_extract(ByteView salt, ByteView input_key);

/// RFC 5869 §2.3. pseudorandom_key: 32 octets or more. size_bytes: 1..kHkdfMaxOutputBytes.
/// Other sizes throw Error{InvalidArgument}.
[[nodiscard]] SecretBytes hkdf_expand(const SecretBytes& pseudorandom_key,
                                      ByteView info,
                                      std::size_t size_bytes);

}  // namespace keyferry::crypto
