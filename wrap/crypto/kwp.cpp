#include "wrap/crypto/kwp.h"

#include <botan/block_cipher.h>
#include <botan/exceptn.h>
#include <botan/nist_keywrap.h>

#include <memory>
#include <string>

#include "wrap/base/error.h"

namespace keyferry::crypto {
namespace {

constexpr std::size_t kHalfBlockBytes = 8;  // both algorithms work in halves of an AES block

std::unique_ptr<Botan::BlockCipher> keyed_cipher(const SecretBytes& kek) {
  if (kek.size() != 16 && kek.size() != 24 && kek.size() != 32) {
    throw Error{Code::InvalidArgument, "AES key wrap: a wrapping key has 16, 24 or 32 octets"};
  }
  auto cipher = Botan::BlockCipher::create_or_throw("AES-" + std::to_string(kek.size() * 8));
  cipher->set_key(kek.expose().data(), kek.size());
  return cipher;
}

bool is_blob_size(std::size_t size_bytes, std::size_t least) {
  return size_bytes >= least && size_bytes <= kMaxWrappedKeyBytes + kHalfBlockBytes &&
         size_bytes % kHalfBlockBytes == 0;
}

std::size_t rounded_up(std::size_t size_bytes) {
  return (size_bytes + kHalfBlockBytes - 1) / kHalfBlockBytes * kHalfBlockBytes;
}

/// Botan says "the integrity value is wrong" by an exception; here it is an answer.
template <typename Unwrap>
std::optional<SecretBytes> unwrap_with(Unwrap unwrap, const SecretBytes& kek, ByteView blob) {
  const auto cipher = keyed_cipher(kek);
  try {
    return SecretBytes{unwrap(blob.data(), blob.size(), *cipher)};
  } catch (const Botan::Exception&) {
    return std::nullopt;
  }
}

}  // namespace

Bytes wrap_kwp(const SecretBytes& kek, const SecretBytes& key) {
  if (key.empty() || key.size() > kMaxWrappedKeyBytes) {
    throw Error{Code::InvalidArgument, "AES-KWP: a key to wrap has 1 to 4096 octets"};
  }
  return Botan::nist_key_wrap_padded(key.expose().data(), key.size(), *keyed_cipher(kek));
}

std::optional<SecretBytes> unwrap_kwp(const SecretBytes& kek, ByteView blob) {
  if (!is_blob_size(blob.size(), 2 * kHalfBlockBytes)) {
    static_cast<void>(
        keyed_cipher(kek));  // a wrong wrapping key is the caller's fault with any blob
    return std::nullopt;
  }
  auto key = unwrap_with(Botan::nist_key_unwrap_padded, kek, blob);
  // RFC 5649 §3 (2): the length is within the last 8 octets. Botan 2.19 lets eight octets of
  // padding through.
  if (key && (key->empty() || rounded_up(key->size()) + kHalfBlockBytes != blob.size())) {
    return std::nullopt;
  }
  return key;
}

Bytes wrap_kw(const SecretBytes& kek, const SecretBytes& key) {
  if (key.size() < 2 * kHalfBlockBytes || key.size() > kMaxWrappedKeyBytes ||
      key.size() % kHalfBlockBytes != 0) {
    throw Error{Code::InvalidArgument, "AES-KW: a key to wrap has 16 to 4096 octets, by eights"};
  }
  return Botan::nist_key_wrap(key.expose().data(), key.size(), *keyed_cipher(kek));
}

std::optional<SecretBytes> unwrap_kw(const SecretBytes& kek, ByteView blob) {
  if (!is_blob_size(blob.size(), 3 * kHalfBlockBytes)) {
    static_cast<void>(keyed_cipher(kek));
    return std::nullopt;
  }
  return unwrap_with(Botan::nist_key_unwrap, kek, blob);
}

}  // namespace keyferry::crypto
