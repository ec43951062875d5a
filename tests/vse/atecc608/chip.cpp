#include "tests/vse/atecc608/chip.h"

#include <utility>

namespace keyferry::vse::atecc608 {

ByteView zeros(std::size_t count) {
  static constexpr std::array<std::uint8_t, 64> kZeros{};
  return ByteView{kZeros}.first(count);
}

std::optional<unsigned> slot_in(const Command& command) {
  if (command.p2 >= kSlots) return std::nullopt;
  return command.p2;
}

Bytes header_of(const Command& command) {
  Bytes header{command.opcode, command.p1};
  append_u16le(header, command.p2);
  return header;
}

std::uint8_t TempKey::flags() const {
  return static_cast<std::uint8_t>(key_id | static_cast<unsigned>(source) << 4U |
                                   (gen_dig_data ? 0x20U : 0U) | (gen_key_data ? 0x40U : 0U) |
                                   (no_mac ? 0x80U : 0U));
}

Chip::Chip(Memory memory, RandomSource& random, ChipRules rules)
    : memory_{std::move(memory)}, random_{random}, rules_{rules} {}

Bytes Chip::answer(ByteView packet) {
  const auto command = read_command(packet);
  if (!command) return reply_packet(Status::Communication);
  return reply_packet(execute(*command));
}

void Chip::sleep() {
  volatile_ = {};
}

void Chip::power_off() {
  sleep();
  power_ = {};
}

Reply Chip::execute(const Command& command) {
  switch (static_cast<Opcode>(command.opcode)) {
    case Opcode::Info:
      return info(command);
    case Opcode::Read:
      return read(command);
    case Opcode::Write:
      return write(command);
    case Opcode::Lock:
      return lock(command);
    case Opcode::Counter:
      return counter(command);
    case Opcode::UpdateExtra:
      return update_extra(command);
    case Opcode::Random:
      return random(command);
    case Opcode::Nonce:
      return nonce(command);
    case Opcode::GenDig:
      return gen_dig(command);
    case Opcode::Sha:
      return sha(command);
    case Opcode::Mac:
      return mac(command);
    case Opcode::CheckMac:
      return check_mac(command);
    case Opcode::DeriveKey:
      return derive_key(command);
    case Opcode::GenKey:
      return gen_key(command);
    case Opcode::PrivWrite:
      return priv_write(command);
    case Opcode::Sign:
      return sign(command);
    case Opcode::Verify:
      return verify(command);
    case Opcode::SecureBoot:
      return secure_boot(command);
    case Opcode::SelfTest:
      return self_test(command);
  }
  return Status::Parse;
}

Bytes Chip::short_serial() const {
  const Bytes serial = memory_.serial();
  return {serial[8], serial[0], serial[1]};
}

Bytes Chip::whole_serial_tail(bool whole) const {
  const Bytes serial = memory_.serial();
  Bytes out{serial[8]};
  append(out, whole ? ByteView{serial}.subspan(4, 4) : zeros(4));
  append(out, ByteView{serial}.first(2));
  append(out, whole ? ByteView{serial}.subspan(2, 2) : zeros(2));
  return out;
}

bool Chip::usable(unsigned slot) const {
  const KeyConfig config = memory_.key_config(slot);
  if (config.persistent_disable() && !power_.latch) return false;
  return !config.req_auth() || volatile_.authorised == config.auth_key();
}

bool Chip::random_enough(unsigned slot) const {
  if (!memory_.key_config(slot).req_random()) return true;
  return volatile_.temp_key.valid && volatile_.temp_key.source == Source::Rand;
}

std::optional<crypto::SoftKey> Chip::private_key(unsigned slot) const {
  const Bytes& stored = memory_.slots[slot];
  if (!equal(ByteView{stored}.first(4), zeros(4))) return std::nullopt;
  return crypto::SoftKey::from_scalar(SecretBytes::copy_of(ByteView{stored}.subspan(4, 32)));
}

std::optional<Bytes> Chip::stored_public_key(unsigned slot) const {
  const KeyConfig config = memory_.key_config(slot);
  if (slot < 8 || config.private_key() || !config.p256()) return std::nullopt;
  const ByteView stored = memory_.slots[slot];
  Bytes point = to_bytes(stored.subspan(4, 32));
  append(point, stored.subspan(40, 32));
  return point;
}

std::optional<Bytes> Chip::io_key() const {
  constexpr unsigned kIoProtectionEnabled = 2;
  const unsigned options = memory_.chip_options();
  if ((options & kIoProtectionEnabled) == 0) return std::nullopt;
  return to_bytes(memory_.key(options >> 12U));
}

}  // namespace keyferry::vse::atecc608
