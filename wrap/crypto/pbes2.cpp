#include "wrap/crypto/pbes2.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>

#include <array>
#include <string_view>

#include "wrap/base/error.h"
#include "wrap/crypto/ossl.h"

namespace keyferry::crypto {
namespace {

constexpr std::size_t kSaltBytes = 16;
constexpr std::size_t kMaxSaltBytes = 64;
constexpr std::size_t kAesBlockBytes = 16;
constexpr std::size_t kAesKeyBytes = 32;
constexpr std::uint64_t kMaxMemoryBytes = std::uint64_t{64} << 20;
constexpr std::uint64_t kMaxWork = 8 * kOurScryptCost.n * kOurScryptCost.r * kOurScryptCost.p;

using Algorithm = std::unique_ptr<X509_ALGOR, ossl::FreeWith<X509_ALGOR_free>>;
using EncryptedKey =
    std::unique_ptr<X509_SIG, ossl::FreeWith<X509_SIG_free>>;  // the same ASN.1 as a DigestInfo
using Pbes2 = std::unique_ptr<PBE2PARAM, ossl::FreeWith<PBE2PARAM_free>>;
using Scrypt = std::unique_ptr<SCRYPT_PARAMS, ossl::FreeWith<SCRYPT_PARAMS_free>>;
using Memory = std::unique_ptr<BIO, ossl::FreeWith<BIO_free_all>>;
using CipherContext = std::unique_ptr<EVP_CIPHER_CTX, ossl::FreeWith<EVP_CIPHER_CTX_free>>;

struct Free {
  void operator()(void* memory) const { OPENSSL_free(memory); }
};

struct Parsed {
  Bytes salt;
  ScryptCost cost;
  Bytes iv;
  Bytes ciphertext;
};

ByteView view(const ASN1_STRING* text) {
  return {ASN1_STRING_get0_data(text), static_cast<std::size_t>(ASN1_STRING_length(text))};
}

/// The parameter of `algorithm` as the octets of a SEQUENCE, if the algorithm is `nid`.
std::optional<ByteView> sequence_of(const X509_ALGOR* algorithm, int nid) {
  const ASN1_OBJECT* object = nullptr;
  int type = 0;
  const void* value = nullptr;
  X509_ALGOR_get0(&object, &type, &value, algorithm);
  if (OBJ_obj2nid(object) != nid || type != V_ASN1_SEQUENCE) return std::nullopt;
  return view(static_cast<const ASN1_STRING*>(value));
}

/// One whole DER value, nothing behind it.
template <typename Handle, auto kDecode>
Handle decoded(ByteView der) {
  const std::uint8_t* at = der.data();
  Handle handle{kDecode(nullptr, &at, static_cast<long>(der.size()))};
  if (handle == nullptr || at != der.data() + der.size()) return nullptr;
  return handle;
}

std::optional<Bytes> der_of_pem(ByteView pem) {
  if (pem.empty() || pem.size() > kMaxPbes2PemBytes) return std::nullopt;
  const Memory memory{BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()))};
  ossl::require(memory != nullptr, "BIO_new_mem_buf");
  char* name = nullptr;
  char* header = nullptr;
  unsigned char* data = nullptr;
  long size = 0;
  if (PEM_read_bio(memory.get(), &name, &header, &data, &size) != 1) return std::nullopt;
  const std::unique_ptr<char, Free> name_owner{name};
  const std::unique_ptr<char, Free> header_owner{header};
  const std::unique_ptr<unsigned char, Free> data_owner{data};
  if (std::string_view{name} != PEM_STRING_PKCS8 || *header != '\0') return std::nullopt;
  return to_bytes({data, static_cast<std::size_t>(size)});
}

std::optional<Parsed> parsed(ByteView der) {
  const auto envelope = decoded<EncryptedKey, d2i_X509_SIG>(der);
  if (!envelope) return std::nullopt;
  const X509_ALGOR* algorithm = nullptr;
  const ASN1_OCTET_STRING* ciphertext = nullptr;
  X509_SIG_get0(envelope.get(), &algorithm, &ciphertext);
  const auto pbes2_der = sequence_of(algorithm, NID_pbes2);
  if (!pbes2_der) return std::nullopt;
  const auto pbes2 = decoded<Pbes2, d2i_PBE2PARAM>(*pbes2_der);
  if (!pbes2) return std::nullopt;
  const auto scrypt_der = sequence_of(pbes2->keyfunc, NID_id_scrypt);
  if (!scrypt_der) return std::nullopt;
  const auto scrypt = decoded<Scrypt, d2i_SCRYPT_PARAMS>(*scrypt_der);
  if (!scrypt) return std::nullopt;

  Parsed parts{};
  std::uint64_t key_size_bytes = kAesKeyBytes;
  if (ASN1_INTEGER_get_uint64(&parts.cost.n, scrypt->costParameter) != 1 ||
      ASN1_INTEGER_get_uint64(&parts.cost.r, scrypt->blockSize) != 1 ||
      ASN1_INTEGER_get_uint64(&parts.cost.p, scrypt->parallelizationParameter) != 1 ||
      (scrypt->keyLength != nullptr &&
       ASN1_INTEGER_get_uint64(&key_size_bytes, scrypt->keyLength) != 1)) {
    return std::nullopt;
  }
  parts.salt = to_bytes(view(scrypt->salt));
  parts.ciphertext = to_bytes(view(ciphertext));
  if (!is_bearable(parts.cost) || key_size_bytes != kAesKeyBytes ||
      parts.salt.size() > kMaxSaltBytes) {
    return std::nullopt;
  }

  const ASN1_OBJECT* cipher = nullptr;
  int type = 0;
  const void* iv = nullptr;
  X509_ALGOR_get0(&cipher, &type, &iv, pbes2->encryption);
  if (OBJ_obj2nid(cipher) != NID_aes_256_cbc || type != V_ASN1_OCTET_STRING) return std::nullopt;
  parts.iv = to_bytes(view(static_cast<const ASN1_STRING*>(iv)));
  if (parts.iv.size() != kAesBlockBytes || parts.ciphertext.empty() ||
      parts.ciphertext.size() % kAesBlockBytes != 0) {
    return std::nullopt;
  }
  return parts;
}

SecretBytes key_from(const SecretBytes& passphrase, ByteView salt, const ScryptCost& cost) {
  if (passphrase.empty() || passphrase.size() > kMaxPassphraseBytes) {
    throw Error{Code::InvalidArgument, "a passphrase has 1 to 1024 octets"};
  }
  SecretBytes key{kAesKeyBytes};
  constexpr std::uint64_t kRoomBytes = std::uint64_t{1} << 20;  // for scrypt's smaller arrays
  ossl::require(EVP_PBE_scrypt(reinterpret_cast<const char*>(passphrase.expose().data()),
                               passphrase.size(),
                               ossl::not_null(salt),
                               salt.size(),
                               cost.n,
                               cost.r,
                               cost.p,
                               kMaxMemoryBytes + kRoomBytes,
                               key.expose_writable().data(),
                               key.size()) == 1,
                "EVP_PBE_scrypt");
  return key;
}

enum class Direction { Decrypt = 0, Encrypt = 1 };

/// AES-256-CBC with the padding of PKCS#7. Nothing when the padding is wrong.
std::optional<SecretBytes> cbc(Direction direction,
                               const SecretBytes& key,
                               ByteView iv,
                               ByteView input) {
  const CipherContext context{EVP_CIPHER_CTX_new()};
  ossl::require(context != nullptr, "EVP_CIPHER_CTX_new");
  ossl::require(EVP_CipherInit_ex2(context.get(),
                                   EVP_aes_256_cbc(),
                                   key.expose().data(),
                                   iv.data(),
                                   static_cast<int>(direction),
                                   nullptr) == 1,
                "EVP_CipherInit_ex2");
  SecretBytes output{input.size() + kAesBlockBytes};
  int body = 0;
  int tail = 0;
  ossl::require(EVP_CipherUpdate(context.get(),
                                 output.expose_writable().data(),
                                 &body,
                                 input.data(),
                                 static_cast<int>(input.size())) == 1,
                "EVP_CipherUpdate");
  if (EVP_CipherFinal_ex(context.get(), output.expose_writable().data() + body, &tail) != 1) {
    ERR_clear_error();
    return std::nullopt;
  }
  output.resize(static_cast<std::size_t>(body + tail));
  return output;
}

Bytes pem_of(X509_SIG* envelope) {
  const Memory memory{BIO_new(BIO_s_mem())};
  ossl::require(memory != nullptr && PEM_write_bio_PKCS8(memory.get(), envelope) == 1,
                "PEM_write_bio_PKCS8");
  char* text = nullptr;
  const long size = BIO_get_mem_data(memory.get(), &text);
  return to_bytes(as_bytes({text, static_cast<std::size_t>(size)}));
}

}  // namespace

bool is_bearable(const ScryptCost& cost) {
  constexpr std::uint64_t kMaxN = std::uint64_t{1}
                                  << 19;  // bounds of each, so that no product overflows
  constexpr std::uint64_t kMaxRP = 1024;
  if (cost.n < 2 || cost.n > kMaxN || (cost.n & (cost.n - 1)) != 0) return false;
  if (cost.r == 0 || cost.r > kMaxRP || cost.p == 0 || cost.p > kMaxRP) return false;
  return 128 * cost.r * (cost.n + cost.p) <= kMaxMemoryBytes &&
         cost.n * cost.r * cost.p <= kMaxWork;
}

Bytes pbes2_encrypt_pem(const SecretBytes& plaintext,
                        const SecretBytes& passphrase,
                        const ScryptCost& cost) {
  std::array<std::uint8_t, kSaltBytes> salt{};
  std::array<std::uint8_t, kAesBlockBytes> iv{};
  ossl::require(
      RAND_bytes(salt.data(), kSaltBytes) == 1 && RAND_bytes(iv.data(), kAesBlockBytes) == 1,
      "RAND_bytes");
  const SecretBytes key = key_from(passphrase, salt, cost);
  const auto ciphertext = cbc(Direction::Encrypt, key, iv, plaintext.expose());
  ossl::require(ciphertext.has_value(), "EVP_CipherFinal_ex");

  const Algorithm scheme{PKCS5_pbe2_set_scrypt(
      EVP_aes_256_cbc(), salt.data(), kSaltBytes, iv.data(), cost.n, cost.r, cost.p)};
  const EncryptedKey envelope{X509_SIG_new()};
  ossl::require(scheme != nullptr && envelope != nullptr, "PKCS5_pbe2_set_scrypt");
  X509_ALGOR* algorithm = nullptr;
  ASN1_OCTET_STRING* content = nullptr;
  X509_SIG_getm(envelope.get(), &algorithm, &content);
  ossl::require(
      X509_ALGOR_copy(algorithm, scheme.get()) == 1 &&
          ASN1_OCTET_STRING_set(
              content, ciphertext->expose().data(), static_cast<int>(ciphertext->size())) == 1,
      "X509_SIG_getm");
  return pem_of(envelope.get());
}

std::optional<SecretBytes> pbes2_decrypt_pem(ByteView pem, const SecretBytes& passphrase) {
  const auto der = der_of_pem(pem);
  const auto parts = der ? parsed(*der) : std::nullopt;
  if (!parts) {
    ERR_clear_error();
    return std::nullopt;
  }
  return cbc(Direction::Decrypt,
             key_from(passphrase, parts->salt, parts->cost),
             parts->iv,
             parts->ciphertext);
}

}  // namespace keyferry::crypto
