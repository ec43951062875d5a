#include "wrap/se/atecc608_profile.h"

#include <fmt/format.h>

#include <algorithm>

#include "keyferry/v1/atecc608.pb.h"

namespace keyferry::se {

namespace {

using Configuration = std::span<const std::uint8_t, kAtecc608ConfigurationBytes>;

// Configuration zone, sections 2.1 to 2.3 of the facts page (public manuals).
constexpr std::size_t kCountMatch = 18;
constexpr std::size_t kChipMode = 19;
constexpr std::size_t kSlotConfig = 20;
constexpr std::size_t kUseLock = 68;
constexpr std::size_t kVolatileKeyPermission = 69;
constexpr std::size_t kSecureBoot = 70;
constexpr std::size_t kChipOptions = 90;
constexpr std::size_t kKeyConfig = 96;

constexpr std::uint8_t kFirstDataSlot = 8;  // 416 octets; 9 to 15 have 72; 0 to 7 have 36
constexpr std::size_t kKeySlotBytes = 36;
constexpr std::size_t kLargeSlotBytes = 416;
constexpr std::size_t kDataSlotBytes = 72;
constexpr std::size_t kLengthBytes = 2;

constexpr unsigned kReadKeyUnused = 0xF;
constexpr unsigned kKeyTypeP256 = 4;
constexpr unsigned kKeyTypeSha = 7;
constexpr unsigned kSecureBootOff = 0;

struct FormRow {
  CertificateForm form;
  std::string_view name;
};

constexpr std::array kFormRows{FormRow{CertificateForm::Plain, "plain"},
                               FormRow{CertificateForm::Compressed, "compressed"}};

struct ChainRow {
  CertificateChain chain;
  std::string_view name;
};

constexpr std::array kChainRows{ChainRow{CertificateChain::Leaf, "leaf"},
                                ChainRow{CertificateChain::Whole, "whole"}};

unsigned word_at(Configuration zone, std::size_t at) {
  return static_cast<unsigned>(zone[at]) | static_cast<unsigned>(zone[at + 1]) << 8;
}

/// A word of the configuration, read bit by bit.
class Word {
 public:
  explicit Word(unsigned word) : word_{word} {}

  [[nodiscard]] unsigned bits(unsigned low, unsigned count) const {
    return (word_ >> low) & ((1U << count) - 1U);
  }

  [[nodiscard]] bool bit(unsigned number) const { return bits(number, 1) != 0; }

 private:
  unsigned word_;
};

struct SlotConfig : Word {
  SlotConfig(Configuration zone, std::uint8_t slot)
      : Word{word_at(zone, kSlotConfig + 2U * slot)} {}

  [[nodiscard]] unsigned read_key() const { return bits(0, 4); }

  [[nodiscard]] bool external_sign() const { return bit(0); }

  [[nodiscard]] bool internal_sign() const { return bit(1); }

  [[nodiscard]] bool limited_use() const { return bit(5); }

  [[nodiscard]] bool encrypt_read() const { return bit(6); }

  [[nodiscard]] bool is_secret() const { return bit(7); }

  [[nodiscard]] unsigned write_key() const { return bits(8, 4); }

  [[nodiscard]] unsigned write_config() const { return bits(12, 4); }

  [[nodiscard]] bool priv_write() const { return bit(14); }
};

struct KeyConfig : Word {
  KeyConfig(Configuration zone, std::uint8_t slot) : Word{word_at(zone, kKeyConfig + 2U * slot)} {}

  [[nodiscard]] bool is_private() const { return bit(0); }

  [[nodiscard]] bool pub_info() const { return bit(1); }

  [[nodiscard]] unsigned key_type() const { return bits(2, 3); }

  [[nodiscard]] bool lockable() const { return bit(5); }

  [[nodiscard]] bool req_random() const { return bit(6); }

  [[nodiscard]] bool req_auth() const { return bit(7); }

  [[nodiscard]] bool persistent_disable() const { return bit(12); }
};

/// Collects what a slot's bits should be and are not.
class Bits {
 public:
  void want(std::string_view name, unsigned actual, unsigned expected) {
    if (actual == expected) return;
    wrong_.push_back(fmt::format("{} is {}, must be {}", name, actual, expected));
  }

  void want(std::string_view name, bool actual, bool expected) {
    want(name, actual ? 1U : 0U, expected ? 1U : 0U);
  }

  [[nodiscard]] std::optional<Refusal> refusal(std::string reason,
                                               std::string_view use,
                                               std::uint8_t slot) const {
    if (wrong_.empty()) return std::nullopt;
    return Refusal{
        std::move(reason),
        fmt::format("ATECC608 configuration: slot {} ({}): {}", slot, use, fmt::join(wrong_, "; ")),
        "correct the configuration before chips are locked with it, or name another slot"};
  }

 private:
  std::vector<std::string> wrong_;
};

std::vector<std::uint8_t> named_slots(const Atecc608Profile& profile) {
  std::vector<std::uint8_t> slots{profile.transport_slot, profile.target_slot};
  if (profile.attestation_slot) slots.push_back(*profile.attestation_slot);
  slots.insert(slots.end(), profile.certificate_slots.begin(), profile.certificate_slots.end());
  if (profile.secure_boot_slot) slots.push_back(*profile.secure_boot_slot);
  std::ranges::sort(slots);
  return slots;
}

std::optional<Refusal> check_slot_numbers(const Atecc608Profile& profile) {
  const std::vector<std::uint8_t> slots = named_slots(profile);
  if (slots.back() >= kAtecc608SlotCount) {
    return Refusal{"atecc608-slots",
                   fmt::format("ATECC608 slot {}: slots are 0 to 15", slots.back())};
  }
  const auto twice = std::ranges::adjacent_find(slots);
  if (twice != slots.end()) {
    return Refusal{"atecc608-slots", fmt::format("ATECC608 slot {} is named for two uses", *twice)};
  }
  return std::nullopt;
}

std::optional<Refusal> check_transport_slot(const Atecc608Profile& profile) {
  const std::uint8_t slot = profile.transport_slot;
  const SlotConfig use{profile.configuration, slot};
  const KeyConfig key{profile.configuration, slot};
  if (key.req_random()) {
    return Refusal{
        "atecc608-req-random",
        fmt::format("ATECC608 configuration: slot {} (transport key) has KeyConfig.ReqRandom 1: "
                    "such a chip insists on a nonce of its own, and no payload can be made without "
                    "it (nonce_mode \"random\", which nobody here can answer)",
                    slot),
        "use parts that were configured with ReqRandom 0 in this slot"};
  }
  Bits bits;
  bits.want("KeyConfig.Private", key.is_private(), false);
  bits.want("KeyConfig.KeyType", key.key_type(), kKeyTypeSha);
  bits.want("KeyConfig.ReqAuth", key.req_auth(), false);
  bits.want("KeyConfig.PersistentDisable", key.persistent_disable(), false);
  bits.want("SlotConfig.IsSecret", use.is_secret(), true);
  bits.want("SlotConfig.EncryptRead", use.encrypt_read(), false);
  bits.want("SlotConfig.LimitedUse", use.limited_use(), false);
  bits.want("SlotConfig.ReadKey", use.read_key(), kReadKeyUnused);
  // 100x: Write never, and no DeriveKey either
  bits.want("SlotConfig.WriteConfig, bits 15 to 13,", use.write_config() >> 1, 4U);
  return bits.refusal("atecc608-transport-slot", "transport key", slot);
}

std::optional<Refusal> check_target_slot(const Atecc608Profile& profile) {
  const std::uint8_t slot = profile.target_slot;
  const SlotConfig use{profile.configuration, slot};
  const KeyConfig key{profile.configuration, slot};
  Bits bits;
  bits.want("KeyConfig.Private", key.is_private(), true);
  bits.want("KeyConfig.PubInfo", key.pub_info(), true);
  bits.want("KeyConfig.KeyType", key.key_type(), kKeyTypeP256);
  bits.want("KeyConfig.Lockable", key.lockable(), true);
  bits.want("KeyConfig.ReqRandom", key.req_random(), false);
  bits.want("KeyConfig.ReqAuth", key.req_auth(), false);
  bits.want("KeyConfig.PersistentDisable", key.persistent_disable(), false);
  bits.want("SlotConfig.IsSecret", use.is_secret(), true);
  bits.want("SlotConfig.EncryptRead", use.encrypt_read(), false);
  bits.want("SlotConfig.LimitedUse", use.limited_use(), false);
  bits.want("SlotConfig bit 14 (PrivWrite)", use.priv_write(), true);
  bits.want("SlotConfig.WriteKey", use.write_key(), profile.transport_slot);
  bits.want("SlotConfig bit 0 (external signatures)", use.external_sign(), true);
  bits.want("SlotConfig bit 1 (internal signatures)", use.internal_sign(), false);
  return bits.refusal("atecc608-target-slot", "device key", slot);
}

std::optional<Refusal> check_attestation_slot(const Atecc608Profile& profile) {
  if (!profile.attestation_slot) return std::nullopt;
  const std::uint8_t slot = *profile.attestation_slot;
  const SlotConfig use{profile.configuration, slot};
  const KeyConfig key{profile.configuration, slot};
  Bits bits;
  bits.want("KeyConfig.Private", key.is_private(), true);
  bits.want("KeyConfig.KeyType", key.key_type(), kKeyTypeP256);
  bits.want("KeyConfig.Lockable", key.lockable(), true);
  bits.want("KeyConfig.ReqRandom", key.req_random(), false);  // GenKey's digest after a fixed nonce
  bits.want("KeyConfig.ReqAuth", key.req_auth(), false);
  bits.want("KeyConfig.PersistentDisable", key.persistent_disable(), false);
  bits.want("SlotConfig.IsSecret", use.is_secret(), true);
  bits.want("SlotConfig.EncryptRead", use.encrypt_read(), false);
  bits.want("SlotConfig.LimitedUse", use.limited_use(), false);
  // A key that could be written, or that signs what it is given, attests nothing.
  bits.want("SlotConfig bit 14 (PrivWrite)", use.priv_write(), false);
  bits.want("SlotConfig bit 0 (external signatures)", use.external_sign(), false);
  bits.want("SlotConfig bit 1 (internal signatures)", use.internal_sign(), true);
  return bits.refusal("atecc608-attestation-slot", "attestation key", slot);
}

std::optional<Refusal> check_certificate_slot(const Atecc608Profile& profile, std::uint8_t slot) {
  if (slot < kFirstDataSlot) {
    return Refusal{"atecc608-certificate-slots",
                   fmt::format("ATECC608 slot {}: certificates go into slots 8 to 15", slot)};
  }
  const SlotConfig use{profile.configuration, slot};
  const KeyConfig key{profile.configuration, slot};
  Bits bits;
  bits.want("KeyConfig.Private", key.is_private(), false);
  bits.want("KeyConfig.KeyType", key.key_type(), kKeyTypeSha);
  bits.want("KeyConfig.ReqAuth", key.req_auth(), false);
  bits.want("KeyConfig.PersistentDisable", key.persistent_disable(), false);
  bits.want("SlotConfig.IsSecret", use.is_secret(), false);
  bits.want("SlotConfig.EncryptRead", use.encrypt_read(), false);
  bits.want("SlotConfig.WriteConfig", use.write_config(), 0U);  // clear, also after the data lock
  return bits.refusal("atecc608-certificate-slots", "certificate", slot);
}

std::optional<Refusal> check_certificate_slots(const Atecc608Profile& profile) {
  if (profile.certificate_form == CertificateForm::Compressed) {
    const bool fits = profile.certificate_slots.size() == 1 &&
                      profile.certificate_chain == CertificateChain::Leaf;
    if (!fits) {
      return Refusal{"atecc608-certificate-slots",
                     "a compressed certificate takes exactly one slot, and issuers are not stored "
                     "with it"};
    }
  }
  for (const std::uint8_t slot : profile.certificate_slots) {
    if (auto refusal = check_certificate_slot(profile, slot)) return refusal;
  }
  return std::nullopt;
}

std::optional<Refusal> check_secure_boot_slot(const Atecc608Profile& profile) {
  if (!profile.secure_boot_slot) return std::nullopt;
  const std::uint8_t slot = *profile.secure_boot_slot;
  if (slot < kFirstDataSlot) {
    return Refusal{"atecc608-secure-boot-slot",
                   fmt::format("ATECC608 slot {}: public keys stand in slots 8 to 15", slot)};
  }
  const SlotConfig use{profile.configuration, slot};
  const KeyConfig key{profile.configuration, slot};
  const Word secure_boot{word_at(profile.configuration, kSecureBoot)};
  Bits bits;
  bits.want("KeyConfig.Private", key.is_private(), false);
  bits.want("KeyConfig.KeyType", key.key_type(), kKeyTypeP256);
  bits.want("KeyConfig.Lockable", key.lockable(), true);  // open, anybody could put a key there
  bits.want("KeyConfig.ReqRandom", key.req_random(), false);
  bits.want("KeyConfig.ReqAuth", key.req_auth(), false);
  bits.want("SlotConfig.IsSecret", use.is_secret(), false);
  bits.want("SlotConfig.EncryptRead", use.encrypt_read(), false);
  if (secure_boot.bits(0, 2) != kSecureBootOff) {
    bits.want("SecureBoot, key slot,", secure_boot.bits(12, 4), slot);
  }
  return bits.refusal("atecc608-secure-boot-slot", "secure boot key", slot);
}

struct Difference {
  Configuration planned;
  Configuration actual;
  std::vector<std::string>& out;

  void octets(std::string_view name, std::size_t at, std::size_t size) const {
    const auto plan = planned.subspan(at, size);
    const auto chip = actual.subspan(at, size);
    if (!equal(plan, chip))
      out.push_back(fmt::format("{}: plan {}, chip {}", name, to_hex(plan), to_hex(chip)));
  }
};

template <std::size_t N>
std::array<std::uint8_t, N> octets_at(Configuration zone, std::size_t at) {
  std::array<std::uint8_t, N> out{};
  std::ranges::copy(zone.subspan(at, N), out.begin());
  return out;
}

Refusal malformed(std::string_view field) {
  return {"atecc608-profile", fmt::format("ATECC608 profile: {} is not well-formed", field)};
}

std::optional<std::uint8_t> slot_number(std::uint32_t number) {
  if (number >= kAtecc608SlotCount) return std::nullopt;
  return static_cast<std::uint8_t>(number);
}

}  // namespace

std::string_view certificate_form_name(CertificateForm form) {
  return std::ranges::find(kFormRows, form, &FormRow::form)->name;
}

std::optional<CertificateForm> certificate_form_from_name(std::string_view name) {
  const auto* const row = std::ranges::find(kFormRows, name, &FormRow::name);
  return row == kFormRows.end() ? std::nullopt : std::optional{row->form};
}

std::string_view certificate_chain_name(CertificateChain chain) {
  return std::ranges::find(kChainRows, chain, &ChainRow::chain)->name;
}

std::optional<CertificateChain> certificate_chain_from_name(std::string_view name) {
  const auto* const row = std::ranges::find(kChainRows, name, &ChainRow::name);
  return row == kChainRows.end() ? std::nullopt : std::optional{row->chain};
}

std::size_t atecc608_slot_size_bytes(std::uint8_t slot) {
  if (slot >= kAtecc608SlotCount)
    throw Error{Code::InvalidArgument, fmt::format("ATECC608 has no slot {}", slot)};
  if (slot < kFirstDataSlot) return kKeySlotBytes;
  return slot == kFirstDataSlot ? kLargeSlotBytes : kDataSlotBytes;
}

std::array<std::uint8_t, 2> slot_config_octets(Configuration configuration, std::uint8_t slot) {
  return octets_at<2>(configuration, kSlotConfig + 2U * slot);
}

std::array<std::uint8_t, 2> key_config_octets(Configuration configuration, std::uint8_t slot) {
  return octets_at<2>(configuration, kKeyConfig + 2U * slot);
}

std::optional<Refusal> check_profile(const Atecc608Profile& profile) {
  if (auto refusal = check_slot_numbers(profile)) return refusal;
  if (auto refusal = check_transport_slot(profile)) return refusal;
  if (auto refusal = check_target_slot(profile)) return refusal;
  if (auto refusal = check_attestation_slot(profile)) return refusal;
  if (auto refusal = check_certificate_slots(profile)) return refusal;
  return check_secure_boot_slot(profile);
}

std::vector<std::string> configuration_differences(const Atecc608Profile& profile,
                                                   Configuration actual) {
  std::vector<std::string> out;
  const Difference compare{profile.configuration, actual, out};
  const std::vector<std::uint8_t> slots = named_slots(profile);
  compare.octets("CountMatch", kCountMatch, 1);
  compare.octets("ChipMode", kChipMode, 1);
  for (const std::uint8_t slot : slots)
    compare.octets(fmt::format("SlotConfig[{}]", slot), kSlotConfig + 2U * slot, 2);
  compare.octets("UseLock", kUseLock, 1);
  compare.octets("VolatileKeyPermission", kVolatileKeyPermission, 1);
  compare.octets("SecureBoot", kSecureBoot, 2);
  compare.octets("ChipOptions", kChipOptions, 2);
  for (const std::uint8_t slot : slots)
    compare.octets(fmt::format("KeyConfig[{}]", slot), kKeyConfig + 2U * slot, 2);
  return out;
}

std::size_t certificate_area_bytes(const Atecc608Profile& profile) {
  std::size_t size = 0;
  for (const std::uint8_t slot : profile.certificate_slots) size += atecc608_slot_size_bytes(slot);
  return size;
}

std::variant<Bytes, Refusal> plain_certificate_area(const Atecc608Profile& profile,
                                                    ByteView leaf,
                                                    const std::vector<Bytes>& issuers) {
  const bool whole = profile.certificate_chain == CertificateChain::Whole;
  Bytes area;
  append_u16be_prefixed(area, leaf);
  if (whole) {
    for (const Bytes& issuer : issuers) append_u16be_prefixed(area, issuer);
  }
  const std::size_t room = certificate_area_bytes(profile);
  if (area.size() > room) {
    return Refusal{
        "atecc608-certificate-room",
        fmt::format("the certificate slots hold {} octets and {} need {}",
                    room,
                    whole ? "the chain's certificates" : "the certificate",
                    area.size()),
        "name more certificate slots, store the leaf alone, or make the subject shorter"};
  }
  if (room - area.size() >= kLengthBytes) append_u16be(area, 0);
  return area;
}

void to_message(const Atecc608Profile& profile, v1::Atecc608Profile& message) {
  message.set_configuration(to_string(profile.configuration));
  message.set_transport_slot(profile.transport_slot);
  message.set_target_slot(profile.target_slot);
  if (profile.attestation_slot) message.set_attestation_slot(*profile.attestation_slot);
  message.set_certificate_form(profile.certificate_form == CertificateForm::Plain
                                   ? v1::ATECC608_CERTIFICATE_FORM_PLAIN
                                   : v1::ATECC608_CERTIFICATE_FORM_COMPRESSED);
  message.set_certificate_chain(profile.certificate_chain == CertificateChain::Leaf
                                    ? v1::ATECC608_CERTIFICATE_CHAIN_LEAF
                                    : v1::ATECC608_CERTIFICATE_CHAIN_WHOLE);
  for (const std::uint8_t slot : profile.certificate_slots) message.add_certificate_slots(slot);
  if (profile.secure_boot_slot) message.set_secure_boot_slot(*profile.secure_boot_slot);
}

std::variant<Atecc608Profile, Refusal> profile_from_message(const v1::Atecc608Profile& message) {
  Atecc608Profile profile;
  if (message.configuration().size() != profile.configuration.size())
    return malformed("configuration (128 octets)");
  std::ranges::copy(as_bytes(message.configuration()), profile.configuration.begin());
  const auto take = [](std::uint32_t number, std::uint8_t& slot) {
    const auto good = slot_number(number);
    if (good) slot = *good;
    return good.has_value();
  };
  if (!take(message.transport_slot(), profile.transport_slot)) return malformed("transport_slot");
  if (!take(message.target_slot(), profile.target_slot)) return malformed("target_slot");
  if (message.has_attestation_slot() &&
      !take(message.attestation_slot(), profile.attestation_slot.emplace()))
    return malformed("attestation_slot");
  if (message.has_secure_boot_slot() &&
      !take(message.secure_boot_slot(), profile.secure_boot_slot.emplace()))
    return malformed("secure_boot_slot");
  if (message.certificate_slots_size() > kAtecc608SlotCount) return malformed("certificate_slots");
  for (const std::uint32_t number : message.certificate_slots()) {
    if (!take(number, profile.certificate_slots.emplace_back()))
      return malformed("certificate_slots");
  }
  switch (message.certificate_form()) {
    case v1::ATECC608_CERTIFICATE_FORM_PLAIN:
      break;
    case v1::ATECC608_CERTIFICATE_FORM_COMPRESSED:
      profile.certificate_form = CertificateForm::Compressed;
      break;
    default:
      return malformed("certificate_form");
  }
  switch (message.certificate_chain()) {
    case v1::ATECC608_CERTIFICATE_CHAIN_LEAF:
      break;
    case v1::ATECC608_CERTIFICATE_CHAIN_WHOLE:
      profile.certificate_chain = CertificateChain::Whole;
      break;
    default:
      return malformed("certificate_chain");
  }
  return profile;
}

}  // namespace keyferry::se
