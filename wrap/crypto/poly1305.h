// Poly1305 with a key of its own for each message, out of one key by ChaCha20 (RFC 8439 sections 2.5 and 2.6).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "wrap/base/bytes.h"
#include "wrap/base/secret_bytes.h"

struct evp_cipher_ctx_st;
struct evp_mac_ctx_st;

namespace keyferry::crypto {

inline constexpr std::size_t kPoly1305KeyBytes = 32;
inline constexpr std::size_t kPoly1305TagBytes = 16;
using Poly1305Tag = std::array<std::uint8_t, kPoly1305TagBytes>;

/// RFC 8439 section 2.5. The key is for one message. Other than 32 octets: Error{InvalidArgument}.
[[nodiscard]] Poly1305Tag poly1305(const SecretBytes& one_time_key, ByteView message);

/// Tags for numbered messages: the one-time key of number n is that of RFC 8439 section 2.6 with the nonce of 4 zero
/// octets and n as u64be. One tag may become known for a number, no second one. For one thread.
class NumberedMac {
 public:
  /// Other than 32 octets: Error{InvalidArgument}.
  explicit NumberedMac(const SecretBytes& key);

  [[nodiscard]] Poly1305Tag tag(std::uint64_t number, ByteView message);

 private:
  struct Free {
    void operator()(evp_cipher_ctx_st* context) const;
    void operator()(evp_mac_ctx_st* context) const;
  };

  std::unique_ptr<evp_cipher_ctx_st, Free> stream_;
  std::unique_ptr<evp_mac_ctx_st, Free> mac_;
  SecretBytes one_time_key_{kPoly1305KeyBytes};
};

/// In the same time wherever they differ.
[[nodiscard]] bool same(const Poly1305Tag& one, const Poly1305Tag& other);

}  // namespace keyferry::crypto
