#include "wrap/crypto/aead.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include "wrap/base/error.h"
#include "wrap/crypto/ossl.h"

namespace keyferry::crypto {
namespace {

/// Fetched once: EVP_aes_256_gcm() would look it up again for each key.
const EVP_CIPHER* algorithm_for(std::size_t key_size_bytes) {
  static const EVP_CIPHER* const aes128 = EVP_CIPHER_fetch(nullptr, "AES-128-GCM", nullptr);
  static const EVP_CIPHER* const aes256 = EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr);
  ossl::require(aes128 != nullptr && aes256 != nullptr, "EVP_CIPHER_fetch");
  if (key_size_bytes == 16) return aes128;
  if (key_size_bytes == 32) return aes256;
  throw Error{Code::InvalidArgument, "AES-GCM: a key has 16 or 32 octets"};
}

void check_sizes(ByteView nonce, ByteView aad, std::size_t message_size_bytes) {
  if (nonce.size() != kGcmNonceBytes) {
    throw Error{Code::InvalidArgument, "AES-GCM: a nonce has 12 octets"};
  }
  if (aad.size() > kGcmMaxMessageBytes || message_size_bytes > kGcmMaxMessageBytes) {
    throw Error{Code::InvalidArgument, "AES-GCM: at most 1 GiB at a time"};
  }
}

}  // namespace

void AesGcm::Free::operator()(evp_cipher_ctx_st* context) const {
  EVP_CIPHER_CTX_free(context);
}

AesGcm::AesGcm(const SecretBytes& key)
    : sealing_{EVP_CIPHER_CTX_new()}, opening_{EVP_CIPHER_CTX_new()} {
  ossl::require(sealing_ != nullptr && opening_ != nullptr, "EVP_CIPHER_CTX_new");
  const EVP_CIPHER* algorithm = algorithm_for(key.size());
  const std::uint8_t* octets = key.expose().data();
  ossl::require(EVP_EncryptInit_ex2(sealing_.get(), algorithm, octets, nullptr, nullptr) == 1,
                "EVP_EncryptInit_ex2");
  ossl::require(EVP_DecryptInit_ex2(opening_.get(), algorithm, octets, nullptr, nullptr) == 1,
                "EVP_DecryptInit_ex2");
}

void AesGcm::seal(ByteView nonce, ByteView aad, ByteView plaintext, Bytes& out) {
  check_sizes(nonce, aad, plaintext.size());
  EVP_CIPHER_CTX* context = sealing_.get();
  const std::size_t start = out.size();
  out.resize(start + plaintext.size() + kGcmTagBytes);
  std::uint8_t* ciphertext = out.data() + start;
  int size = 0;
  ossl::require(EVP_EncryptInit_ex2(context, nullptr, nullptr, nonce.data(), nullptr) == 1,
                "EVP_EncryptInit_ex2");
  if (!aad.empty()) {
    ossl::require(
        EVP_EncryptUpdate(context, nullptr, &size, aad.data(), static_cast<int>(aad.size())) == 1,
        "EVP_EncryptUpdate");
  }
  if (!plaintext.empty()) {
    ossl::require(
        EVP_EncryptUpdate(
            context, ciphertext, &size, plaintext.data(), static_cast<int>(plaintext.size())) == 1,
        "EVP_EncryptUpdate");
  }
  std::uint8_t* tag = ciphertext + plaintext.size();
  // GCM holds nothing back: the last call writes no octet.
  ossl::require(EVP_EncryptFinal_ex(context, tag, &size) == 1, "EVP_EncryptFinal_ex");
  ossl::require(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, kGcmTagBytes, tag) == 1,
                "EVP_CIPHER_CTX_ctrl");
}

bool AesGcm::open_into(ByteView nonce,
                       ByteView aad,
                       ByteView ciphertext_and_tag,
                       std::span<std::uint8_t> out) {
  EVP_CIPHER_CTX* context = opening_.get();
  const ByteView ciphertext = ciphertext_and_tag.first(out.size());
  Bytes tag = to_bytes(ciphertext_and_tag.subspan(out.size()));  // the call below wants it writable
  int size = 0;
  ossl::require(EVP_DecryptInit_ex2(context, nullptr, nullptr, nonce.data(), nullptr) == 1,
                "EVP_DecryptInit_ex2");
  ossl::require(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, kGcmTagBytes, tag.data()) == 1,
                "EVP_CIPHER_CTX_ctrl");
  if (!aad.empty()) {
    ossl::require(
        EVP_DecryptUpdate(context, nullptr, &size, aad.data(), static_cast<int>(aad.size())) == 1,
        "EVP_DecryptUpdate");
  }
  if (!ciphertext.empty()) {
    ossl::require(
        EVP_DecryptUpdate(
            context, out.data(), &size, ciphertext.data(), static_cast<int>(ciphertext.size())) ==
            1,
        "EVP_DecryptUpdate");
  }
  std::uint8_t nothing = 0;
  if (EVP_DecryptFinal_ex(context, &nothing, &size) == 1) return true;
  ERR_clear_error();
  OPENSSL_cleanse(out.data(), out.size());  // SP 800-38D §7.2: no plaintext of a refused message
  return false;
}

bool AesGcm::open(ByteView nonce, ByteView aad, ByteView ciphertext_and_tag, Bytes& out) {
  check_sizes(nonce, aad, ciphertext_and_tag.size());
  const bool long_enough = ciphertext_and_tag.size() >= kGcmTagBytes;
  out.resize(long_enough ? ciphertext_and_tag.size() - kGcmTagBytes : 0);
  if (long_enough && open_into(nonce, aad, ciphertext_and_tag, out)) return true;
  out.clear();
  return false;
}

bool AesGcm::open(ByteView nonce, ByteView aad, ByteView ciphertext_and_tag, SecretBytes& out) {
  check_sizes(nonce, aad, ciphertext_and_tag.size());
  const bool long_enough = ciphertext_and_tag.size() >= kGcmTagBytes;
  out = SecretBytes{long_enough ? ciphertext_and_tag.size() - kGcmTagBytes : 0};
  if (long_enough && open_into(nonce, aad, ciphertext_and_tag, out.expose_writable())) return true;
  out = SecretBytes{};
  return false;
}

}  // namespace keyferry::crypto
