#include "tests/vse/atecc608/maker.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "wrap/base/durable_file.h"
#include "wrap/base/error.h"

namespace keyferry::vse::atecc608 {
namespace {

constexpr std::uint8_t kWholeBlock = 0x80;
constexpr std::uint8_t kDataZone = 2;
constexpr std::uint8_t kNoSummary = 0x80;
constexpr std::size_t kPointBytes = 64;

void put_serial(std::array<std::uint8_t, kConfigBytes>& config, const Bytes& serial) {
  std::copy_n(serial.begin(), 4, config.begin());
  std::copy_n(serial.begin() + 4, 5, config.begin() + 8);
}

Bytes new_serial(const std::array<std::uint8_t, kConfigBytes>& config, RandomSource& random) {
  Bytes serial{config[0], config[1]};
  append(serial, random.bytes(6));
  serial.push_back(config[12]);
  return serial;
}

/// Commands to one chip, each of which must be carried out.
class Desk {
 public:
  explicit Desk(Chip& chip) : chip_{chip} {}

  Bytes send(Opcode opcode, std::uint8_t p1, std::uint16_t p2, ByteView data = {}) {
    const auto code = static_cast<std::uint8_t>(opcode);
    Bytes packet{static_cast<std::uint8_t>(kMinCommandBytes + data.size()), code, p1};
    append_u16le(packet, p2);
    append(packet, data);
    append_u16le(packet, crc16(packet));
    const Bytes reply = chip_.answer(packet);
    Bytes payload{reply.begin() + 1, reply.end() - 2};
    if (payload.size() > 1 || payload == Bytes{0}) return payload;
    throw Error{Code::Refused,
                fmt::format("the chip refuses {} {:02x} {:04x} with status {:02x}",
                            opcode_label(opcode),
                            p1,
                            p2,
                            payload.at(0)),
                "the configuration does not let a chip be prepared this way"};
  }

  void write_slot(unsigned slot, ByteView content) {
    for (std::size_t block = 0; block * kBlockBytes < content.size(); ++block) {
      const ByteView rest = content.subspan(block * kBlockBytes);
      Bytes octets = to_bytes(rest.first(std::min(rest.size(), kBlockBytes)));
      octets.resize(kBlockBytes);
      const auto address = static_cast<std::uint16_t>(block << 8U | slot << 3U);
      static_cast<void>(send(Opcode::Write, kWholeBlock | kDataZone, address, octets));
    }
  }

  void lock_slot(unsigned slot) {
    static_cast<void>(
        send(Opcode::Lock, static_cast<std::uint8_t>(kNoSummary | slot << 2U | 2U), 0));
  }

 private:
  static std::string opcode_label(Opcode opcode) {
    return fmt::format("command {:02x}", static_cast<unsigned>(opcode));
  }

  Chip& chip_;
};

Bytes with_point_prefix(ByteView point) {
  Bytes out{0x04};
  append(out, point);
  return out;
}

/// X and Y, each after four octets of padding (section 2).
Bytes stored_point(ByteView point) {
  Bytes out(4);
  append(out, point.first(kPointBytes / 2));
  out.resize(out.size() + 4);
  append(out, point.last(kPointBytes / 2));
  return out;
}

/// What a secure room does with a chip whose configuration is written.
void prepare(Chip& chip, const Preparation& wanted, const SecretBytes& transport_key) {
  Desk desk{chip};
  static_cast<void>(desk.send(Opcode::Lock, 0, crc16(chip.memory().config)));
  desk.write_slot(wanted.transport_slot, transport_key.expose());
  if (wanted.attestation_slot) {
    static_cast<void>(
        desk.send(Opcode::GenKey, 0x04, static_cast<std::uint16_t>(*wanted.attestation_slot)));
    desk.lock_slot(*wanted.attestation_slot);
  }
  if (wanted.secure_boot_key) {
    const unsigned slot = chip.memory().secure_boot_word() >> 12U;
    desk.write_slot(slot, stored_point(*wanted.secure_boot_key));
    desk.lock_slot(slot);
  }
  static_cast<void>(desk.send(Opcode::Lock, kNoSummary | 1U, 0));
}

Bytes attestation_key_of(const Memory& memory, const MakeOrder& order, RandomSource& random) {
  if (!order.preparation || !order.preparation->attestation_slot) return {};
  Chip chip{memory, random};
  const auto slot = static_cast<std::uint16_t>(*order.preparation->attestation_slot);
  return with_point_prefix(Desk{chip}.send(Opcode::GenKey, 0x00, slot));
}

Memory new_memory(const MakeOrder& order,
                  const KeyForSerial& key_for_serial,
                  RandomSource& random) {
  const Bytes serial = new_serial(order.config, random);
  if (!order.preparation) return blank_memory(serial, ByteView{order.config}.subspan(4, 4));
  Memory memory{order.config};
  put_serial(memory.config, serial);
  Chip chip{std::move(memory), random};
  prepare(chip, *order.preparation, key_for_serial(serial));
  return chip.memory();
}

/// A kept chip is the one that this order would have made.
void check_kept(const Memory& memory,
                const std::filesystem::path& state,
                const MakeOrder& order,
                const KeyForSerial& key_for_serial) {
  bool same = memory.config_locked() == order.preparation.has_value();
  if (same && order.preparation) {
    const SecretBytes key = key_for_serial(memory.serial());
    same = equal(memory.key(order.preparation->transport_slot), key.expose());
  }
  if (same) return;
  throw Error{Code::Refused,
              state.string() + " was made by another order, or has been used",
              "give the options of the first run, or another --folder"};
}

}  // namespace

std::filesystem::path state_file(const std::filesystem::path& folder, std::uint32_t number) {
  return folder / fmt::format("chip-{:05}.state", number);
}

std::filesystem::path socket_of(const std::filesystem::path& state) {
  return std::filesystem::path{state}.replace_extension(".sock");
}

Memory blank_memory(const Bytes& serial, ByteView revision) {
  std::array<std::uint8_t, kConfigBytes> config{};
  put_serial(config, serial);
  std::ranges::copy(revision, config.begin() + 4);
  config[13] = 0x01;  // AES_Enable
  config[14] = 0x01;  // I2C
  config[16] = 0xC0;  // address 0x60, as blank parts have
  for (const std::size_t counter : {52U, 60U}) std::fill_n(config.begin() + counter, 4, 0xFF);
  config[86] = config[87] = 0x55;  // both zones open
  config[88] = config[89] = 0xFF;  // no slot locked
  return Memory{config};
}

MakeResult make_chips(const MakeOrder& order,
                      const KeyForSerial& key_for_serial,
                      RandomSource& random,
                      const std::function<void(std::uint32_t)>& progress) {
  MakeResult result;
  for (std::uint32_t number = order.first; number < order.first + order.count; ++number) {
    const std::filesystem::path state = state_file(order.folder, number);
    auto memory = load_memory(state);
    if (memory) {
      check_kept(*memory, state, order, key_for_serial);
      ++result.kept;
    } else {
      memory = new_memory(order, key_for_serial, random);
      save_memory(state, *memory);
      ++result.made;
    }
    result.chips.push_back(
        {number, state, memory->serial(), attestation_key_of(*memory, order, random)});
    progress(result.made + result.kept);
  }
  return result;
}

}  // namespace keyferry::vse::atecc608
