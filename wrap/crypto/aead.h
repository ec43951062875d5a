// AES-GCM (NIST SP 800-38D) with 12-octet nonces and 16-octet tags, by libcrypto. One key, many
// messages: the key is expanded once. The caller answers for the nonce: the same one twice under
// one key gives both messages away.
#pragma once

#include <cstddef>
#include <memory>

#include "wrap/base/bytes.h"
#include "wrap/base/secret_bytes.h"

struct evp_cipher_ctx_st;  // libcrypto's, so that its headers stay out of ours

namespace keyferry::crypto {

inline constexpr std::size_t kGcmNonceBytes = 12;
inline constexpr std::size_t kGcmTagBytes = 16;
inline constexpr std::size_t kGcmMaxMessageBytes = std::size_t{1}
                                                   << 30;  // per call, plaintext and AAD each

/// One thread at a time; several threads take one object each.
class AesGcm {
 public:
  /// key: 16 or 32 octets. Other sizes throw Error{InvalidArgument}.
  explicit AesGcm(const SecretBytes& key);
  AesGcm(AesGcm&&) noexcept = default;
  AesGcm& operator=(AesGcm&&) noexcept = default;
  ~AesGcm() = default;

  /// Appends ciphertext and tag (plaintext.size() + 16 octets) to `out`, which must not overlap the
  /// inputs. A nonce of other than 12 octets, or more than kGcmMaxMessageBytes, throws
  /// Error{InvalidArgument}.
  void seal(ByteView nonce, ByteView aad, ByteView plaintext, Bytes& out);

  /// `out` becomes the plaintext (its capacity is used again), or is empty and the answer false
  /// when the tag is wrong or fewer than 16 octets came. `out` must not overlap the inputs. Throws
  /// as seal() does.
  [[nodiscard]] bool open(ByteView nonce, ByteView aad, ByteView ciphertext_and_tag, Bytes& out);

  /// The same for a plaintext that is a secret.
  [[nodiscard]] bool open(ByteView nonce,
                          ByteView aad,
                          ByteView ciphertext_and_tag,
                          SecretBytes& out);

 private:
  struct Free {
    void operator()(evp_cipher_ctx_st* context) const;
  };

  using Context = std::unique_ptr<evp_cipher_ctx_st, Free>;

  [[nodiscard]] bool open_into(ByteView nonce,
                               ByteView aad,
                               ByteView ciphertext_and_tag,
                               std::span<std::uint8_t> out);

  Context sealing_;
  Context opening_;
};

}  // namespace keyferry::crypto
