// What a chip does with a payload, written from the facts page and not from the builder.
#pragma once

#include <optional>

#include "wrap/crypto/hash.h"
#include "wrap/crypto/soft_key.h"
#include "wrap/se/atecc608_payload.h"

namespace keyferry::se {

/// The device key's scalar as a chip with `transport_key` gets it: facts page section 4.8 read the
/// other way round, with libcrypto's hashes.
inline std::optional<crypto::SoftKey> open_as_chip(const Atecc608Payload& payload,
                                                   ByteView transport_key) {
  const ByteView serial = payload.serial.bytes();
  const auto& profile = payload.profile;
  const Bytes head{0x15, 0x02, profile.transport_slot, 0x00};
  const Digest key = crypto::sha256_of(
      {transport_key, head, serial.last(1), serial.first(2), Bytes(25), payload.nonce});
  const Digest rest = crypto::sha256(key.bytes());
  Bytes plain = to_bytes(payload.cipher);
  for (std::size_t i = 0; i < plain.size(); ++i)
    plain[i] ^= i < 32 ? key.bytes()[i] : rest.bytes()[i - 32];
  const Bytes mac_head{0x46, 0x40, profile.target_slot, 0x00};
  const Digest mac =
      crypto::sha256_of({key.bytes(), mac_head, serial.last(1), serial.first(2), Bytes(21), plain});
  if (!equal(mac.bytes(), payload.mac) || plain[0] != 0 || plain[3] != 0) return std::nullopt;
  return crypto::SoftKey::from_scalar(SecretBytes::copy_of(ByteView{plain}.subspan(4)));
}

}  // namespace keyferry::se
