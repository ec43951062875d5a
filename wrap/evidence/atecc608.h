// The attestation of family `atecc608`: the chip's own signature, by a key that was made in it,
// over a digest of the injected key's public half and of the slot's state (facts page
// sections 4.9, 4.10 and 6.2). Nonce(fixed, digest of the receipt), GenKey(0x08, target slot),
// Sign(0x40, attestation slot). Public data only.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <variant>

#include "wrap/base/bytes.h"
#include "wrap/base/error.h"
#include "wrap/base/ids.h"
#include "wrap/crypto/signing.h"

namespace keyferry::evidence {

inline constexpr std::size_t kMaxAtecc608AttestationBytes = 128;

/// Two octets each, as they stand in the configuration zone.
struct Atecc608Slot {
  std::uint8_t target_slot = 0;               // 0..15
  std::uint8_t attestation_slot = 0;          // 0..15
  std::array<std::uint8_t, 2> slot_config{};  // of the target slot
  std::array<std::uint8_t, 2> key_config{};

  friend bool operator==(const Atecc608Slot&, const Atecc608Slot&) = default;
};

/// ReceiptEntry.attestation (v1.Atecc608Attestation).
struct Atecc608Attestation {
  Atecc608Slot slot;
  std::array<std::uint8_t, crypto::kSignatureBytes> signature{};

  friend bool operator==(const Atecc608Attestation&, const Atecc608Attestation&) = default;
};

[[nodiscard]] Bytes serialise_attestation(const Atecc608Attestation& attestation);

/// Strict: what it returns gives the same octets again. Reason attestation-malformed.
[[nodiscard]] std::variant<Atecc608Attestation, Refusal> parse_attestation(ByteView octets);

inline constexpr std::size_t kAtecc608MessageBytes = 55;

/// What the chip signs: `challenge` was its fixed nonce, `injected` is in the target slot, which is
/// locked. serial: 9 octets, else Error{InvalidArgument}.
[[nodiscard]] std::array<std::uint8_t, kAtecc608MessageBytes> attestation_message(
    const Atecc608Slot& slot,
    const crypto::PublicKey& injected,
    const Digest& challenge,
    ByteView serial);

}  // namespace keyferry::evidence
