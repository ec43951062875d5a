#include "wrap/se/atecc608_payload.h"

#include <fmt/format.h>

#include <algorithm>

#include "keyferry/v1/atecc608.pb.h"
#include "wrap/se/family.h"

namespace keyferry::se {

namespace {

constexpr std::uint32_t kVersion = 1;
constexpr std::uint8_t kMacOpcode = 0x08;  // CheckMac answers for a MAC command (facts, 6.1)

Refusal malformed(std::string_view what) {
  return {"atecc608-payload", fmt::format("ATECC608 payload: {}", what)};
}

template <std::size_t N>
bool take(const std::string& raw, std::array<std::uint8_t, N>& out) {
  if (raw.size() != N) return false;
  std::ranges::copy(as_bytes(raw), out.begin());
  return true;
}

bool take_octets(const v1::Atecc608Payload& message, Atecc608Payload& payload) {
  return take(message.nonce(), payload.nonce) && take(message.cipher(), payload.cipher) &&
         take(message.mac(), payload.mac) && take(message.challenge(), payload.challenge) &&
         take(message.response(), payload.response);
}

std::optional<Refusal> check_nonce_mode(v1::Atecc608NonceMode mode) {
  if (mode == v1::ATECC608_NONCE_MODE_FIXED) return std::nullopt;
  if (mode != v1::ATECC608_NONCE_MODE_RANDOM) return malformed("unknown nonce mode");
  return Refusal{"atecc608-nonce-mode",
                 "ATECC608 payload: nonce_mode is \"random\": the chip insists on a nonce of its "
                 "own, and nobody at this station can answer it",
                 "use parts whose transport slot has KeyConfig.ReqRandom 0"};
}

}  // namespace

Bytes serialise_payload(const Atecc608Payload& payload) {
  v1::Atecc608Payload message;
  message.set_version(kVersion);
  message.set_nonce_mode(v1::ATECC608_NONCE_MODE_FIXED);
  message.set_serial(to_string(payload.serial.bytes()));
  to_message(payload.profile, *message.mutable_profile());
  message.set_nonce(to_string(payload.nonce));
  message.set_cipher(to_string(payload.cipher));
  message.set_mac(to_string(payload.mac));
  message.set_challenge(to_string(payload.challenge));
  message.set_response(to_string(payload.response));
  if (payload.attestation_key)
    message.set_attestation_key(to_string(payload.attestation_key->point()));
  return to_bytes(as_bytes(message.SerializeAsString()));
}

std::variant<Atecc608Payload, Refusal> parse_payload(ByteView octets) {
  v1::Atecc608Payload message;
  if (octets.size() > kMaxAtecc608PayloadBytes ||
      !message.ParseFromArray(octets.data(), static_cast<int>(octets.size())))
    return malformed("not a message of this kind");
  if (message.version() != kVersion) return malformed("another version");
  if (auto refusal = check_nonce_mode(message.nonce_mode())) return *std::move(refusal);
  auto serial = normalise_serial(Family::Atecc608, as_bytes(message.serial()));
  if (auto* refusal = std::get_if<Refusal>(&serial)) return std::move(*refusal);
  auto profile = profile_from_message(message.profile());
  if (auto* refusal = std::get_if<Refusal>(&profile)) return std::move(*refusal);
  Atecc608Payload payload{.serial = std::get<SeSerial>(serial),
                          .profile = std::get<Atecc608Profile>(std::move(profile))};
  if (auto refusal = check_profile(payload.profile)) return *std::move(refusal);
  if (!take_octets(message, payload)) return malformed("a field has not its size");
  if (!message.attestation_key().empty()) {
    payload.attestation_key = crypto::PublicKey::from_point(as_bytes(message.attestation_key()));
    if (!payload.attestation_key) return malformed("the attestation key is no point of P-256");
  }
  // Unknown fields, and other spellings of known ones.
  if (!equal(serialise_payload(payload), octets)) return malformed("not in its one form");
  return payload;
}

std::array<std::uint8_t, 13> preflight_other_data(std::uint8_t slot) {
  return {kMacOpcode, 0x00, slot, 0x00};
}

}  // namespace keyferry::se
