// How a chip of family `atecc608` is laid out for us: its configuration zone and which slot is for
// what. It stands in the batch's plan, so officers approved it; it travels in each payload, so the
// station can hold it against the chip. No secrets. Names of fields and bits: the chip's public
// manuals; FORMAT.md section 8 has the layout of the certificate slots.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "wrap/base/bytes.h"
#include "wrap/base/error.h"

namespace keyferry::v1 {
class Atecc608Profile;
}

namespace keyferry::se {

inline constexpr std::size_t kAtecc608ConfigurationBytes = 128;
inline constexpr std::size_t kAtecc608SerialBytes = 9;
inline constexpr std::uint8_t kAtecc608SlotCount = 16;

enum class CertificateForm {
  Plain,       // DER over the certificate slots as one area
  Compressed,  // the vendor's 72 octets, in one slot
};

/// "plain", "compressed".
[[nodiscard]] std::string_view certificate_form_name(CertificateForm form);
[[nodiscard]] std::optional<CertificateForm> certificate_form_from_name(std::string_view name);

/// What a plain area holds.
enum class CertificateChain {
  Leaf,   // the device's certificate alone
  Whole,  // it and its issuers, in the order of the record
};

/// "leaf", "whole".
[[nodiscard]] std::string_view certificate_chain_name(CertificateChain chain);
[[nodiscard]] std::optional<CertificateChain> certificate_chain_from_name(std::string_view name);

struct Atecc608Profile {
  std::array<std::uint8_t, kAtecc608ConfigurationBytes> configuration{};
  std::uint8_t transport_slot = 0;
  std::uint8_t target_slot = 0;
  std::optional<std::uint8_t> attestation_slot = std::nullopt;
  CertificateForm certificate_form = CertificateForm::Plain;
  CertificateChain certificate_chain = CertificateChain::Leaf;
  std::vector<std::uint8_t> certificate_slots = {};  // in the order of the area; may be empty
  std::optional<std::uint8_t> secure_boot_slot = std::nullopt;

  friend bool operator==(const Atecc608Profile&, const Atecc608Profile&) = default;
};

/// 36, 416 or 72 octets. slot: 0..15, else Error{InvalidArgument}.
[[nodiscard]] std::size_t atecc608_slot_size_bytes(std::uint8_t slot);

/// The two octets of a slot as they stand in a configuration zone, which is as the chip hashes
/// them.
[[nodiscard]] std::array<std::uint8_t, 2> slot_config_octets(
    std::span<const std::uint8_t, kAtecc608ConfigurationBytes> configuration, std::uint8_t slot);
[[nodiscard]] std::array<std::uint8_t, 2> key_config_octets(
    std::span<const std::uint8_t, kAtecc608ConfigurationBytes> configuration, std::uint8_t slot);

/// Nothing if a payload made without the chip can work with this layout and the key is safe in it.
/// Reasons: atecc608-slots (out of range, or one slot for two uses), atecc608-transport-slot,
/// atecc608-req-random (the transport slot demands the chip's own nonce), atecc608-target-slot,
/// atecc608-attestation-slot, atecc608-certificate-slots, atecc608-secure-boot-slot. The text names
/// slot, bit and value.
[[nodiscard]] std::optional<Refusal> check_profile(const Atecc608Profile& profile);

/// What of the chip's configuration zone is not as in the profile, each as "SlotConfig[0]: plan
/// 8144, chip 8344", in the order of the zone. Only octets that our use depends on are compared:
/// never serial number, revision, address, counters, lock octets or the configuration of slots that
/// the profile does not name.
[[nodiscard]] std::vector<std::string> configuration_differences(
    const Atecc608Profile& profile,
    std::span<const std::uint8_t, kAtecc608ConfigurationBytes> actual);

/// Octets that the certificate slots hold together.
[[nodiscard]] std::size_t certificate_area_bytes(const Atecc608Profile& profile);

/// The whole certificate area of form `plain`, without filling: for each certificate u16be length
/// and DER, then u16be 0 when two octets are left. issuers: used when the profile says `whole`.
/// Refusal `atecc608-certificate-room` when the slots are too small.
[[nodiscard]] std::variant<Bytes, Refusal> plain_certificate_area(
    const Atecc608Profile& profile, ByteView leaf, const std::vector<Bytes>& issuers);

/// Conversion for payloads and plans. Reading refuses `atecc608-profile` for sizes, enumerations
/// and slot numbers; check_profile is not called.
void to_message(const Atecc608Profile& profile, v1::Atecc608Profile& message);
[[nodiscard]] std::variant<Atecc608Profile, Refusal> profile_from_message(
    const v1::Atecc608Profile& message);

}  // namespace keyferry::se
