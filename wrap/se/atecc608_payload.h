// Record.payload of family `atecc608`: everything that a station passes on to that one chip
// (v1.Atecc608Payload, FORMAT.md section 7). Cipher and MAC are made by the worker
// (atecc608_builder.h); the public key and the certificate stand beside the payload in the record.
// No secrets.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <variant>

#include "wrap/base/bytes.h"
#include "wrap/base/error.h"
#include "wrap/base/ids.h"
#include "wrap/crypto/signing.h"
#include "wrap/se/atecc608_profile.h"

namespace keyferry::se {

inline constexpr std::size_t kMaxAtecc608PayloadBytes = 1024;

struct Atecc608Payload {
  // Of nonce_mode `fixed`, the only one that a payload can be made for.
  SeSerial serial;  // 9 octets
  Atecc608Profile profile;
  std::array<std::uint8_t, 32> nonce{};      // Nonce, p1 0x03
  std::array<std::uint8_t, 36> cipher{};     // PrivWrite, p1 0x40: encrypted value
  std::array<std::uint8_t, 32> mac{};        // and MAC
  std::array<std::uint8_t, 32> challenge{};  // pre-flight CheckMac
  std::array<std::uint8_t, 32> response{};
  std::optional<crypto::PublicKey> attestation_key = std::nullopt;

  friend bool operator==(const Atecc608Payload&, const Atecc608Payload&) = default;
};

[[nodiscard]] Bytes serialise_payload(const Atecc608Payload& payload);

/// Strict: at most kMaxAtecc608PayloadBytes, every field of its size, nothing unknown, a profile
/// that check_profile accepts; what it returns gives the same octets again. Reasons:
/// atecc608-payload, atecc608-nonce-mode (`random`: somebody who holds the transport key would have
/// to answer the chip's own nonce), serial-invalid, and those of check_profile.
[[nodiscard]] std::variant<Atecc608Payload, Refusal> parse_payload(ByteView octets);

/// The other data of the pre-flight CheckMac for `slot`: 08 00 slot 00, then nine zero octets.
[[nodiscard]] std::array<std::uint8_t, 13> preflight_other_data(std::uint8_t slot);

}  // namespace keyferry::se
