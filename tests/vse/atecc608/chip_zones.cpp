// Info, Read, Write, Lock, Counter, UpdateExtra: sections 4.1 to 4.4 and 4.13.
#include <algorithm>

#include "tests/vse/atecc608/chip.h"
#include "wrap/crypto/hash.h"

namespace keyferry::vse::atecc608 {
namespace {

enum Zone : std::uint8_t { kConfigZone = 0, kOtpZone = 1, kDataZone = 2 };

constexpr std::uint8_t kWholeBlock = 0x80;
constexpr std::uint8_t kEncrypted = 0x40;
constexpr std::size_t kMacBytes = 32;
constexpr std::uint32_t kCounterMax = 2'097'151;

std::uint8_t zone_of(std::uint8_t p1) {
  return p1 & 3U;
}

std::size_t access_bytes(std::uint8_t p1) {
  return (p1 & kWholeBlock) != 0 ? kBlockBytes : kWordBytes;
}

/// Offset in the configuration or OTP zone; nothing past its end. A 32-octet access has no word.
std::optional<std::size_t> zone_offset(const Command& command, std::size_t zone_bytes) {
  const std::size_t block = command.p2 >> 3U;
  const std::size_t word = (command.p1 & kWholeBlock) != 0 ? 0 : command.p2 & 7U;
  const std::size_t at = block * kBlockBytes + word * kWordBytes;
  if (at >= zone_bytes) return std::nullopt;
  return at;
}

struct DataAddress {
  unsigned slot;
  std::size_t at;
};

/// Section 2: word in bits 2..0, slot in 6..3, block in 15..8.
std::optional<DataAddress> data_address(const Command& command) {
  if ((command.p2 & 0x80U) != 0) return std::nullopt;
  const unsigned slot = command.p2 >> 3U & 0xFU;
  const std::size_t word = (command.p1 & kWholeBlock) != 0 ? 0 : command.p2 & 7U;
  const std::size_t at = (command.p2 >> 8U) * kBlockBytes + word * kWordBytes;
  if (at >= slot_size_bytes(slot)) return std::nullopt;
  return DataAddress{slot, at};
}

/// `size` octets from `at`; what is not there reads as zero.
Bytes piece(ByteView all, std::size_t at, std::size_t size) {
  Bytes out = to_bytes(all.subspan(at, std::min(size, all.size() - at)));
  out.resize(size);
  return out;
}

void put(std::span<std::uint8_t> all, std::size_t at, ByteView value) {
  const std::size_t size = std::min(value.size(), all.size() - at);
  std::ranges::copy(value.first(size), all.begin() + static_cast<std::ptrdiff_t>(at));
}

bool touches_read_only(std::size_t at, std::size_t size) {
  constexpr std::size_t kFirstWritable = 16;
  constexpr std::size_t kExtraAt = 84;
  constexpr std::size_t kExtraEnd = 88;
  return at < kFirstWritable || (at < kExtraEnd && at + size > kExtraAt);
}

Bytes xor_with(ByteView a, ByteView b) {
  Bytes out = to_bytes(a);
  for (std::size_t i = 0; i < out.size(); ++i) out[i] ^= b[i];
  return out;
}

/// p2 of Info: bit 1 says that bit 0 is to be taken over.
Reply latch_bit(bool& latch, std::uint16_t p2) {
  if ((p2 & 2U) != 0) latch = (p2 & 1U) != 0;
  return Bytes{static_cast<std::uint8_t>(latch ? 1 : 0), 0, 0, 0};
}

}  // namespace

Reply Chip::info(const Command& command) {
  if (!command.data.empty()) return Status::Parse;
  const TempKey& key = volatile_.temp_key;
  switch (command.p1) {
    case 0:
      return to_bytes(ByteView{memory_.config}.subspan(4, 4));
    case 1: {
      const auto slot = slot_in(command);
      if (!slot) return Status::Parse;
      const bool valid = memory_.key_config(*slot).private_key() && private_key(*slot).has_value();
      return Bytes{static_cast<std::uint8_t>(valid ? 1 : 0), 0, 0, 0};
    }
    case 2: {
      const unsigned authorised = volatile_.authorised ? (*volatile_.authorised << 3U | 4U) : 0U;
      return Bytes{
          key.flags(), static_cast<std::uint8_t>((key.valid ? 0x80U : 0U) | authorised), 0, 0};
    }
    case 3:
      return latch_bit(power_.latch, command.p2);
    case 4:
      return latch_bit(power_.volatile_key_permission, command.p2);
    default:
      return Status::Parse;
  }
}

Reply Chip::read(const Command& command) {
  const std::uint8_t zone = zone_of(command.p1);
  if ((command.p1 & ~(kWholeBlock | 3U)) != 0 || zone > kDataZone || !command.data.empty())
    return Status::Parse;
  if (zone == kDataZone) {
    const auto address = data_address(command);
    return address ? read_data(command, address->slot, address->at) : Status::Parse;
  }
  const ByteView all = zone == kConfigZone ? ByteView{memory_.config} : ByteView{memory_.otp};
  const auto at = zone_offset(command, all.size());
  if (!at) return Status::Parse;
  if (zone == kOtpZone && !memory_.data_locked()) return Status::Execution;
  return piece(all, *at, access_bytes(command.p1));
}

Reply Chip::read_data(const Command& command, unsigned slot, std::size_t at) {
  if (!memory_.data_locked() || memory_.key_config(slot).private_key()) return Status::Execution;
  const SlotConfig config = memory_.slot_config(slot);
  const Bytes octets = piece(memory_.slots[slot], at, access_bytes(command.p1));
  if (!config.is_secret()) return octets;
  const TempKey key = volatile_.temp_key;
  consume_temp_key();
  const bool allowed = (command.p1 & kWholeBlock) != 0 && config.encrypt_read() && key.valid &&
                       key.gen_dig_data && key.key_id == config.read_key() &&
                       key.source == Source::Rand;
  if (!allowed) return Status::Execution;
  return xor_with(octets, key.key());
}

Reply Chip::write(const Command& command) {
  const std::uint8_t zone = zone_of(command.p1);
  const bool encrypted = (command.p1 & kEncrypted) != 0;
  const std::size_t size = access_bytes(command.p1) + (encrypted ? kMacBytes : 0);
  if ((command.p1 & ~(kWholeBlock | kEncrypted | 3U)) != 0 || zone > kDataZone ||
      command.data.size() != size) {
    return Status::Parse;
  }
  if (encrypted && (zone != kDataZone || (command.p1 & kWholeBlock) == 0)) return Status::Parse;
  if (zone == kConfigZone) return write_config(command);
  if (zone == kOtpZone) return write_otp(command);
  return write_data(command);
}

Reply Chip::write_config(const Command& command) {
  const auto at = zone_offset(command, kConfigBytes);
  if (!at) return Status::Parse;
  if (memory_.config_locked() || touches_read_only(*at, command.data.size()))
    return Status::Execution;
  put(memory_.config, *at, command.data);
  return Status::Success;
}

Reply Chip::write_otp(const Command& command) {
  const auto at = zone_offset(command, kOtpBytes);
  if (!at) return Status::Parse;
  if (!memory_.config_locked() || memory_.data_locked()) return Status::Execution;
  put(memory_.otp, *at, command.data);
  return Status::Success;
}

Reply Chip::write_data(const Command& command) {
  const auto address = data_address(command);
  if (!address) return Status::Parse;
  const auto [slot, at] = *address;
  const SlotConfig config = memory_.slot_config(slot);
  const bool encrypted = (command.p1 & kEncrypted) != 0;
  const bool whole = (command.p1 & kWholeBlock) != 0;
  if (!memory_.config_locked() || memory_.slot_locked(slot) ||
      memory_.key_config(slot).private_key()) {
    return Status::Execution;
  }
  if (!whole && (config.is_secret() || !memory_.data_locked())) return Status::Execution;
  constexpr unsigned kAlways = 0;
  constexpr unsigned kPublicKey = 1;
  if (memory_.data_locked()) {
    const bool clear = config.write_config() == kAlways || config.write_config() == kPublicKey;
    if (encrypted ? !config.writes_encrypted() : !clear) return Status::Execution;
  }
  if (!encrypted) {
    put(memory_.slots[slot], at, command.data);
  } else {
    const auto plain = decrypt_write(command, slot);
    if (!plain) return Status::Execution;
    put(memory_.slots[slot], at, *plain);
  }
  if (memory_.data_locked() && config.write_config() == kPublicKey &&
      memory_.key_config(slot).pub_info()) {
    std::uint8_t& mark = memory_.slots[slot][0];
    mark = static_cast<std::uint8_t>((mark & 0x0FU) | 0xA0U);
  }
  return Status::Success;
}

std::optional<Bytes> Chip::decrypt_write(const Command& command, unsigned slot) {
  const TempKey key = volatile_.temp_key;
  consume_temp_key();
  if (!key.valid || !key.gen_dig_data) return std::nullopt;
  if (rules_.strict_rand && key.source == Source::Input) return std::nullopt;
  if (memory_.data_locked() && key.key_id != memory_.slot_config(slot).write_key())
    return std::nullopt;
  Bytes plain = xor_with(command.data.first(kBlockBytes), key.key());
  const Digest wanted =
      crypto::sha256_of({key.key(), header_of(command), short_serial(), zeros(25), plain});
  if (!equal(wanted.bytes(), command.data.last(kMacBytes))) return std::nullopt;
  return plain;
}

Reply Chip::lock(const Command& command) {
  constexpr std::uint8_t kNoSummary = 0x80;
  constexpr unsigned kLockConfig = 0;
  constexpr unsigned kLockData = 1;
  constexpr unsigned kLockSlot = 2;
  const unsigned what = command.p1 & 3U;
  const unsigned slot = command.p1 >> 2U & 0xFU;
  if ((command.p1 & 0x40U) != 0 || !command.data.empty() || what > kLockSlot ||
      (what != kLockSlot && slot != 0)) {
    return Status::Parse;
  }
  if (what == kLockSlot) return lock_one_slot(slot);
  const bool summary = (command.p1 & kNoSummary) == 0;
  if (what == kLockConfig) {
    if (memory_.config_locked()) return Status::Execution;
    if (summary && crc16(memory_.config) != command.p2) return Status::Execution;
    memory_.lock_config();
    return Status::Success;
  }
  static_assert(kLockData == 1);
  if (!memory_.config_locked() || memory_.data_locked()) return Status::Execution;
  Bytes all;
  for (const Bytes& octets : memory_.slots) append(all, octets);
  append(all, memory_.otp);
  if (summary && crc16(all) != command.p2) return Status::Execution;
  memory_.lock_data();
  return Status::Success;
}

Reply Chip::lock_one_slot(unsigned slot) {
  if (!memory_.config_locked() || memory_.slot_locked(slot) ||
      !memory_.key_config(slot).lockable()) {
    return Status::Execution;
  }
  memory_.lock_slot(slot);
  return Status::Success;
}

Reply Chip::counter(const Command& command) {
  if (command.p1 > 1 || command.p2 > 1 || !command.data.empty()) return Status::Parse;
  if (!memory_.config_locked()) return Status::Execution;
  std::uint32_t value = memory_.counter(command.p2);
  if (command.p1 == 1) {
    if (value >= kCounterMax) return Status::Execution;
    memory_.set_counter(command.p2, ++value);
  }
  Bytes out;
  append_u32le(out, value);
  return out;
}

Reply Chip::update_extra(const Command& command) {
  constexpr std::size_t kExtraAt = 84;
  if (command.p1 > 1 || !command.data.empty()) return Status::Parse;
  std::uint8_t& extra = memory_.config[kExtraAt + command.p1];
  if (memory_.config_locked() && extra != 0) return Status::Execution;
  extra = static_cast<std::uint8_t>(command.p2 & 0xFFU);
  return Status::Success;
}

}  // namespace keyferry::vse::atecc608
