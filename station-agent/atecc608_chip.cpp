#include "station-agent/atecc608_chip.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "station-agent/atecc608_certificates.h"
#include "wrap/crypto/signing.h"

namespace keyferry::station {
namespace {

using atecc608::Answer;
using atecc608::Status;
using atecc608::Unanswered;

// Configuration zone, section 2.1 of the facts.
constexpr std::size_t kChipMode = 19;
constexpr std::size_t kSecureBoot = 70;
constexpr std::size_t kLockValue = 86;
constexpr std::size_t kLockConfig = 87;
constexpr std::size_t kSlotLocked = 88;
constexpr std::uint8_t kZoneUnlocked = 0x55;
constexpr std::uint8_t kSecureBootMode = 0x03;
constexpr std::uint8_t kSecureBootFullBoth = 0x01;
constexpr std::uint8_t kSecureBootRandomNonce = 0x10;
constexpr Bytes::value_type kUncompressedPoint = 0x04;  // SEC 1 section 2.3.3

constexpr std::size_t kKeyConfig = 96;
constexpr std::uint8_t kSlots = 16;
constexpr std::uint8_t kPrivateWithPublic = 0x03;  // KeyConfig.Private, PubInfo (section 2.3)

// A public key in slots 8 to 15 (section 2): 4 octets, X, 4 octets, Y.
constexpr std::size_t kStoredKeyBytes = 72;
constexpr std::size_t kStoredKeyPad = 4;

constexpr int kInjectTries = 4;

/// Info revision of the parts of the family (section 2.1); their commands are the same.
std::optional<std::string> model_of(ByteView revision) {
  if (revision.size() != 4 || revision[0] != 0 || revision[1] != 0 || revision[2] != 0x60)
    return std::nullopt;
  switch (revision[3]) {
    case 0x02:
      return "ATECC608A";
    case 0x03:
      return "ATECC608B";
    default:
      return std::nullopt;
  }
}

ChipRefusal not_ours(const std::string& what) {
  return {Refusal{"chip-part",
                  "this is no chip of family atecc608 that we know: " + what,
                  "put the right SE into the fixture"}};
}

Bytes serial_in(ByteView configuration) {
  Bytes serial = to_bytes(configuration.first(4));
  append(serial, configuration.subspan(8, 5));
  return serial;
}

Bytes point_of(ByteView xy) {
  Bytes point{kUncompressedPoint};
  append(point, xy);
  return point;
}

Refusal refused(const std::string& reason, const std::string& what, Status status) {
  return Refusal{reason, what + ": " + atecc608::status_text(status)};
}

}  // namespace

Atecc608Chip::Atecc608Chip(OpenWire open_wire, atecc608::SessionSettings settings)
    : open_wire_{std::move(open_wire)}, settings_{settings} {}

std::variant<ChipFacts, ChipRefusal> Atecc608Chip::identify() {
  session_ = std::make_unique<atecc608::Session>(open_wire_(), settings_);
  const auto revision = session_->revision();
  const auto* octets = std::get_if<Bytes>(&revision);
  if (octets == nullptr) return not_ours("Info: " + status_text(std::get<Status>(revision)));
  const auto model = model_of(*octets);
  if (!model) return not_ours("revision " + to_hex(*octets));
  const auto configuration = session_->read_config();
  if (const auto* status = std::get_if<Status>(&configuration))
    return not_ours("Read: " + atecc608::status_text(*status));
  configuration_ = std::get<Bytes>(configuration);
  serial_ = serial_in(configuration_);
  if (serial_[0] != 0x01 || serial_[1] != 0x23) return not_ours("serial " + to_hex(serial_));
  session_->set_divider(atecc608::divider_of(configuration_[kChipMode]));
  const bool locked =
      configuration_[kLockConfig] != kZoneUnlocked && configuration_[kLockValue] != kZoneUnlocked;
  return ChipFacts{*SeSerial::from_bytes(serial_), *model, locked};
}

const se::Atecc608Payload& Atecc608Chip::payload_of(const token::Record& record) {
  if (!payload_ || parsed_from_ != record.payload) {
    auto parsed = se::parse_payload(record.payload);
    if (const auto* refusal = std::get_if<Refusal>(&parsed)) throw to_error(*refusal);
    payload_ = std::move(std::get<se::Atecc608Payload>(parsed));
    parsed_from_ = record.payload;
  }
  return *payload_;
}

bool Atecc608Chip::was_locked(std::uint8_t slot) const {
  const unsigned not_locked =
      configuration_[kSlotLocked] | static_cast<unsigned>(configuration_[kSlotLocked + 1]) << 8U;
  return (not_locked >> slot & 1U) == 0;
}

std::optional<Refusal> Atecc608Chip::check(const token::Record& record,
                                           const FirmwareImage* firmware) {
  const auto parsed = se::parse_payload(record.payload);
  if (const auto* refusal = std::get_if<Refusal>(&parsed)) return *refusal;
  const se::Atecc608Payload& payload = payload_of(record);
  if (payload.serial != record.se_serial || !equal(payload.serial.bytes(), serial_)) {
    return Refusal{
        "payload-serial",
        "the record's payload is for chip " + payload.serial.hex() + ", this is " + to_hex(serial_),
        "the batch is not sound: tell the officers; nothing was written"};
  }
  if (auto refusal = check_layout(payload)) return refusal;
  if (firmware != nullptr && !payload.profile.secure_boot_slot) {
    return Refusal{"firmware-unsupported",
                   "the batch asks for a firmware check and names no slot with a key for it",
                   "the plan needs secure_boot_slot; nothing was written"};
  }
  if (firmware != nullptr && !was_locked(*payload.profile.secure_boot_slot)) {
    return Refusal{"secure-boot-slot-open",
                   fmt::format("slot {} with the secure-boot key is not locked: anybody could have "
                               "put a key of their own there",
                               *payload.profile.secure_boot_slot),
                   "set this chip aside: a secure room locks that slot; nothing was written"};
  }
  const auto area = certificate_area(payload.profile, record);
  if (const auto* refusal = std::get_if<Refusal>(&area)) return *refusal;
  if (was_locked(payload.profile.target_slot)) return std::nullopt;  // ask() decides what is in it
  return preflight(payload);
}

std::optional<Refusal> Atecc608Chip::check_layout(const se::Atecc608Payload& payload) const {
  const std::span<const std::uint8_t, atecc608::kConfigBytes> actual{configuration_.data(),
                                                                     atecc608::kConfigBytes};
  const auto differences = se::configuration_differences(payload.profile, actual);
  if (differences.empty()) return std::nullopt;
  return Refusal{"configuration-differs",
                 fmt::format("the chip is not configured as the batch's plan says: {}",
                             fmt::join(differences, "; ")),
                 "nothing was written; set it aside, it was prepared for something else"};
}

std::optional<Refusal> Atecc608Chip::preflight(const se::Atecc608Payload& payload) {
  const std::uint8_t slot = payload.profile.transport_slot;
  const Status status = session_->check_mac(
      slot, payload.challenge, payload.response, se::preflight_other_data(slot));
  if (status == Status::Success) return std::nullopt;
  if (status == Status::Miscompare) {
    return Refusal{"transport-key-wrong",
                   fmt::format("the chip holds another transport key in slot {} than this record "
                               "was made for",
                               slot),
                   "nothing was written; set it aside and tell the officers its serial number"};
  }
  return refused("preflight-refused", "the chip does not take the pre-flight CheckMac", status);
}

Asked Atecc608Chip::ask(const KeyHandle&,
                        const std::vector<KeyHandle>&,
                        const token::Record& record) {
  return ask_slot(record);
}

Asked Atecc608Chip::ask_slot(const token::Record& record) {
  const std::uint8_t slot = payload_of(record).profile.target_slot;
  const auto key = session_->public_key(slot);
  const auto* point = std::get_if<Bytes>(&key);
  if (point != nullptr && equal(point_of(*point), record.public_key.point()))
    return {Holding::Key, ""};
  const auto locked = session_->slot_locked(slot);
  if (const auto* status = std::get_if<Status>(&locked))
    return {Holding::Unsound, "the lock octets cannot be read: " + status_text(*status)};
  const std::string where = fmt::format("slot {}", slot);
  if (std::get<bool>(locked))
    return {Holding::Unsound, where + " is locked and does not hold this record's key"};
  if (point != nullptr) return {Holding::Foreign, where + " holds another key"};
  const Status status = std::get<Status>(key);
  const auto valid = session_->key_valid(slot);
  const auto* has_key = std::get_if<bool>(&valid);
  if (has_key != nullptr && !*has_key) return {Holding::Empty, ""};
  return {Holding::Unsound, where + ": GenKey says " + status_text(status)};
}

std::optional<Refusal> Atecc608Chip::inject(const KeyHandle&, const token::Record& record) {
  const se::Atecc608Payload& payload = payload_of(record);
  const atecc608::PrivWriteSteps steps{payload.profile.transport_slot,
                                       payload.profile.target_slot,
                                       to_bytes(payload.nonce),
                                       to_bytes(payload.cipher),
                                       to_bytes(payload.mac)};
  std::string last;
  for (int tries = 0; tries < kInjectTries; ++tries) {
    const auto written = session_->priv_write(steps);
    if (const auto* status = std::get_if<Status>(&written)) {
      if (*status == Status::Success) return std::nullopt;
      return refused("chip-refused-key", "the chip does not take the key", *status);
    }
    last = std::get<Unanswered>(written).text;
    // The answer is lost: the chip is asked before the same octets are said once more.
    const Asked asked = ask_slot(record);
    if (asked.holding == Holding::Key) return std::nullopt;
    if (asked.holding == Holding::Unsound) return Refusal{"key-unsound", asked.detail};
  }
  throw ChipLost{last + ", " + std::to_string(kInjectTries) + " times"};
}

std::optional<Refusal> Atecc608Chip::write_chain(const KeyHandle&, const token::Record& record) {
  const se::Atecc608Profile& profile = payload_of(record).profile;
  const auto made = certificate_area(profile, record);
  if (const auto* refusal = std::get_if<Refusal>(&made)) return *refusal;
  ByteView rest = std::get<Bytes>(made);
  for (const std::uint8_t slot : profile.certificate_slots) {
    const ByteView part = rest.first(std::min(rest.size(), atecc608::slot_bytes(slot)));
    const Status status = session_->write_slot(slot, part);
    if (status != Status::Success) {
      return refused("certificate-refused",
                     fmt::format("the chip does not take the certificate into slot {}", slot),
                     status);
    }
    rest = rest.subspan(part.size());
  }
  return std::nullopt;
}

std::optional<Refusal> Atecc608Chip::lock(const token::Record& record) {
  const std::uint8_t slot = payload_of(record).profile.target_slot;
  const Status status = session_->lock_slot(slot);
  if (status == Status::Success) return std::nullopt;
  return refused("not-locked", fmt::format("slot {} is not locked after Lock", slot), status);
}

std::variant<ReadChain, Refusal> Atecc608Chip::read_chain(const KeyHandle&,
                                                          const token::Record& record) {
  const se::Atecc608Profile& profile = payload_of(record).profile;
  const auto made = certificate_area(profile, record);
  if (const auto* refusal = std::get_if<Refusal>(&made)) return *refusal;
  std::size_t left = std::get<Bytes>(made).size();
  Bytes area;
  for (const std::uint8_t slot : profile.certificate_slots) {
    const std::size_t size = std::min(left, atecc608::slot_bytes(slot));
    if (size == 0) break;
    const auto read = session_->read_slot(slot, size);
    if (const auto* status = std::get_if<Status>(&read)) {
      return refused(
          "chip-certificates", fmt::format("certificate slot {} cannot be read", slot), *status);
    }
    append(area, std::get<Bytes>(read));
    left -= size;
  }
  return certificates_in(profile, area, record);
}

std::variant<Bytes, Refusal> Atecc608Chip::sign(const KeyHandle&,
                                                const token::Record& record,
                                                ChipSigns kind,
                                                ByteView message) {
  const auto signed_kind = kind == ChipSigns::Receipt ? crypto::SignatureKind::Receipt
                                                      : crypto::SignatureKind::Challenge;
  const Digest digest = crypto::signing_digest(signed_kind, message);
  auto answer = session_->sign_digest(payload_of(record).profile.target_slot, digest.bytes());
  if (const auto* status = std::get_if<Status>(&answer))
    return refused("sign-refused", "the chip does not sign", *status);
  return std::move(std::get<Bytes>(answer));
}

/// Slot by slot: those whose configuration lets them hold it are asked for their public key.
std::variant<Bytes, Refusal> Atecc608Chip::answer(const KeyHandle&,
                                                  const crypto::PublicKey& key,
                                                  ByteView message) {
  const Digest digest = crypto::signing_digest(crypto::SignatureKind::Challenge, message);
  for (std::uint8_t slot = 0; slot < kSlots; ++slot) {
    if ((configuration_[kKeyConfig + 2U * slot] & kPrivateWithPublic) != kPrivateWithPublic) continue;
    const auto point = session_->public_key(slot);
    const auto* xy = std::get_if<Bytes>(&point);
    if (xy == nullptr || !equal(point_of(*xy), key.point())) continue;
    auto answer = session_->sign_digest(slot, digest.bytes());
    if (const auto* status = std::get_if<Status>(&answer))
      return refused("sign-refused", "the chip does not sign", *status);
    return std::move(std::get<Bytes>(answer));
  }
  return Refusal{"key-not-here", "no slot of the chip holds this record's key"};
}

FirmwareAnswer Atecc608Chip::verify_firmware(const token::Record& record,
                                             const FirmwareImage& firmware) {
  const std::uint8_t slot = *payload_of(record).profile.secure_boot_slot;
  const std::uint8_t mode = configuration_[kSecureBoot];
  const bool secure_boot =
      (mode & kSecureBootMode) == kSecureBootFullBoth && (mode & kSecureBootRandomNonce) == 0;
  FirmwareAnswer answer{
      .check = secure_boot ? token::FirmwareCheck::SecureBoot : token::FirmwareCheck::StoredKey,
      .key = stored_key(slot)};
  const ByteView digest = firmware.sha256.bytes();
  const Status status = secure_boot ? session_->secure_boot(digest, firmware.signature)
                                    : session_->verify_stored(slot, digest, firmware.signature);
  if (status == Status::Miscompare) {
    answer.refusal =
        Refusal{"firmware-signature",
                fmt::format("the firmware's signature is not by the key in slot {}", slot)};
  } else if (status != Status::Success) {
    answer.refusal =
        refused("firmware-not-verified", "the chip does not verify the firmware", status);
  }
  return answer;
}

std::optional<crypto::PublicKey> Atecc608Chip::stored_key(std::uint8_t slot) {
  const auto read = session_->read_slot(slot, kStoredKeyBytes);
  const auto* content = std::get_if<Bytes>(&read);
  if (content == nullptr) return std::nullopt;
  const ByteView half = ByteView{*content}.first(kStoredKeyBytes / 2);
  Bytes xy = to_bytes(half.subspan(kStoredKeyPad));
  append(xy, ByteView{*content}.subspan(half.size() + kStoredKeyPad));
  return crypto::PublicKey::from_point(point_of(xy));
}

PromisedEvidence Atecc608Chip::evidence(const token::Record& record) {
  const se::Atecc608Payload& payload = payload_of(record);
  const se::Atecc608Profile& profile = payload.profile;
  if (!profile.attestation_slot || !payload.attestation_key) return {};
  return {
      token::EvidenceKind::Attested,
      payload.attestation_key,
      evidence::Atecc608Slot{profile.target_slot,
                             *profile.attestation_slot,
                             se::slot_config_octets(profile.configuration, profile.target_slot),
                             se::key_config_octets(profile.configuration, profile.target_slot)}};
}

std::variant<Bytes, Refusal> Atecc608Chip::attest(const token::Record& record, ByteView core) {
  const PromisedEvidence promised = evidence(record);
  if (!promised.slot) return Bytes{};
  const Digest challenge = crypto::signing_digest(crypto::SignatureKind::Receipt, core);
  const auto answer = session_->sign_internal(
      promised.slot->attestation_slot, promised.slot->target_slot, challenge.bytes());
  if (const auto* status = std::get_if<Status>(&answer))
    return refused("not-attested", "the chip does not attest its key", *status);
  evidence::Atecc608Attestation attestation{*promised.slot};
  std::ranges::copy(std::get<Bytes>(answer), attestation.signature.begin());
  return evidence::serialise_attestation(attestation);
}

}  // namespace keyferry::station
