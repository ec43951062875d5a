#include "tests/vse/atecc608/memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cctype>
#include <sstream>
#include <string>

#include "wrap/base/durable_file.h"

namespace keyferry::vse::atecc608 {
namespace {

// Offsets in the configuration zone, section 2.1.
constexpr std::size_t kSlotConfigAt = 20;
constexpr std::size_t kCountersAt = 52;
constexpr std::size_t kCounterBytes = 8;
constexpr std::size_t kSecureBootAt = 70;
constexpr std::size_t kLockValueAt = 86;
constexpr std::size_t kLockConfigAt = 87;
constexpr std::size_t kSlotLockedAt = 88;
constexpr std::size_t kChipOptionsAt = 90;
constexpr std::size_t kKeyConfigAt = 96;

constexpr std::uint8_t kUnlocked = 0x55;
constexpr std::uint64_t kMaxFileBytes = 64 * 1024;
constexpr std::string_view kMagic = "keyferry-vse-atecc608 1";

std::uint16_t word_at(const std::array<std::uint8_t, kConfigBytes>& config, std::size_t at) {
  return static_cast<std::uint16_t>(config[at] | config[at + 1] << 8U);
}

std::uint16_t ones(std::uint32_t shift) {
  return shift >= 16 ? std::uint16_t{0} : static_cast<std::uint16_t>(0xFFFFU >> shift);
}

std::uint32_t zeros(ByteView at) {
  return 16U - static_cast<std::uint32_t>(std::popcount(read_u16be(at)));
}

[[noreturn]] void damaged(const std::filesystem::path& file, const std::string& what) {
  throw Error{Code::Storage,
              file.string() + ": " + what,
              "--state is a file that keyferry-vse atecc608 made; remove it for a blank chip"};
}

/// The next line "NAME HEX" with exactly `size` octets.
Bytes next_line(std::istream& lines,
                const std::filesystem::path& file,
                const std::string& name,
                std::size_t size) {
  std::string word;
  std::string hex;
  if (!(lines >> word >> hex) || word != name)
    damaged(file, "the line \"" + name + "\" is missing");
  auto octets = from_hex(hex);
  if (!octets || octets->size() != size) damaged(file, "\"" + name + "\" has another size");
  return std::move(*octets);
}

}  // namespace

Memory::Memory(const std::array<std::uint8_t, kConfigBytes>& content) : config{content} {
  otp.fill(0xFF);
  for (unsigned slot = 0; slot < kSlots; ++slot) slots[slot].assign(slot_size_bytes(slot), 0xFF);
}

bool Memory::config_locked() const {
  return config[kLockConfigAt] != kUnlocked;
}

bool Memory::data_locked() const {
  return config[kLockValueAt] != kUnlocked;
}

bool Memory::slot_locked(unsigned slot) const {
  return (word_at(config, kSlotLockedAt) >> slot & 1U) == 0;
}

void Memory::lock_config() {
  config[kLockConfigAt] = 0;
}

void Memory::lock_data() {
  config[kLockValueAt] = 0;
}

void Memory::lock_slot(unsigned slot) {
  config[kSlotLockedAt + slot / 8] &= static_cast<std::uint8_t>(~(1U << slot % 8));
}

SlotConfig Memory::slot_config(unsigned slot) const {
  return SlotConfig{word_at(config, kSlotConfigAt + 2 * slot)};
}

KeyConfig Memory::key_config(unsigned slot) const {
  return KeyConfig{word_at(config, kKeyConfigAt + 2 * slot)};
}

std::uint16_t Memory::secure_boot_word() const {
  return word_at(config, kSecureBootAt);
}

std::uint16_t Memory::chip_options() const {
  return word_at(config, kChipOptionsAt);
}

Bytes Memory::serial() const {
  Bytes serial{config.begin(), config.begin() + 4};
  serial.insert(serial.end(), config.begin() + 8, config.begin() + 13);
  return serial;
}

ByteView Memory::key(unsigned slot) const {
  return ByteView{slots.at(slot)}.first(kBlockBytes);
}

std::uint32_t Memory::counter(unsigned number) const {
  const ByteView at = ByteView{config}.subspan(kCountersAt + number * kCounterBytes, kCounterBytes);
  const std::uint32_t linear_a = zeros(at);
  if (linear_a < 16) return read_u16be(at.subspan(4)) * 32U + linear_a;
  return read_u16be(at.subspan(6)) * 32U + 16U + zeros(at.subspan(2));
}

void Memory::set_counter(unsigned number, std::uint32_t value) {
  Bytes stored;
  append_u16be(stored, ones(value % 32));
  append_u16be(stored, value >= 16 ? ones((value - 16) % 32) : std::uint16_t{0xFFFF});
  append_u16be(stored, static_cast<std::uint16_t>(value / 32));
  append_u16be(stored,
               value >= 16 ? static_cast<std::uint16_t>((value - 16) / 32) : std::uint16_t{0});
  std::ranges::copy(
      stored, config.begin() + static_cast<std::ptrdiff_t>(kCountersAt + number * kCounterBytes));
}

std::array<std::uint8_t, kConfigBytes> read_config_hex(const std::filesystem::path& file) {
  std::string text = to_string(read_file(file, kMaxFileBytes));
  std::erase_if(text, [](char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; });
  const auto octets = from_hex(text);
  if (!octets || octets->size() != kConfigBytes) {
    throw Error{Code::Usage,
                file.string() + " is not the hex of 128 octets",
                "--config is a configuration zone, as tests/vectors/atecc608/"
                "example-configuration.hex is"};
  }
  std::array<std::uint8_t, kConfigBytes> config{};
  std::ranges::copy(*octets, config.begin());
  return config;
}

std::optional<Memory> load_memory(const std::filesystem::path& file) {
  const auto content = read_file_if_exists(file, kMaxFileBytes);
  if (!content) return std::nullopt;
  std::istringstream lines{to_string(*content)};
  std::string magic;
  if (!std::getline(lines, magic) || magic != kMagic) damaged(file, "this is no chip's state");
  std::array<std::uint8_t, kConfigBytes> config{};
  std::ranges::copy(next_line(lines, file, "config", kConfigBytes), config.begin());
  Memory memory{config};
  std::ranges::copy(next_line(lines, file, "otp", kOtpBytes), memory.otp.begin());
  for (unsigned slot = 0; slot < kSlots; ++slot) {
    memory.slots[slot] = next_line(lines, file, fmt::format("slot{}", slot), slot_size_bytes(slot));
  }
  return memory;
}

void save_memory(const std::filesystem::path& file, const Memory& memory) {
  std::string text =
      fmt::format("{}\nconfig {}\notp {}\n", kMagic, to_hex(memory.config), to_hex(memory.otp));
  for (unsigned slot = 0; slot < kSlots; ++slot)
    text += fmt::format("slot{} {}\n", slot, to_hex(memory.slots[slot]));
  write_file_durably(file, as_bytes(text), Overwrite::Replace);
}

}  // namespace keyferry::vse::atecc608
