#include "station-agent/prepare/preparer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "wrap/base/cut.h"
#include "wrap/base/locked_memory.h"
#include "wrap/crypto/hash.h"
#include "wrap/evidence/atecc608.h"
#include "wrap/se/check_value.h"

namespace keyferry::prepare {
namespace {

using atecc608::Session;
using atecc608::Status;
using atecc608::Zone;

constexpr std::size_t kTransportKeyBytes = 32;
constexpr std::size_t kOtherBytes = 13;

// Section 2.1 of the facts.
constexpr std::size_t kLockValueAt = 86;
constexpr std::size_t kLockConfigAt = 87;
constexpr std::size_t kSlotLockedAt = 88;
constexpr std::uint8_t kOpenZone = 0x55;

struct Range {
  std::size_t first;
  std::size_t end;
};

/// What Write may change, and what is compared afterwards: not serial, revision and interface (0 to
/// 15), not UserExtra and the zone locks (84 to 87).
constexpr std::array kWritable{Range{16, 84}, Range{88, 128}};

bool config_locked(const Bytes& config) {
  return config[kLockConfigAt] != kOpenZone;
}

bool data_locked(const Bytes& config) {
  return config[kLockValueAt] != kOpenZone;
}

Bytes serial_of(const Bytes& config) {
  Bytes serial = to_bytes(ByteView{config}.first(4));
  append(serial, ByteView{config}.subspan(8, 5));
  return serial;
}

template <typename T>
std::string refused_text(const std::variant<T, Status>& answer) {
  return atecc608::status_text(std::get<Status>(answer));
}

/// CheckMac without OTP and without the middle of the serial (section 6.1, step 2).
struct Proof {
  Bytes challenge;
  Bytes response;
};

Bytes check_mac_other(std::uint8_t slot) {
  Bytes other{0x08, 0x00, slot, 0x00};
  other.resize(kOtherBytes);
  return other;
}

Proof proof_of(const SecretBytes& key,
               std::uint8_t slot,
               const Bytes& serial,
               RandomSource& random) {
  const Bytes none(11);
  Proof proof{random.bytes(32), {}};
  const Digest response = crypto::sha256_of({key.expose(),
                                             proof.challenge,
                                             ByteView{check_mac_other(slot)}.first(4),
                                             none,
                                             ByteView{serial}.subspan(8, 1),
                                             ByteView{none}.first(4),
                                             ByteView{serial}.first(2),
                                             ByteView{none}.first(2)});
  proof.response = to_bytes(response.bytes());
  return proof;
}

Bytes point_octets(ByteView xy) {
  Bytes point{0x04};
  append(point, xy);
  return point;
}

}  // namespace

Preparer::Preparer(const CheckedOrder& order,
                   const Journal& journal,
                   crypto::Signer& signer,
                   RandomSource& random,
                   const Clock& clock)
    : order_{order}, journal_{journal}, signer_{signer}, random_{random}, clock_{clock} {}

Outcome Preparer::prepare(Session& chip) {
  const auto config = chip.read_config();
  if (!std::holds_alternative<Bytes>(config)) {
    return {Result::Refused,
            {},
            "chip-silent",
            "the chip does not let its configuration be read: " + refused_text(config)};
  }
  auto taken = take_up(std::get<Bytes>(config));
  if (auto* outcome = std::get_if<Outcome>(&taken)) return std::move(*outcome);
  Work& work = std::get<Work>(taken);
  if (const Step wrong = carry_out(chip, work)) {
    work.stage = Stage::SetAside;
    work.reason = wrong->reason + ": " + wrong->text;
    journal_.save(work);
    return {Result::SetAside, work.serial, wrong->reason, wrong->text};
  }
  return {Result::Prepared, work.serial};
}

/// The work that there is, or a new one for a blank chip.
std::variant<Work, Outcome> Preparer::take_up(const Bytes& config) {
  const Bytes serial = serial_of(config);
  if (auto known = journal_.find(serial)) {
    if (known->stage == Stage::Done) return Outcome{Result::PreparedBefore, serial};
    if (known->stage == Stage::SetAside)
      return Outcome{Result::SetAside, serial, "set-aside-before", known->reason};
    return std::move(*known);
  }
  const auto refuse = [&](const char* reason, std::string text) {
    return Outcome{Result::Refused, serial, reason, std::move(text)};
  };
  if (config_locked(config) || data_locked(config) || config[kSlotLockedAt] != 0xFF ||
      config[kSlotLockedAt + 1] != 0xFF) {
    return refuse("not-blank", "the chip is locked, and this order's journal does not know it");
  }
  if (journal_.all().size() >= order_.order.count)
    return refuse(
        "count",
        fmt::format("the order is for {} chips, and as many were begun", order_.order.count));
  Work work{.serial = serial, .plan_digest = order_.order.plan_digest};
  journal_.save(work);
  KF_CUT("prepare.begun");
  return work;
}

Preparer::Step Preparer::carry_out(Session& chip, Work& work) {
  if (auto wrong = configure(chip, work)) return wrong;
  if (auto wrong = attest(chip, work)) return wrong;
  if (auto wrong = write_secure_boot_key(chip)) return wrong;
  if (auto wrong = seal(chip, work)) return wrong;
  if (auto wrong = prove(chip, work)) return wrong;
  KF_CUT("prepare.proved");
  work.stage = Stage::Done;
  journal_.save(work);
  return std::nullopt;
}

std::vector<std::string> Preparer::differences(const Bytes& config) const {
  std::vector<std::string> wrong;
  for (const Range range : kWritable) {
    for (std::size_t at = range.first; at < range.end; ++at) {
      const bool slot_lock = at == kSlotLockedAt || at == kSlotLockedAt + 1;
      if (!slot_lock && config[at] != order_.profile.configuration[at])
        wrong.push_back(fmt::format("octet {}: order {:02x}, chip {:02x}",
                                    at,
                                    order_.profile.configuration[at],
                                    config[at]));
    }
  }
  return wrong;
}

Preparer::Step Preparer::configure(Session& chip, const Work& work) {
  const auto before = chip.read_config();
  if (!std::holds_alternative<Bytes>(before)) return Wrong{"configuration", refused_text(before)};
  const bool locked = config_locked(std::get<Bytes>(before));
  if (!locked) {
    if (work.stage != Stage::Begun)
      return Wrong{"configuration",
                   "the configuration is open, and was locked before: another chip"};
    if (auto wrong = write_configuration(chip)) return wrong;
  }
  const auto now = chip.read_config();
  if (!std::holds_alternative<Bytes>(now)) return Wrong{"configuration", refused_text(now)};
  const Bytes& config = std::get<Bytes>(now);
  const std::vector<std::string> wrong = differences(config);
  if (!wrong.empty()) {
    return Wrong{
        "configuration",
        fmt::format("{} octets are not as ordered, the first: {}", wrong.size(), wrong.front())};
  }
  if (locked) return std::nullopt;
  KF_CUT("prepare.config-before");
  // The chip locks only if its 128 octets have the CRC of those that were just compared.
  const Status done = chip.lock_config(atecc608::crc16(config));
  if (done != Status::Success)
    return Wrong{"configuration", "Lock of the configuration: " + atecc608::status_text(done)};
  KF_CUT("prepare.config-after");
  return std::nullopt;
}

Preparer::Step Preparer::write_configuration(Session& chip) {
  const ByteView wanted = order_.profile.configuration;
  for (const Range range : kWritable) {
    for (std::size_t at = range.first; at < range.end;) {
      const bool block = at % atecc608::kBlockBytes == 0 && at + atecc608::kBlockBytes <= range.end;
      const std::size_t size = block ? atecc608::kBlockBytes : atecc608::kWordBytes;
      const Status written =
          chip.write(Zone::Config, atecc608::config_address(at), wanted.subspan(at, size));
      if (written != Status::Success) {
        return Wrong{"configuration",
                     fmt::format("Write of octet {}: {}", at, atecc608::status_text(written))};
      }
      at += size;
    }
  }
  return std::nullopt;
}

Preparer::Step Preparer::attest(Session& chip, Work& work) {
  const auto slot = order_.profile.attestation_slot;
  if (!slot) return std::nullopt;
  const auto locked = chip.slot_locked(*slot);
  if (!std::holds_alternative<bool>(locked)) return Wrong{"attestation", refused_text(locked)};
  if (!std::get<bool>(locked)) {
    if (work.stage == Stage::Sealed)
      return Wrong{"attestation",
                   "the attestation slot is open, and was locked before: another chip"};
    if (auto wrong = make_attestation_key(chip, work)) return wrong;
    const Status done = chip.lock_slot(*slot);
    if (done != Status::Success)
      return Wrong{"attestation", "Lock of the attestation slot: " + atecc608::status_text(done)};
    KF_CUT("prepare.attestation-locked");
  } else if (work.attestation_key.empty()) {
    return Wrong{"attestation", "the attestation slot was locked by somebody else"};
  }
  return prove_attestation_key(chip, work);
}

/// Made anew until the slot is locked, so that a key which anybody else could have put there never
/// counts.
Preparer::Step Preparer::make_attestation_key(Session& chip, Work& work) {
  auto made = chip.make_key(*order_.profile.attestation_slot);
  if (std::holds_alternative<atecc608::Unanswered>(made))
    made = chip.make_key(*order_.profile.attestation_slot);
  if (const auto* status = std::get_if<Status>(&made))
    return Wrong{"attestation", "GenKey: " + atecc608::status_text(*status)};
  if (const auto* lost = std::get_if<atecc608::Unanswered>(&made))
    throw station::ChipLost{"GenKey: " + lost->text};
  work.attestation_key = point_octets(std::get<Bytes>(made));
  work.stage = Stage::Attested;
  KF_CUT("prepare.attested-before");
  journal_.save(work);
  KF_CUT("prepare.attested-after");
  return std::nullopt;
}

/// The chip signs over this very key and its slot's lock with it.
Preparer::Step Preparer::prove_attestation_key(Session& chip, const Work& work) {
  const std::uint8_t slot = *order_.profile.attestation_slot;
  const auto key = crypto::PublicKey::from_point(work.attestation_key);
  if (!key) return Wrong{"attestation", "GenKey gave no point of the curve"};
  const auto challenge = random_.id<Digest>();
  const auto signature = chip.sign_internal(slot, slot, challenge.bytes());
  if (!std::holds_alternative<Bytes>(signature))
    return Wrong{"attestation", "internal Sign: " + refused_text(signature)};
  const auto& config = order_.profile.configuration;
  const evidence::Atecc608Slot signed_slot{.target_slot = slot,
                                           .attestation_slot = slot,
                                           .slot_config = se::slot_config_octets(config, slot),
                                           .key_config = se::key_config_octets(config, slot)};
  const auto message = evidence::attestation_message(signed_slot, *key, challenge, work.serial);
  if (crypto::verify(*key, crypto::sha256(message), std::get<Bytes>(signature)))
    return std::nullopt;
  return Wrong{"attestation",
               "the chip's signature over its own locked attestation key does not verify"};
}

Preparer::Step Preparer::write_secure_boot_key(Session& chip) {
  const auto slot = order_.profile.secure_boot_slot;
  if (!slot) return std::nullopt;
  const auto locked = chip.slot_locked(*slot);
  if (!std::holds_alternative<bool>(locked)) return Wrong{"secure-boot", refused_text(locked)};
  if (std::get<bool>(locked))
    return std::nullopt;  // its content is read when the data zone allows it
  const ByteView point = order_.order.secure_boot_key->point();
  Bytes stored(4);  // section 2: X and Y, each after four octets of padding
  append(stored, point.subspan(1, 32));
  stored.resize(40);
  append(stored, point.subspan(33, 32));
  const Status written = chip.write_slot(*slot, stored);
  if (written != Status::Success)
    return Wrong{"secure-boot", "Write: " + atecc608::status_text(written)};
  KF_CUT("prepare.secure-boot-written");
  const Status done = chip.lock_slot(*slot);
  if (done != Status::Success) return Wrong{"secure-boot", "Lock: " + atecc608::status_text(done)};
  return std::nullopt;
}

Preparer::Step Preparer::seal(Session& chip, Work& work) {
  const auto read = chip.read_config();
  if (!std::holds_alternative<Bytes>(read)) return Wrong{"seal", refused_text(read)};
  const Bytes& config = std::get<Bytes>(read);
  if (data_locked(config)) {
    if (work.stage == Stage::Sealed) return std::nullopt;  // a cut after the lock: prove() decides
    return Wrong{"seal", "the data zone was locked by somebody else"};
  }
  if (auto wrong = place_transport_key(chip, work, config)) return wrong;
  KF_CUT("prepare.data-before");
  const Status done = chip.lock_data();
  if (done != Status::Success)
    return Wrong{"seal", "Lock of the data zone: " + atecc608::status_text(done)};
  KF_CUT("prepare.data-after");
  return std::nullopt;
}

/// The transport key lives in this function only.
Preparer::Step Preparer::place_transport_key(Session& chip, Work& work, const Bytes& config) {
  SecretBytes key{kTransportKeyBytes};
  if (!lock_memory(key.expose())) {
    throw Error{Code::Refused,
                "the memory for a transport key cannot be locked",
                "raise the limit of locked memory (ulimit -l), then give the same command again"};
  }
  random_.fill(key.expose_writable());
  const std::uint8_t slot = order_.profile.transport_slot;
  Proof proof = proof_of(key, slot, work.serial, random_);
  work.receipt = receipt_for(work, config, key);
  work.challenge = std::move(proof.challenge);
  work.response = std::move(proof.response);
  work.stage = Stage::Sealed;
  KF_CUT("prepare.sealed-before");
  journal_.save(work);
  KF_CUT("prepare.sealed-after");
  const Status written = chip.write_slot(slot, key.expose());
  if (written != Status::Success)
    return Wrong{"seal", "Write of the transport key: " + atecc608::status_text(written)};
  const Status proved = chip.check_mac(slot, work.challenge, work.response, check_mac_other(slot));
  // Whether a chip compares before its data zone is locked is not in the facts; a no is a no.
  if (proved == Status::Success || proved == Status::ExecutionError) return std::nullopt;
  return Wrong{"seal", "CheckMac before the lock: " + atecc608::status_text(proved)};
}

Bytes Preparer::receipt_for(const Work& work, const Bytes& config, const SecretBytes& key) {
  const token::PreparationOrder& order = order_.order;
  token::PreparationReceipt receipt{
      .appliance_id = order.appliance_id,
      .environment = order.environment,
      .plan_digest = order.plan_digest,
      .serial = work.serial,
      .revision = to_bytes(ByteView{config}.subspan(4, 4)),
      .configuration_sha256 = crypto::sha256(config),
      .part = order.part,
      .lot = order.lot,
      .key_name = order.key_name,
      .vendor = order.vendor,
      .delivered = crypto::wrap_oaep(order_.hash, order.vendor_public_key, key),
      .check_value = se::transport_check_value(key),
      .attestation_key = std::nullopt,
      .time = clock_.now()};
  if (!work.attestation_key.empty())
    receipt.attestation_key = crypto::PublicKey::from_point(work.attestation_key);
  return token::encode(
      token::sign_payload(signer_, crypto::SignatureKind::Preparation, token::serialise(receipt)));
}

/// With everything locked: the chip has the key that the kept receipt delivers.
Preparer::Step Preparer::prove(Session& chip, const Work& work) {
  const std::uint8_t slot = order_.profile.transport_slot;
  const Status proved = chip.check_mac(slot, work.challenge, work.response, check_mac_other(slot));
  if (proved != Status::Success)
    return Wrong{"proof", "CheckMac of the transport key: " + atecc608::status_text(proved)};
  const auto boot_slot = order_.profile.secure_boot_slot;
  if (!boot_slot) return std::nullopt;
  const auto stored = chip.read_slot(*boot_slot, 72);
  if (!std::holds_alternative<Bytes>(stored))
    return Wrong{"secure-boot", "Read: " + refused_text(stored)};
  const ByteView octets = std::get<Bytes>(stored);
  const ByteView point = order_.order.secure_boot_key->point();
  if (equal(octets.subspan(4, 32), point.subspan(1, 32)) &&
      equal(octets.subspan(40, 32), point.subspan(33, 32))) {
    return std::nullopt;
  }
  return Wrong{"secure-boot", "the secure-boot slot holds another key"};
}

}  // namespace keyferry::prepare
