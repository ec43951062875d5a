#include "wrap/se/kdf2.h"

#include <algorithm>

#include "wrap/base/error.h"
#include "wrap/crypto/cmac.h"

namespace keyferry::se {

namespace {

constexpr std::size_t kMinKeyBytes = 16;
constexpr std::size_t kMaxKeyBytes = 64;

}  // namespace

SecretBytes kf_kdf_2(const SecretBytes& master, ByteView input, std::size_t key_size_bytes) {
  if (key_size_bytes < kMinKeyBytes || key_size_bytes > kMaxKeyBytes) {
    throw Error{Code::InvalidArgument, "kf-kdf-2 makes keys of 16 to 64 octets"};
  }
  const std::size_t blocks = (key_size_bytes + crypto::kCmacBytes - 1) / crypto::kCmacBytes;
  SecretBytes key{blocks * crypto::kCmacBytes};
  auto at = key.expose_writable().begin();
  for (std::uint32_t number = 1; number <= blocks; ++number) {
    Bytes message;
    message.reserve(input.size() + 8);
    append_u32be(message, number);
    append(message, input);
    append_u32be(message, static_cast<std::uint32_t>(key_size_bytes * 8));
    const SecretBytes block = crypto::cmac_aes_secret(master, message);
    at = std::ranges::copy(block.expose(), at).out;
  }
  key.resize(key_size_bytes);
  return key;
}

}  // namespace keyferry::se
