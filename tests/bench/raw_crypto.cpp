// SHA256_Init and ECDSA_do_verify are the shortest way to the work itself; OpenSSL 3 calls both
// deprecated.
#ifndef OPENSSL_SUPPRESS_DEPRECATED
#define OPENSSL_SUPPRESS_DEPRECATED
#endif
#include "tests/bench/raw_crypto.h"

#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/obj_mac.h>
#include <openssl/sha.h>

#include <array>
#include <atomic>
#include <memory>

#include "tests/bench/report.h"
#include "wrap/base/error.h"

namespace keyferry::bench {
namespace {

constexpr std::size_t kTag = 16;
constexpr std::size_t kSealedChunk = kRawChunkBytes + kTag;
constexpr std::size_t kNodeInput = 65;
constexpr std::array<std::uint8_t, 32> kKey{0x42};
constexpr std::array<std::uint8_t, 12> kNonce{0x17};

void require(bool good, const char* what) {
  if (!good) throw Error{Code::Internal, std::string{"libcrypto: "} + what};
}

template <auto kFree>
struct FreeWith {
  template <typename T>
  void operator()(T* value) const {
    kFree(value);
  }
};

using Cipher = std::unique_ptr<EVP_CIPHER_CTX, FreeWith<EVP_CIPHER_CTX_free>>;
using Key = std::unique_ptr<EC_KEY, FreeWith<EC_KEY_free>>;
using Signature = std::unique_ptr<ECDSA_SIG, FreeWith<ECDSA_SIG_free>>;

enum class Way { Seal, Open };

Cipher cipher_for(Way way) {
  Cipher cipher{EVP_CIPHER_CTX_new()};
  require(EVP_CipherInit_ex(cipher.get(),
                            EVP_aes_256_gcm(),
                            nullptr,
                            kKey.data(),
                            kNonce.data(),
                            way == Way::Seal ? 1 : 0) == 1,
          "EVP_CipherInit_ex");
  return cipher;
}

void sha256(const std::uint8_t* octets, std::size_t size_bytes, std::uint8_t* digest) {
  SHA256_CTX context;
  SHA256_Init(&context);
  SHA256_Update(&context, octets, size_bytes);
  SHA256_Final(digest, &context);
}

void seal_chunk(EVP_CIPHER_CTX* cipher, const std::uint8_t* plaintext, std::uint8_t* sealed) {
  int size = 0;
  require(EVP_EncryptInit_ex(cipher, nullptr, nullptr, nullptr, kNonce.data()) == 1 &&
              EVP_EncryptUpdate(
                  cipher, sealed, &size, plaintext, static_cast<int>(kRawChunkBytes)) == 1 &&
              EVP_EncryptFinal_ex(cipher, sealed + kRawChunkBytes, &size) == 1 &&
              EVP_CIPHER_CTX_ctrl(
                  cipher, EVP_CTRL_AEAD_GET_TAG, kTag, sealed + kRawChunkBytes) == 1,
          "AES-256-GCM");
}

bool open_chunk(EVP_CIPHER_CTX* cipher, const std::uint8_t* sealed, std::uint8_t* plaintext) {
  int size = 0;
  std::array<std::uint8_t, kTag> tag{};
  std::copy_n(sealed + kRawChunkBytes, kTag, tag.begin());
  return EVP_DecryptInit_ex(cipher, nullptr, nullptr, nullptr, kNonce.data()) == 1 &&
         EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_SET_TAG, kTag, tag.data()) == 1 &&
         EVP_DecryptUpdate(cipher, plaintext, &size, sealed, static_cast<int>(kRawChunkBytes)) ==
             1 &&
         EVP_DecryptFinal_ex(cipher, plaintext, &size) == 1;
}

/// One for all, never freed.
const EC_GROUP* p256() {
  static const EC_GROUP* const group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
  return group;
}

struct Parsed {
  Key key;
  Signature signature;
  const Bytes* digest = nullptr;
};

Parsed parsed(const RawSignature& raw) {
  Parsed out{Key{EC_KEY_new()}, Signature{ECDSA_SIG_new()}, &raw.digest};
  require(EC_KEY_set_group(out.key.get(), p256()) == 1 &&
              EC_KEY_oct2key(out.key.get(), raw.point.data(), raw.point.size(), nullptr) == 1,
          "EC_KEY_oct2key");
  constexpr int kHalf = 32;
  require(ECDSA_SIG_set0(out.signature.get(),
                         BN_bin2bn(raw.signature.data(), kHalf, nullptr),
                         BN_bin2bn(raw.signature.data() + kHalf, kHalf, nullptr)) == 1,
          "ECDSA_SIG_set0");
  return out;
}

}  // namespace

double raw_seal_seconds(ByteView plaintext, std::uint64_t size_bytes, unsigned threads) {
  const std::uint64_t chunks = size_bytes / kRawChunkBytes;
  const std::uint64_t in_memory = plaintext.size() / kRawChunkBytes;
  std::vector<Cipher> ciphers;
  std::vector<Bytes> rooms(threads, Bytes(kSealedChunk));
  for (unsigned i = 0; i < threads; ++i) ciphers.push_back(cipher_for(Way::Seal));
  return seconds_of([&] {
    std::atomic<std::uint64_t> next{0};
    on_threads(threads, [&](unsigned thread) {
      std::array<std::uint8_t, SHA256_DIGEST_LENGTH> digest{};
      std::uint8_t* const room = rooms[thread].data();
      for (std::uint64_t i = next++; i < chunks; i = next++) {
        seal_chunk(
            ciphers[thread].get(), plaintext.data() + i % in_memory * kRawChunkBytes, room);
        sha256(room, kSealedChunk, digest.data());
      }
    });
  });
}

Bytes raw_sealed(ByteView plaintext) {
  const Cipher cipher = cipher_for(Way::Seal);
  const std::size_t chunks = plaintext.size() / kRawChunkBytes;
  Bytes sealed(chunks * kSealedChunk);
  for (std::size_t i = 0; i < chunks; ++i)
    seal_chunk(
        cipher.get(), plaintext.data() + i * kRawChunkBytes, sealed.data() + i * kSealedChunk);
  return sealed;
}

double raw_open_seconds(ByteView sealed, std::uint64_t size_bytes, unsigned threads) {
  const std::uint64_t chunks = size_bytes / kRawChunkBytes;
  const std::uint64_t in_memory = sealed.size() / kSealedChunk;
  std::vector<Cipher> ciphers;
  std::vector<Bytes> rooms(threads, Bytes(kSealedChunk));
  for (unsigned i = 0; i < threads; ++i) ciphers.push_back(cipher_for(Way::Open));
  return seconds_of([&] {
    std::atomic<std::uint64_t> next{0};
    on_threads(threads, [&](unsigned thread) {
      std::array<std::uint8_t, SHA256_DIGEST_LENGTH> digest{};
      for (std::uint64_t i = next++; i < chunks; i = next++) {
        const std::uint8_t* const chunk = sealed.data() + i % in_memory * kSealedChunk;
        sha256(chunk, kSealedChunk, digest.data());
        require(open_chunk(ciphers[thread].get(), chunk, rooms[thread].data()), "AES-256-GCM");
      }
    });
  });
}

double raw_verify_rate(const std::vector<RawSignature>& signatures, unsigned threads) {
  std::vector<Parsed> all;
  all.reserve(signatures.size());
  for (const RawSignature& one : signatures) all.push_back(parsed(one));
  const double seconds = seconds_of([&] {
    std::atomic<std::size_t> next{0};
    on_threads(threads, [&](unsigned) {
      for (std::size_t i = next++; i < all.size(); i = next++) {
        require(ECDSA_do_verify(all[i].digest->data(),
                                static_cast<int>(all[i].digest->size()),
                                all[i].signature.get(),
                                all[i].key.get()) == 1,
                "ECDSA_do_verify");
      }
    });
  });
  return static_cast<double>(all.size()) / seconds;
}

double raw_tree_seconds(ByteView memory, std::size_t leaf_bytes, std::uint64_t leaves) {
  const std::uint64_t in_memory = memory.size() / leaf_bytes;
  std::array<std::uint8_t, SHA256_DIGEST_LENGTH> digest{};
  std::array<std::uint8_t, kNodeInput> node{1};
  return seconds_of([&] {
    for (std::uint64_t i = 0; i < leaves; ++i) {
      sha256(memory.data() + i % in_memory * leaf_bytes, leaf_bytes, digest.data());
      if (i == 0) continue;
      std::ranges::copy(digest, node.begin() + 1);  // else the compiler could leave it out
      sha256(node.data(), node.size(), digest.data());
    }
  });
}

}  // namespace keyferry::bench
