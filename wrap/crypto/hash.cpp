#include "wrap/crypto/hash.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include <algorithm>
#include <array>

#include "wrap/base/error.h"
#include "wrap/crypto/ossl.h"

namespace keyferry::crypto {
namespace {

/// Fetched once: EVP_sha256() would look it up again for each message.
const EVP_MD* sha256_algorithm() {
  static const EVP_MD* const algorithm = EVP_MD_fetch(nullptr, "SHA2-256", nullptr);
  ossl::require(algorithm != nullptr, "EVP_MD_fetch");
  return algorithm;
}

EVP_MAC* hmac_algorithm() {
  static EVP_MAC* const algorithm = EVP_MAC_fetch(nullptr, "HMAC", nullptr);
  ossl::require(algorithm != nullptr, "EVP_MAC_fetch");
  return algorithm;
}

Sha256& thread_hash() {
  thread_local Sha256 hash;
  return hash;
}

}  // namespace

void Sha256::Free::operator()(evp_md_ctx_st* context) const {
  EVP_MD_CTX_free(context);
}

Sha256::Sha256() : context_{EVP_MD_CTX_new()} {
  ossl::require(context_ != nullptr, "EVP_MD_CTX_new");
  ossl::require(EVP_DigestInit_ex2(context_.get(), sha256_algorithm(), nullptr) == 1,
                "EVP_DigestInit_ex2");
}

Sha256& Sha256::update(ByteView octets) {
  ossl::require(EVP_DigestUpdate(context_.get(), ossl::not_null(octets), octets.size()) == 1,
                "EVP_DigestUpdate");
  return *this;
}

Digest Sha256::finish() {
  std::array<std::uint8_t, Digest::kSizeBytes> octets{};
  ossl::require(EVP_DigestFinal_ex(context_.get(), octets.data(), nullptr) == 1,
                "EVP_DigestFinal_ex");
  ossl::require(EVP_DigestInit_ex2(context_.get(), nullptr, nullptr) == 1, "EVP_DigestInit_ex2");
  return *Digest::from_bytes(octets);
}

Digest sha256(ByteView octets) {
  return thread_hash().update(octets).finish();
}

Digest sha256_of(std::initializer_list<ByteView> parts) {
  Sha256& hash = thread_hash();
  for (const ByteView part : parts) hash.update(part);
  return hash.finish();
}

SecretBytes hmac_sha256(ByteView key, std::initializer_list<ByteView> parts) {
  const std::unique_ptr<EVP_MAC_CTX, ossl::FreeWith<EVP_MAC_CTX_free>> context{
      EVP_MAC_CTX_new(hmac_algorithm())};
  ossl::require(context != nullptr, "EVP_MAC_CTX_new");
  std::array<char, 9> digest_name{"SHA2-256"};
  const std::array parameters{
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest_name.data(), 0),
      OSSL_PARAM_construct_end()};
  ossl::require(
      EVP_MAC_init(context.get(), ossl::not_null(key), key.size(), parameters.data()) == 1,
      "EVP_MAC_init");
  for (const ByteView part : parts) {
    ossl::require(EVP_MAC_update(context.get(), ossl::not_null(part), part.size()) == 1,
                  "EVP_MAC_update");
  }
  SecretBytes tag{Digest::kSizeBytes};
  std::size_t size = 0;
  ossl::require(
      EVP_MAC_final(context.get(), tag.expose_writable().data(), &size, tag.size()) == 1 &&
          size == tag.size(),
      "EVP_MAC_final");
  return tag;
}

SecretBytes hkdf_extract(ByteView salt, ByteView input_key) {
  return hmac_sha256(salt, {input_key});
}

SecretBytes hkdf_expand(const SecretBytes& pseudorandom_key,
                        ByteView info,
                        std::size_t size_bytes) {
  if (pseudorandom_key.size() < Digest::kSizeBytes) {
    throw Error{Code::InvalidArgument, "HKDF-Expand: a pseudorandom key of fewer than 32 octets"};
  }
  if (size_bytes == 0 || size_bytes > kHkdfMaxOutputBytes) {
    throw Error{Code::InvalidArgument, "HKDF-Expand: 1 to 8160 octets can be had"};
  }
  SecretBytes output{size_bytes};
  SecretBytes block;  // T(0) is empty
  std::uint8_t counter = 0;
  for (std::span<std::uint8_t> rest = output.expose_writable(); !rest.empty();) {
    ++counter;
    block = hmac_sha256(pseudorandom_key.expose(), {block.expose(), info, ByteView{&counter, 1}});
    const std::size_t taken = std::min(rest.size(), block.size());
    std::ranges::copy(block.expose().first(taken), rest.begin());
    rest = rest.subspan(taken);
  }
  return output;
}

}  // namespace keyferry::crypto
