// GenKey, PrivWrite, Sign, Verify, SecureBoot, SelfTest: sections 4.8 to 4.11 and 4.13.
#include <algorithm>

#include "tests/vse/atecc608/chip.h"
#include "wrap/crypto/hash.h"

namespace keyferry::vse::atecc608 {
namespace {

constexpr std::size_t kScalarBytes = 32;
constexpr std::size_t kPointBytes = 64;  // X | Y
constexpr std::size_t kSignatureBytes = 64;
constexpr std::size_t kDigestBytes = 32;
constexpr std::uint8_t kFromDigestBuffer = 0x20;
constexpr std::uint8_t kWithMac = 0x80;

Bytes point_of(const crypto::SoftKey& key) {
  return to_bytes(key.public_key().point().subspan(1));
}

std::optional<crypto::PublicKey> public_key_of(ByteView point) {
  Bytes octets{0x04};
  append(octets, point);
  return crypto::PublicKey::from_point(octets);
}

Digest to_digest(ByteView octets) {
  return *Digest::from_bytes(octets.first(kDigestBytes));
}

}  // namespace

Reply Chip::gen_key(const Command& command) {
  constexpr std::uint8_t kPublic = 0x00;
  constexpr std::uint8_t kCreate = 0x04;
  constexpr std::uint8_t kDigest = 0x08;
  constexpr std::uint8_t kStored = 0x10;
  if (command.p1 == kStored) return gen_key_stored(command);
  const auto slot = slot_in(command);
  if ((command.p1 & ~(kCreate | kDigest)) != 0 || !slot || !command.data.empty())
    return Status::Parse;
  static_assert(kPublic == 0);
  const bool digest = (command.p1 & kDigest) != 0;
  const KeyConfig config = memory_.key_config(*slot);
  if (!memory_.config_locked() || !config.private_key() || !config.p256() || !usable(*slot))
    return Status::Execution;
  if (digest && (!volatile_.temp_key.valid || !random_enough(*slot))) return Status::Execution;
  if ((command.p1 & kCreate) != 0) {
    const bool allowed = !memory_.slot_locked(*slot) &&
                         (!memory_.data_locked() || memory_.slot_config(*slot).makes_keys());
    if (!allowed) return Status::Execution;
    std::optional<crypto::SoftKey> made;
    Bytes scalar;
    while (!made) {
      scalar = random_.bytes(kScalarBytes);
      made = crypto::SoftKey::from_scalar(SecretBytes::copy_of(scalar));
    }
    Bytes stored(4);
    append(stored, scalar);
    std::ranges::copy(stored, memory_.slots[*slot].begin());
  } else if (!config.pub_info()) {
    return Status::Execution;
  }
  const auto key = private_key(*slot);
  if (!key) return Status::Execution;
  Bytes point = point_of(*key);
  if (digest) genkey_digest(header_of(command), point, *slot);
  return point;
}

Reply Chip::gen_key_stored(const Command& command) {
  constexpr std::size_t kOtherBytes = 3;
  const auto slot = slot_in(command);
  if (!slot || command.data.size() != kOtherBytes) return Status::Parse;
  const auto point = stored_public_key(*slot);
  if (!point || !memory_.config_locked() || !volatile_.temp_key.valid || !usable(*slot) ||
      !random_enough(*slot)) {
    return Status::Execution;
  }
  Bytes header{command.opcode};
  append(header, command.data);
  genkey_digest(header, *point, *slot);
  return Status::Success;
}

void Chip::genkey_digest(ByteView header, ByteView point, unsigned slot) {
  TempKey& key = volatile_.temp_key;
  const Digest digest = crypto::sha256_of({key.key(), header, short_serial(), zeros(25), point});
  key.value = {};
  std::ranges::copy(digest.bytes(), key.value.begin());
  key.gen_key_data = true;
  key.gen_dig_data = false;
  key.no_mac = false;
  key.key_id = static_cast<std::uint8_t>(slot);
}

Reply Chip::priv_write(const Command& command) {
  constexpr std::uint8_t kPlain = 0x00;
  constexpr std::uint8_t kEncrypted = 0x40;
  constexpr std::size_t kDataBytes = 68;
  constexpr std::size_t kStoredBytes = 36;
  const auto slot = slot_in(command);
  if ((command.p1 != kPlain && command.p1 != kEncrypted) || !slot ||
      command.data.size() != kDataBytes) {
    return Status::Parse;
  }
  const bool encrypted = command.p1 == kEncrypted;
  const KeyConfig key = memory_.key_config(*slot);
  const SlotConfig config = memory_.slot_config(*slot);
  const bool target_fits = memory_.config_locked() && key.private_key() && config.is_secret() &&
                           key.p256() && !memory_.slot_locked(*slot);
  const bool mode_fits = !memory_.data_locked() || (encrypted && config.writes_encrypted());
  std::optional<Bytes> plain;
  if (target_fits && mode_fits) {
    plain =
        encrypted ? decrypt_priv_write(command, *slot) : to_bytes(command.data.first(kStoredBytes));
  }
  consume_temp_key();
  if (!plain || !equal(ByteView{*plain}.first(4), zeros(4))) return Status::Execution;
  const auto scalar = SecretBytes::copy_of(ByteView{*plain}.subspan(4));
  if (!crypto::SoftKey::from_scalar(SecretBytes::copy_of(scalar.expose())))
    return Status::Execution;
  std::ranges::copy(*plain, memory_.slots[*slot].begin());
  return Status::Success;
}

std::optional<Bytes> Chip::decrypt_priv_write(const Command& command, unsigned slot) const {
  const TempKey& key = volatile_.temp_key;
  if (!key.valid || !key.gen_dig_data) return std::nullopt;
  if (rules_.strict_rand && key.source == Source::Input) return std::nullopt;
  if (memory_.data_locked() && key.key_id != memory_.slot_config(slot).write_key())
    return std::nullopt;
  Bytes plain = to_bytes(command.data.first(36));
  const Digest second = crypto::sha256(key.key());
  for (std::size_t i = 0; i < plain.size(); ++i)
    plain[i] ^= i < kBlockBytes ? key.key()[i] : second.bytes()[i - kBlockBytes];
  const Digest wanted =
      crypto::sha256_of({key.key(), header_of(command), short_serial(), zeros(21), plain});
  if (!equal(wanted.bytes(), command.data.last(32))) return std::nullopt;
  return plain;
}

Reply Chip::sign(const Command& command) {
  constexpr std::uint8_t kExternal = 0x80;
  constexpr std::uint8_t kUnknownBits = 0x1E;
  const auto slot = slot_in(command);
  const bool external = (command.p1 & kExternal) != 0;
  const bool from_buffer = (command.p1 & kFromDigestBuffer) != 0;
  if ((command.p1 & kUnknownBits) != 0 || !slot || !command.data.empty() ||
      (!external && from_buffer)) {
    return Status::Parse;
  }
  const KeyConfig config = memory_.key_config(*slot);
  const SlotConfig rights = memory_.slot_config(*slot);
  const TempKey& temp_key = volatile_.temp_key;
  const bool may = external ? rights.external_sign() : rights.internal_sign();
  if (!memory_.config_locked() || !config.private_key() || !config.p256() || !may ||
      !usable(*slot)) {
    return Status::Execution;
  }
  std::optional<Digest> digest;
  if (external) {
    digest = external_digest(command.p1);
  } else if (temp_key.valid && (temp_key.gen_dig_data || temp_key.gen_key_data)) {
    digest = internal_digest(command);
  }
  if (!from_buffer) consume_temp_key();
  auto key = private_key(*slot);
  if (!digest || !key) return Status::Execution;
  if (rules_.counterfeit) return random_.bytes(kSignatureBytes);
  return key->sign_digest(*digest);
}

std::optional<Digest> Chip::external_digest(std::uint8_t p1) const {
  if ((p1 & kFromDigestBuffer) != 0) {
    if (volatile_.digest_size_bytes == 0) return std::nullopt;
    return to_digest(volatile_.digest_buffer);
  }
  if (!volatile_.temp_key.valid) return std::nullopt;
  return to_digest(volatile_.temp_key.key());
}

Digest Chip::internal_digest(const Command& command) const {
  const TempKey& key = volatile_.temp_key;
  Bytes middle;
  append_u16le(middle, memory_.slot_config(key.key_id).word());
  append_u16le(middle, memory_.key_config(key.key_id).word());
  middle.push_back(key.flags());
  append(middle, zeros(2));
  constexpr std::uint8_t kWholeSerial = 0x40;
  const Bytes tail{
      static_cast<std::uint8_t>(memory_.slot_locked(key.key_id) ? 0x00 : 0x01), 0x00, 0x00};
  return crypto::sha256_of({key.key(),
                            header_of(command),
                            middle,
                            whole_serial_tail((command.p1 & kWholeSerial) != 0),
                            tail});
}

Reply Chip::verify(const Command& command) {
  constexpr unsigned kStored = 0;
  constexpr unsigned kExternal = 2;
  constexpr std::uint16_t kP256 = 4;
  constexpr unsigned kKnownBits = 0xA7;
  const unsigned mode = command.p1 & 7U;
  const bool external = mode == kExternal;
  if ((command.p1 & ~kKnownBits) != 0 || (mode != kStored && !external)) return Status::Parse;
  if (external ? command.p2 != kP256 : !slot_in(command).has_value()) return Status::Parse;
  if (command.data.size() != kSignatureBytes + (external ? kPointBytes : 0)) return Status::Parse;
  const TempKey& temp_key = volatile_.temp_key;
  const bool from_buffer = (command.p1 & kFromDigestBuffer) != 0;
  if (!memory_.config_locked() ||
      (from_buffer ? volatile_.digest_size_bytes == 0 : !temp_key.valid)) {
    return Status::Execution;
  }
  const bool with_mac = (command.p1 & kWithMac) != 0;
  const auto shared = with_mac ? io_key() : std::nullopt;
  if (with_mac && !shared) return Status::Execution;
  std::optional<Bytes> point;
  if (external) {
    point = to_bytes(command.data.last(kPointBytes));
  } else {
    point = stored_public_key(command.p2);
    constexpr unsigned kValidMark = 5;
    const bool valid = !memory_.key_config(command.p2).pub_info() ||
                       memory_.slots[command.p2][0] >> 4U == kValidMark;
    if (!point || !valid || !usable(command.p2) || !random_enough(command.p2))
      return Status::Execution;
  }
  const auto key = public_key_of(*point);
  if (!key) return Status::EccFault;
  const ByteView message =
      from_buffer ? ByteView{volatile_.digest_buffer}.first(32) : temp_key.key();
  const ByteView signature = command.data.first(kSignatureBytes);
  if (!crypto::verify(*key, to_digest(message), signature)) return Status::Miscompare;
  if (!with_mac) return Status::Success;
  const ByteView system_nonce = ByteView{volatile_.digest_buffer}.subspan(from_buffer ? 32 : 0, 32);
  return to_bytes(
      crypto::sha256_of({*shared, message, system_nonce, signature, header_of(command)}).bytes());
}

Reply Chip::secure_boot(const Command& command) {
  enum Mode : unsigned { kFull = 5, kFullStore = 6, kFullCopy = 7 };

  enum Setting : unsigned { kOff = 0, kFullBoth = 1, kFullSig = 2, kFullDig = 3 };

  constexpr unsigned kKnownBits = 0xC7;
  const unsigned mode = command.p1 & 7U;
  if ((command.p1 & ~kKnownBits) != 0 || mode < kFull || command.p2 != 0) return Status::Parse;
  const bool with_signature = mode != kFullStore;
  if (command.data.size() != kDigestBytes + (with_signature ? kSignatureBytes : 0))
    return Status::Parse;
  const unsigned word = memory_.secure_boot_word();
  const unsigned setting = word & 3U;
  const unsigned stored_slot = word >> 8U & 0xFU;
  const unsigned key_slot = word >> 12U;
  if (!memory_.config_locked() || setting == kOff || power_.secure_boot_prohibited ||
      (mode != kFull && setting == kFullBoth)) {
    return Status::Execution;
  }
  const TempKey temp_key = volatile_.temp_key;
  const bool wants_random = (word & 0x10U) != 0;
  if (wants_random && (!temp_key.valid || temp_key.source != Source::Rand))
    return Status::Execution;
  const auto point = stored_public_key(key_slot);
  const auto key = point ? public_key_of(*point) : std::nullopt;
  if (!key) return Status::Execution;
  Bytes digest = to_bytes(command.data.first(kDigestBytes));
  Bytes session;
  const bool with_mac = (command.p1 & kWithMac) != 0;
  if (with_mac) {
    const auto shared = io_key();
    if (!shared || !temp_key.valid) return Status::Execution;
    session = to_bytes(crypto::sha256_of({*shared, temp_key.key()}).bytes());
    for (std::size_t i = 0; i < digest.size(); ++i) digest[i] ^= session[i];
  }
  Bytes& store = memory_.slots[stored_slot];
  const bool by_digest = mode == kFullStore && setting == kFullDig;
  if (!with_signature && !by_digest && store.size() < kSignatureBytes) return Status::Execution;
  const Bytes signature = with_signature ? to_bytes(command.data.last(kSignatureBytes))
                          : by_digest    ? Bytes{}
                                         : to_bytes(ByteView{store}.first(kSignatureBytes));
  const bool right = by_digest ? equal(ByteView{store}.first(kDigestBytes), digest)
                               : crypto::verify(*key, to_digest(digest), signature);
  if (!right) return Status::Miscompare;
  if (mode == kFullCopy) {
    const Bytes& kept = setting == kFullDig ? digest : signature;
    if (store.size() < kept.size()) return Status::Execution;
    std::ranges::copy(kept, store.begin());
  }
  if ((word & 8U) != 0) power_.latch = true;
  if ((command.p1 & 0x40U) != 0) power_.secure_boot_prohibited = true;
  if (!with_mac) return Status::Success;
  return to_bytes(crypto::sha256_of({session, digest, signature, header_of(command)}).bytes());
}

Reply Chip::self_test(const Command& command) {
  constexpr std::uint8_t kEcdsa = 0x04;
  constexpr std::uint8_t kSha = 0x20;
  constexpr std::uint8_t kKnownBits = 0x3D;  // RNG, ECDSA, ECDH, AES, SHA
  if ((command.p1 & ~kKnownBits) != 0 || command.p1 == 0 || command.p2 != 0 ||
      !command.data.empty()) {
    return Status::Parse;
  }
  unsigned failed = 0;
  if ((command.p1 & kSha) != 0) {
    // FIPS 180-4's example "abc".
    const auto known = from_hex("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    ShaContext context;
    context.update(as_bytes("abc"));
    if (context.finish() != *known) failed |= kSha;
  }
  if ((command.p1 & kEcdsa) != 0) {
    auto key = crypto::SoftKey::generate();
    const Digest digest = crypto::sha256(as_bytes("self test"));
    if (!crypto::verify(key.public_key(), digest, key.sign_digest(digest))) failed |= kEcdsa;
  }
  return static_cast<Status>(failed);
}

}  // namespace keyferry::vse::atecc608
