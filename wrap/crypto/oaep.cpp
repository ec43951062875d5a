#include "wrap/crypto/oaep.h"

#include <botan/auto_rng.h>
#include <botan/data_src.h>
#include <botan/pubkey.h>
#include <botan/rsa.h>
#include <botan/x509_key.h>

#include <memory>

#include "wrap/base/error.h"

namespace keyferry::crypto {

namespace {

constexpr std::size_t kMaxKeyBytes = 64;
constexpr std::size_t kMaxSpkiBytes = 2048;

std::unique_ptr<Botan::Public_Key> load(ByteView spki) {
  if (spki.size() > kMaxSpkiBytes) return nullptr;
  try {
    Botan::DataSource_Memory source{spki.data(), spki.size()};
    std::unique_ptr<Botan::Public_Key> key{Botan::X509::load_key(source)};
    if (!key || key->algo_name() != "RSA" || key->key_length() < kMinRsaBits ||
        key->key_length() > kMaxRsaBits || !equal(key->subject_public_key(), spki)) {
      return nullptr;
    }
    return key;
  } catch (const Botan::Exception&) {
    return nullptr;
  }
}

}  // namespace

std::optional<std::size_t> rsa_bits(ByteView spki) {
  const auto key = load(spki);
  if (!key) return std::nullopt;
  return key->key_length();
}

Bytes wrap_oaep(OaepHash hash, ByteView spki, const SecretBytes& key) {
  const auto rsa = load(spki);
  if (!rsa || key.empty() || key.size() > kMaxKeyBytes) {
    throw Error{Code::InvalidArgument,
                "OAEP takes an RSA key of 2048 to 8192 bits and 1 to 64 octets"};
  }
  Botan::AutoSeeded_RNG rng;
  const Botan::PK_Encryptor_EME encryptor{
      *rsa, rng, hash == OaepHash::Sha1 ? "OAEP(SHA-1)" : "OAEP(SHA-256)"};
  return encryptor.encrypt(key.expose().data(), key.size(), rng);
}

}  // namespace keyferry::crypto
