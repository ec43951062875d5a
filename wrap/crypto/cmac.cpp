#include "wrap/crypto/cmac.h"

#include <botan/mac.h>
#include <fmt/format.h>

#include "wrap/base/error.h"

namespace keyferry::crypto {

namespace {

bool is_aes_key_size(std::size_t size_bytes) {
  return size_bytes == 16 || size_bytes == 24 || size_bytes == 32;
}

}  // namespace

SecretBytes cmac_aes_secret(const SecretBytes& key, ByteView data) {
  if (!is_aes_key_size(key.size())) {
    throw Error{Code::InvalidArgument, "an AES key has 16, 24 or 32 octets"};
  }
  const auto mac = Botan::MessageAuthenticationCode::create_or_throw(
      fmt::format("CMAC(AES-{})", key.size() * 8));
  mac->set_key(key.expose().data(), key.size());
  mac->update(data.data(), data.size());
  SecretBytes tag{kCmacBytes};
  mac->final(tag.expose_writable().data());
  return tag;
}

Bytes cmac_aes(const SecretBytes& key, ByteView data) {
  return to_bytes(cmac_aes_secret(key, data).expose());
}

Bytes aes_check_value(const SecretBytes& key) {
  return cmac_aes(key, Bytes(kCmacBytes));
}

}  // namespace keyferry::crypto
