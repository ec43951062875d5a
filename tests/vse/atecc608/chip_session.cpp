// Random, Nonce, GenDig, SHA, MAC, CheckMac, DeriveKey: sections 4.5 to 4.7, 4.12 and 4.13.
#include <algorithm>

#include "tests/vse/atecc608/chip.h"
#include "wrap/crypto/hash.h"

namespace keyferry::vse::atecc608 {
namespace {

constexpr std::uint16_t kTempKeySlot = 0xFFFF;
constexpr std::size_t kHeaderBytes = 4;
constexpr std::size_t kTailBytes = 25;
constexpr std::uint8_t kSecondIsTempKey = 1;
constexpr std::uint8_t kFirstIsTempKey = 2;
constexpr std::uint8_t kSourceBit = 4;
constexpr std::uint8_t kOtp88 = 0x10;
constexpr std::uint8_t kOtp64 = 0x20;
constexpr std::uint8_t kWholeSerial = 0x40;

/// What a chip says for randomness until its configuration is locked (section 4.5).
Bytes unlocked_random() {
  Bytes out;
  for (int i = 0; i < 8; ++i) append(out, Bytes{0xFF, 0xFF, 0x00, 0x00});
  return out;
}

}  // namespace

Reply Chip::random(const Command& command) {
  if (command.p1 > 1 || command.p2 != 0 || !command.data.empty()) return Status::Parse;
  return memory_.config_locked() ? random_.bytes(kBlockBytes) : unlocked_random();
}

Reply Chip::nonce(const Command& command) {
  constexpr std::uint8_t kFixed = 3;
  const unsigned mode = command.p1 & 3U;
  if (mode == kFixed) return nonce_fixed(command);
  if (mode == 2 || (command.p1 & ~3U) != 0) return Status::Parse;
  return nonce_random(command);
}

Reply Chip::nonce_random(const Command& command) {
  constexpr std::size_t kNumInBytes = 20;
  constexpr std::uint16_t kFromTempKey = 0x8000;
  if (command.data.size() != kNumInBytes || (command.p2 != 0 && command.p2 != kFromTempKey))
    return Status::Parse;
  TempKey& key = volatile_.temp_key;
  const bool from_temp_key = command.p2 == kFromTempKey;
  if (from_temp_key && !key.valid) return Status::Execution;
  Bytes number = from_temp_key             ? to_bytes(key.key())
                 : memory_.config_locked() ? random_.bytes(kBlockBytes)
                                           : unlocked_random();
  const Bytes tail{command.opcode, command.p1, 0x00};
  const Digest digest = crypto::sha256_of({number, command.data, tail});
  if (!from_temp_key) {
    key = {};
    key.valid = true;
  }
  std::ranges::copy(digest.bytes(), key.value.begin());
  return from_temp_key ? to_bytes(digest.bytes()) : number;
}

Reply Chip::nonce_fixed(const Command& command) {
  constexpr unsigned kTempKey = 0;
  constexpr unsigned kDigestBuffer = 1;
  constexpr unsigned kAlternateKey = 2;
  const unsigned target = command.p1 >> 6U;
  const std::size_t size = (command.p1 & 0x20U) != 0 ? 64 : 32;
  if ((command.p1 & 0x1CU) != 0 || target > kAlternateKey || command.p2 != 0 ||
      command.data.size() != size || (target == kAlternateKey && size != kBlockBytes)) {
    return Status::Parse;
  }
  if (target == kTempKey) {
    volatile_.temp_key = {};
    volatile_.temp_key.valid = true;
    volatile_.temp_key.source = Source::Input;
    std::ranges::copy(command.data, volatile_.temp_key.value.begin());
  } else if (target == kDigestBuffer) {
    volatile_.digest_buffer = {};
    volatile_.digest_size_bytes = size;
    std::ranges::copy(command.data, volatile_.digest_buffer.begin());
  } else {
    std::ranges::copy(command.data, volatile_.alternate_key.emplace().begin());
  }
  return Status::Success;
}

void Chip::digest_into_temp_key(ByteView first, ByteView header, ByteView tail, ByteView last) {
  TempKey& key = volatile_.temp_key;
  const Digest digest = crypto::sha256_of({first, header, short_serial(), tail, last});
  key.value = {};
  std::ranges::copy(digest.bytes(), key.value.begin());
  key.gen_dig_data = false;
  key.gen_key_data = false;
  key.no_mac = false;
  key.key_id = 0;
}

Reply Chip::gen_dig(const Command& command) {
  enum Mode : std::uint8_t { kConfig, kOtp, kData, kShared, kCounter, kKeyConfig };

  const std::uint8_t mode = command.p1;
  if (mode == kData) return gen_dig_data(command);
  if (mode == kShared) return gen_dig_shared(command);
  if (mode > kKeyConfig || !command.data.empty()) return Status::Parse;
  const unsigned limit = mode == kConfig ? 4 : mode == kKeyConfig ? kSlots : 2;
  if (command.p2 >= limit) return Status::Parse;
  if (!volatile_.temp_key.valid) return Status::Execution;
  const Bytes before = to_bytes(volatile_.temp_key.key());
  const std::size_t at = command.p2 * kBlockBytes;
  if (mode == kConfig || mode == kOtp) {
    const ByteView zone = mode == kConfig ? ByteView{memory_.config} : ByteView{memory_.otp};
    digest_into_temp_key(
        zone.subspan(at, kBlockBytes), header_of(command), zeros(kTailBytes), before);
    return Status::Success;
  }
  Bytes tail{0x00};
  if (mode == kCounter) {
    append_u32le(tail, memory_.counter(command.p2));
  } else {
    append_u16le(tail, memory_.slot_config(command.p2).word());
    append_u16le(tail, memory_.key_config(command.p2).word());
    tail.push_back(memory_.slot_locked(command.p2) ? 0x00 : 0x01);
  }
  tail.resize(kTailBytes);
  digest_into_temp_key(zeros(kBlockBytes), header_of(command), tail, before);
  return Status::Success;
}

Reply Chip::gen_dig_data(const Command& command) {
  const auto slot = slot_in(command);
  if (!slot || (!command.data.empty() && command.data.size() != kHeaderBytes)) return Status::Parse;
  if (!volatile_.temp_key.valid || !memory_.config_locked() ||
      memory_.key_config(*slot).private_key() || !usable(*slot) || !random_enough(*slot)) {
    return Status::Execution;
  }
  const bool no_mac = memory_.slot_config(*slot).no_mac();
  const Bytes header =
      no_mac && !command.data.empty() ? to_bytes(command.data) : header_of(command);
  const Bytes before = to_bytes(volatile_.temp_key.key());
  digest_into_temp_key(memory_.key(*slot), header, zeros(kTailBytes), before);
  volatile_.temp_key.gen_dig_data = true;
  volatile_.temp_key.no_mac = no_mac;
  volatile_.temp_key.key_id = static_cast<std::uint8_t>(*slot);
  return Status::Success;
}

Reply Chip::gen_dig_shared(const Command& command) {
  constexpr std::uint16_t kTempKeyFirst = 0x8000;
  const bool temp_key_first = (command.p2 & kTempKeyFirst) != 0;
  if ((command.p2 & ~kTempKeyFirst) >= kSlots || command.data.size() != kBlockBytes)
    return Status::Parse;
  if (!volatile_.temp_key.valid) return Status::Execution;
  const Bytes before = to_bytes(volatile_.temp_key.key());
  const Bytes header{
      command.opcode, command.p1, static_cast<std::uint8_t>(command.p2 & 0xFFU), 0x00};
  if (temp_key_first) {
    digest_into_temp_key(before, header, zeros(kTailBytes), command.data);
  } else {
    digest_into_temp_key(command.data, header, zeros(kTailBytes), before);
  }
  return Status::Success;
}

Reply Chip::sha(const Command& command) {
  enum Mode : std::uint8_t {
    kStart,
    kUpdate,
    kEnd,
    kPublicKey,
    kHmacStart,
    kUnused,
    kRead,
    kWrite
  };

  constexpr std::size_t kMaxPieceBytes = 64;
  const unsigned mode = command.p1 & 7U;
  if (mode == kEnd) return sha_end(command);
  if ((command.p1 & ~7U) != 0 || mode == kUnused) return Status::Parse;
  if (mode == kHmacStart) return sha_hmac_start(command);
  if (mode == kStart) {
    if (command.p2 != 0 || !command.data.empty()) return Status::Parse;
    volatile_.sha.emplace();
    return Status::Success;
  }
  if (mode == kWrite) {
    auto context = ShaContext::restore(command.data);
    if (command.p2 != command.data.size() || !context) return Status::Parse;
    volatile_.sha = std::move(context);
    return Status::Success;
  }
  if (mode == kUpdate &&
      (command.data.size() != command.p2 || command.data.size() > kMaxPieceBytes)) {
    return Status::Parse;
  }
  const bool takes_data = mode == kUpdate;
  if (!takes_data && !command.data.empty()) return Status::Parse;
  if (mode == kPublicKey && !slot_in(command)) return Status::Parse;
  if (!volatile_.sha) return Status::Execution;
  if (mode == kRead) {
    const auto context = volatile_.sha->save();
    if (!context) return Status::Execution;
    return *context;
  }
  const auto point = mode == kPublicKey ? stored_public_key(command.p2) : to_bytes(command.data);
  if (!point) return Status::Execution;
  volatile_.sha->update(*point);
  return Status::Success;
}

Reply Chip::sha_hmac_start(const Command& command) {
  if (!command.data.empty()) return Status::Parse;
  if (command.p2 == kTempKeySlot) {
    if (!volatile_.temp_key.valid) return Status::Execution;
    volatile_.sha = ShaContext::hmac(volatile_.temp_key.key());
    return Status::Success;
  }
  const auto slot = slot_in(command);
  if (!slot) return Status::Parse;
  if (!memory_.config_locked() || memory_.slot_config(*slot).no_mac() ||
      memory_.key_config(*slot).private_key() || !usable(*slot) || !random_enough(*slot)) {
    return Status::Execution;
  }
  volatile_.sha = ShaContext::hmac(memory_.key(*slot));
  return Status::Success;
}

Reply Chip::sha_end(const Command& command) {
  constexpr unsigned kToTempKey = 0;
  constexpr unsigned kToDigestBuffer = 1;
  constexpr unsigned kOutputOnly = 3;
  const unsigned target = command.p1 >> 6U;
  if ((command.p1 & 0x38U) != 0 || target == 2 || command.data.size() != command.p2 ||
      command.data.size() > kBlockBytes * 2) {
    return Status::Parse;
  }
  if (!volatile_.sha) return Status::Execution;
  volatile_.sha->update(command.data);
  const Bytes digest = volatile_.sha->finish();
  volatile_.sha.reset();
  if (target == kToTempKey) {
    volatile_.temp_key = {};
    volatile_.temp_key.valid = true;
    volatile_.temp_key.source = Source::Input;
    std::ranges::copy(digest, volatile_.temp_key.value.begin());
  } else if (target == kToDigestBuffer) {
    volatile_.digest_buffer = {};
    volatile_.digest_size_bytes = digest.size();
    std::ranges::copy(digest, volatile_.digest_buffer.begin());
  }
  static_assert(kOutputOnly == 3);
  return digest;
}

Reply Chip::mac(const Command& command) {
  constexpr unsigned kKnownBits = 0x77;
  const bool second_is_temp_key = (command.p1 & kSecondIsTempKey) != 0;
  const bool first_is_temp_key = (command.p1 & kFirstIsTempKey) != 0;
  const auto slot = slot_in(command);
  if ((command.p1 & ~kKnownBits) != 0 || !slot ||
      command.data.size() != (second_is_temp_key ? 0 : kBlockBytes)) {
    return Status::Parse;
  }
  const TempKey& key = volatile_.temp_key;
  if (!memory_.config_locked()) return Status::Execution;
  if (second_is_temp_key || first_is_temp_key) {
    const bool input = (command.p1 & kSourceBit) != 0;
    if (!key.valid || key.no_mac || input != (key.source == Source::Input))
      return Status::Execution;
  }
  if (!first_is_temp_key &&
      (memory_.slot_config(*slot).no_mac() || memory_.key_config(*slot).private_key() ||
       !usable(*slot) || !random_enough(*slot))) {
    return Status::Execution;
  }
  const bool otp_11 = (command.p1 & kOtp88) != 0;
  const bool otp_8 = otp_11 || (command.p1 & kOtp64) != 0;
  const ByteView otp{memory_.otp};
  const Digest digest = crypto::sha256_of({first_is_temp_key ? key.key() : memory_.key(*slot),
                                           second_is_temp_key ? key.key() : command.data,
                                           header_of(command),
                                           otp_8 ? otp.first(8) : zeros(8),
                                           otp_11 ? otp.subspan(8, 3) : zeros(3),
                                           whole_serial_tail((command.p1 & kWholeSerial) != 0)});
  return to_bytes(digest.bytes());
}

Reply Chip::check_mac(const Command& command) {
  constexpr unsigned kKnownBits = 0x27;
  constexpr std::size_t kDataBytes = 77;
  const auto slot = slot_in(command);
  if ((command.p1 & ~kKnownBits) != 0 || !slot || command.data.size() != kDataBytes)
    return Status::Parse;
  const TempKey key = volatile_.temp_key;
  const bool random_key = random_enough(*slot);
  consume_temp_key();
  volatile_.authorised.reset();
  const bool second_is_temp_key = (command.p1 & kSecondIsTempKey) != 0;
  const bool first_is_temp_key = (command.p1 & kFirstIsTempKey) != 0;
  if (!memory_.config_locked()) return Status::Execution;
  if (second_is_temp_key || first_is_temp_key) {
    const bool input = (command.p1 & kSourceBit) != 0;
    if (!key.valid || input != (key.source == Source::Input)) return Status::Execution;
  }
  if (!first_is_temp_key &&
      (memory_.key_config(*slot).private_key() || !usable(*slot) || !random_key)) {
    return Status::Execution;
  }
  const ByteView challenge = command.data.first(32);
  const ByteView response = command.data.subspan(32, 32);
  const ByteView other = command.data.subspan(64);
  const Bytes serial = memory_.serial();
  const Digest wanted =
      crypto::sha256_of({first_is_temp_key ? key.key() : memory_.key(*slot),
                         second_is_temp_key ? key.key() : challenge,
                         other.first(4),
                         (command.p1 & kOtp64) != 0 ? ByteView{memory_.otp}.first(8) : zeros(8),
                         other.subspan(4, 3),
                         ByteView{serial}.subspan(8, 1),
                         other.subspan(7, 4),
                         ByteView{serial}.first(2),
                         other.subspan(11, 2)});
  if (!equal(wanted.bytes(), response)) return Status::Miscompare;
  volatile_.authorised = *slot;
  return Status::Success;
}

Reply Chip::derive_key(const Command& command) {
  const auto slot = slot_in(command);
  const bool with_mac = command.data.size() == kBlockBytes;
  if ((command.p1 & ~kSourceBit) != 0 || !slot || (!with_mac && !command.data.empty()))
    return Status::Parse;
  const TempKey key = volatile_.temp_key;
  const SlotConfig config = memory_.slot_config(*slot);
  const unsigned source = config.source_is_write_key() ? config.write_key() : *slot;
  const bool random_key = random_enough(source);
  consume_temp_key();
  const bool input = (command.p1 & kSourceBit) != 0;
  if (!memory_.config_locked() || !key.valid || input != (key.source == Source::Input) ||
      memory_.slot_locked(*slot) || !config.makes_keys() ||
      memory_.key_config(*slot).private_key() || memory_.key_config(source).private_key() ||
      !usable(source) || !random_key || (config.wants_input_mac() && !with_mac)) {
    return Status::Execution;
  }
  const Bytes parent = to_bytes(memory_.key(source));
  const Bytes header = header_of(command);
  if (with_mac &&
      !equal(crypto::sha256_of({parent, header, short_serial()}).bytes(), command.data)) {
    return Status::Execution;
  }
  const Digest child =
      crypto::sha256_of({parent, header, short_serial(), zeros(kTailBytes), key.key()});
  std::ranges::copy(child.bytes(), memory_.slots[*slot].begin());
  return Status::Success;
}

}  // namespace keyferry::vse::atecc608
