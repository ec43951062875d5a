#include "wrap/evidence/atecc608.h"

#include <fmt/format.h>

#include <algorithm>

#include "keyferry/v1/atecc608.pb.h"
#include "wrap/crypto/hash.h"

namespace keyferry::evidence {
namespace {

constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kSerialBytes = 9;
constexpr std::size_t kSlotCount = 16;

// As they enter the hashes (facts page sections 4.9, 4.10).
constexpr std::uint8_t kGenKey = 0x40;
constexpr std::uint8_t kGenKeyPublicDigest = 0x08;
constexpr std::uint8_t kSign = 0x41;
constexpr std::uint8_t kSignInternalFullSerial = 0x40;
constexpr std::uint8_t kSourceInput = 0x10;  // TempKey began with a fixed nonce
constexpr std::uint8_t kGenKeyData = 0x40;   // and holds a digest of a public key
constexpr std::array<std::uint8_t, 25> kZeros{};

/// TempKey after GenKey.
Digest temp_key(const Atecc608Slot& slot,
                const crypto::PublicKey& injected,
                const Digest& challenge,
                ByteView serial) {
  const std::array<std::uint8_t, 4> head{kGenKey, kGenKeyPublicDigest, slot.target_slot, 0x00};
  return crypto::sha256_of({challenge.bytes(),
                            head,
                            serial.last(1),
                            serial.first(2),
                            kZeros,
                            injected.point().subspan(1)});
}

template <std::size_t N>
bool take(const std::string& raw, std::array<std::uint8_t, N>& out) {
  if (raw.size() != N) return false;
  std::ranges::copy(as_bytes(raw), out.begin());
  return true;
}

}  // namespace

Bytes serialise_attestation(const Atecc608Attestation& attestation) {
  v1::Atecc608Attestation message;
  message.set_version(kVersion);
  message.set_signature(to_string(attestation.signature));
  message.set_target_slot(attestation.slot.target_slot);
  message.set_attestation_slot(attestation.slot.attestation_slot);
  message.set_slot_config(to_string(attestation.slot.slot_config));
  message.set_key_config(to_string(attestation.slot.key_config));
  return to_bytes(as_bytes(message.SerializeAsString()));
}

std::variant<Atecc608Attestation, Refusal> parse_attestation(ByteView octets) {
  const Refusal malformed{"attestation-malformed", "the attestation is not one of an ATECC608"};
  v1::Atecc608Attestation message;
  if (octets.size() > kMaxAtecc608AttestationBytes ||
      !message.ParseFromArray(octets.data(), static_cast<int>(octets.size())) ||
      message.version() != kVersion || message.target_slot() >= kSlotCount ||
      message.attestation_slot() >= kSlotCount)
    return malformed;
  Atecc608Attestation attestation;
  attestation.slot.target_slot = static_cast<std::uint8_t>(message.target_slot());
  attestation.slot.attestation_slot = static_cast<std::uint8_t>(message.attestation_slot());
  if (!take(message.signature(), attestation.signature) ||
      !take(message.slot_config(), attestation.slot.slot_config) ||
      !take(message.key_config(), attestation.slot.key_config) ||
      !equal(serialise_attestation(attestation), octets))
    return malformed;
  return attestation;
}

std::array<std::uint8_t, kAtecc608MessageBytes> attestation_message(
    const Atecc608Slot& slot,
    const crypto::PublicKey& injected,
    const Digest& challenge,
    ByteView serial) {
  if (serial.size() != kSerialBytes)
    throw Error{Code::InvalidArgument,
                fmt::format("an ATECC608 serial has 9 octets, not {}", serial.size())};
  Bytes message = to_bytes(temp_key(slot, injected, challenge, serial).bytes());
  message.insert(message.end(), {kSign, kSignInternalFullSerial, slot.attestation_slot, 0x00});
  append(message, slot.slot_config);
  append(message, slot.key_config);
  message.push_back(static_cast<std::uint8_t>(slot.target_slot | kSourceInput | kGenKeyData));
  message.insert(message.end(), {0x00, 0x00});
  append(message, serial.subspan(8, 1));
  append(message, serial.subspan(4, 4));
  append(message, serial.subspan(0, 2));
  append(message, serial.subspan(2, 2));
  message.insert(message.end(), {0x00, 0x00, 0x00});  // locked; no validity; end
  std::array<std::uint8_t, kAtecc608MessageBytes> out{};
  std::ranges::copy(message, out.begin());
  return out;
}

}  // namespace keyferry::evidence
