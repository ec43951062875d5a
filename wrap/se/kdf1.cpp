#include "wrap/se/kdf1.h"

#include <botan/block_cipher.h>

#include "wrap/crypto/hash.h"
#include "wrap/se/kdf.h"

namespace keyferry::se {

namespace {

constexpr std::size_t kBlockBytes = 16;
constexpr std::size_t kMasterBytes = 32;
constexpr std::size_t kMinKeyBytes = 16;
constexpr std::size_t kMaxKeyBytes = 64;

}  // namespace

Bytes kf_kdf_1_data(ByteView input, std::size_t key_size_bytes) {
  if (key_size_bytes < kMinKeyBytes || key_size_bytes > kMaxKeyBytes) {
    throw Error{Code::InvalidArgument, "kf-kdf-1 makes keys of 16 to 64 octets"};
  }
  const Digest digest = crypto::sha256(input);
  // A number in each block keeps the blocks, and so the parts of the key, apart from one another.
  const std::size_t blocks = (key_size_bytes + kBlockBytes - 1) / kBlockBytes;
  Bytes data;
  data.reserve(blocks * kBlockBytes);
  for (std::size_t number = 1; number <= blocks; ++number) {
    data.push_back(static_cast<std::uint8_t>(number));
    append(data, digest.bytes().first(kBlockBytes - 1));
  }
  return data;
}

Bytes kf_kdf_1_data(std::string_view master_name, const Entry& entry, std::size_t key_size_bytes) {
  return kf_kdf_1_data(kdf_input(master_name, entry), key_size_bytes);
}

SecretBytes kf_kdf_1(const SecretBytes& master, ByteView input, std::size_t key_size_bytes) {
  if (master.size() != kMasterBytes) {
    throw Error{Code::InvalidArgument, "a transport-key master has 32 octets"};
  }
  SecretBytes key = SecretBytes::copy_of(kf_kdf_1_data(input, key_size_bytes));
  const auto cipher = Botan::BlockCipher::create_or_throw("AES-256");
  cipher->set_key(master.expose().data(), master.size());
  cipher->encrypt_n(key.expose().data(), key.expose_writable().data(), key.size() / kBlockBytes);
  key.resize(key_size_bytes);
  return key;
}

}  // namespace keyferry::se
