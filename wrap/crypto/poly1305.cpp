#include "wrap/crypto/poly1305.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "wrap/base/error.h"
#include "wrap/crypto/ossl.h"

namespace keyferry::crypto {
namespace {

constexpr std::size_t kStreamStartBytes = 16;  // OpenSSL's iv of ChaCha20: counter (little-endian), then the nonce

EVP_MAC* algorithm() {
  static EVP_MAC* const fetched = EVP_MAC_fetch(nullptr, "POLY1305", nullptr);
  ossl::require(fetched != nullptr, "EVP_MAC_fetch");
  return fetched;
}

void check_key(const SecretBytes& key) {
  if (key.size() != kPoly1305KeyBytes) throw Error{Code::InvalidArgument, "Poly1305: a key has 32 octets"};
}

Poly1305Tag tag_of(evp_mac_ctx_st* context, ByteView key, ByteView message) {
  Poly1305Tag tag{};
  std::size_t size = 0;
  ossl::require(EVP_MAC_init(context, key.data(), key.size(), nullptr) == 1 &&
                    EVP_MAC_update(context, ossl::not_null(message), message.size()) == 1 &&
                    EVP_MAC_final(context, tag.data(), &size, tag.size()) == 1 && size == tag.size(),
                "Poly1305");
  return tag;
}

}  // namespace

void NumberedMac::Free::operator()(evp_cipher_ctx_st* context) const { EVP_CIPHER_CTX_free(context); }

void NumberedMac::Free::operator()(evp_mac_ctx_st* context) const { EVP_MAC_CTX_free(context); }

NumberedMac::NumberedMac(const SecretBytes& key) : stream_{EVP_CIPHER_CTX_new()}, mac_{EVP_MAC_CTX_new(algorithm())} {
  check_key(key);
  ossl::require(stream_ != nullptr && mac_ != nullptr, "EVP_MAC_CTX_new");
  const std::array<std::uint8_t, kStreamStartBytes> start{};
  ossl::require(EVP_EncryptInit_ex2(stream_.get(), EVP_chacha20(), key.expose().data(), start.data(), nullptr) == 1,
                "EVP_EncryptInit_ex2");
}

Poly1305Tag NumberedMac::tag(std::uint64_t number, ByteView message) {
  Bytes start(kStreamStartBytes - sizeof number);  // counter 0, and the nonce's zero octets
  append_u64be(start, number);
  const std::array<std::uint8_t, kPoly1305KeyBytes> zeros{};  // the key is the start of the stream itself
  int size = 0;
  ossl::require(EVP_EncryptInit_ex2(stream_.get(), nullptr, nullptr, start.data(), nullptr) == 1 &&
                    EVP_EncryptUpdate(stream_.get(), one_time_key_.expose_writable().data(), &size, zeros.data(),
                                      kPoly1305KeyBytes) == 1,
                "ChaCha20");
  return tag_of(mac_.get(), one_time_key_.expose(), message);
}

Poly1305Tag poly1305(const SecretBytes& one_time_key, ByteView message) {
  check_key(one_time_key);
  const std::unique_ptr<EVP_MAC_CTX, decltype(&EVP_MAC_CTX_free)> context{EVP_MAC_CTX_new(algorithm()),
                                                                          &EVP_MAC_CTX_free};
  ossl::require(context != nullptr, "EVP_MAC_CTX_new");
  return tag_of(context.get(), one_time_key.expose(), message);
}

bool same(const Poly1305Tag& one, const Poly1305Tag& other) {
  return CRYPTO_memcmp(one.data(), other.data(), one.size()) == 0;
}

}  // namespace keyferry::crypto
