#include "appliance/gate/imported_key.h"

#include <botan/mem_ops.h>

#include "wrap/base/durable_file.h"
#include "wrap/base/error.h"
#include "wrap/base/process.h"

namespace keyferry::appliance {
namespace {

/// 0 to 15; 16 for what is no hex digit.
unsigned digit_value(std::uint8_t digit) {
  if (digit >= '0' && digit <= '9') return static_cast<unsigned>(digit - '0');
  if (digit >= 'a' && digit <= 'f') return static_cast<unsigned>(digit - 'a') + 10;
  if (digit >= 'A' && digit <= 'F') return static_cast<unsigned>(digit - 'A') + 10;
  return 16;
}

}  // namespace

SecretBytes imported_key_from_hex(const SecretBytes& digits) {
  const Error wrong{Code::Usage, "the key is not 64 hex digits (AES-256, 32 octets)",
                    "give it as one line of hex, without blanks"};
  if (digits.size() != 2 * kImportedKeyBytes) throw wrong;
  SecretBytes octets{kImportedKeyBytes};
  for (std::size_t i = 0; i < kImportedKeyBytes; ++i) {
    const unsigned high = digit_value(digits.expose()[2 * i]);
    const unsigned low = digit_value(digits.expose()[2 * i + 1]);
    if (high > 15 || low > 15) throw wrong;
    octets.expose_writable()[i] = static_cast<std::uint8_t>(high * 16 + low);
  }
  return octets;
}

SecretBytes obtain_imported_key(int key_fd) {
  if (key_fd >= 0) {
    const Fd fd{key_fd};
    return imported_key_from_hex(read_secret_line(fd.get()));
  }
  SecretBytes key = imported_key_from_hex(prompt_secret("key to import (64 hex digits): "));
  const SecretBytes again = imported_key_from_hex(prompt_secret("the same key again: "));
  if (!Botan::constant_time_compare(key.expose().data(), again.expose().data(), kImportedKeyBytes)) {
    throw Error{Code::Usage, "the two keys differ", "give the same command again"};
  }
  return key;
}

}  // namespace keyferry::appliance
