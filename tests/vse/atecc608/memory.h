// What a chip keeps without power (facts: se/atecc608.md, section 2), and the file that stands for
// its cells.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>

#include "wrap/base/bytes.h"

namespace keyferry::vse::atecc608 {

inline constexpr std::size_t kConfigBytes = 128;
inline constexpr std::size_t kOtpBytes = 64;
inline constexpr std::size_t kSlots = 16;
inline constexpr std::size_t kBlockBytes = 32;
inline constexpr std::size_t kWordBytes = 4;
inline constexpr std::size_t kSerialBytes = 9;

[[nodiscard]] constexpr std::size_t slot_size_bytes(unsigned slot) {
  return slot < 8 ? 36 : slot == 8 ? 416 : 72;
}

/// SlotConfig of a slot (section 2.2).
class SlotConfig {
 public:
  explicit SlotConfig(std::uint16_t word) : word_{word} {}

  [[nodiscard]] unsigned read_key() const { return word_ & 0xFU; }

  [[nodiscard]] bool external_sign() const { return bit(0); }

  [[nodiscard]] bool internal_sign() const { return bit(1); }

  [[nodiscard]] bool no_mac() const { return bit(4); }

  [[nodiscard]] bool encrypt_read() const { return bit(6); }

  [[nodiscard]] bool is_secret() const { return bit(7); }

  [[nodiscard]] unsigned write_key() const { return (word_ >> 8U) & 0xFU; }

  [[nodiscard]] unsigned write_config() const { return word_ >> 12U; }

  [[nodiscard]] bool source_is_write_key() const { return bit(12); }

  [[nodiscard]] bool makes_keys() const { return bit(13); }  // GenKey, DeriveKey

  [[nodiscard]] bool writes_encrypted() const { return bit(14); }  // Write, PrivWrite

  [[nodiscard]] bool wants_input_mac() const { return bit(15); }

  [[nodiscard]] std::uint16_t word() const { return word_; }

 private:
  [[nodiscard]] bool bit(unsigned number) const { return (word_ >> number & 1U) != 0; }

  std::uint16_t word_;
};

/// KeyConfig of a slot (section 2.3).
class KeyConfig {
 public:
  explicit KeyConfig(std::uint16_t word) : word_{word} {}

  [[nodiscard]] bool private_key() const { return bit(0); }

  [[nodiscard]] bool pub_info() const { return bit(1); }

  [[nodiscard]] bool p256() const { return (word_ >> 2U & 7U) == 4; }

  [[nodiscard]] bool lockable() const { return bit(5); }

  [[nodiscard]] bool req_random() const { return bit(6); }

  [[nodiscard]] bool req_auth() const { return bit(7); }

  [[nodiscard]] unsigned auth_key() const { return word_ >> 8U & 0xFU; }

  [[nodiscard]] bool persistent_disable() const { return bit(12); }

  [[nodiscard]] std::uint16_t word() const { return word_; }

 private:
  [[nodiscard]] bool bit(unsigned number) const { return (word_ >> number & 1U) != 0; }

  std::uint16_t word_;
};

class Memory {
 public:
  /// A chip as it leaves the silicon: everything but the configuration is FF.
  explicit Memory(const std::array<std::uint8_t, kConfigBytes>& config);

  std::array<std::uint8_t, kConfigBytes> config;
  std::array<std::uint8_t, kOtpBytes> otp{};
  std::array<Bytes, kSlots> slots;

  [[nodiscard]] bool config_locked() const;
  [[nodiscard]] bool data_locked() const;
  [[nodiscard]] bool slot_locked(unsigned slot) const;
  void lock_config();
  void lock_data();
  void lock_slot(unsigned slot);

  [[nodiscard]] SlotConfig slot_config(unsigned slot) const;
  [[nodiscard]] KeyConfig key_config(unsigned slot) const;
  [[nodiscard]] std::uint16_t secure_boot_word() const;
  [[nodiscard]] std::uint16_t chip_options() const;

  [[nodiscard]] std::uint8_t chip_mode() const { return config[19]; }

  /// SN[0..8].
  [[nodiscard]] Bytes serial() const;

  /// The first 32 octets of a slot.
  [[nodiscard]] ByteView key(unsigned slot) const;

  /// Section 4.13; `number` 0 or 1.
  [[nodiscard]] std::uint32_t counter(unsigned number) const;
  void set_counter(unsigned number, std::uint32_t value);

  friend bool operator==(const Memory&, const Memory&) = default;
};

/// 128 octets in hex; blanks and line ends between digits do not count. Error{Usage} otherwise.
[[nodiscard]] std::array<std::uint8_t, kConfigBytes> read_config_hex(
    const std::filesystem::path& file);

/// Nothing when the file is not there; Error{Storage} when it is no such file.
[[nodiscard]] std::optional<Memory> load_memory(const std::filesystem::path& file);

/// Durable when this returns.
void save_memory(const std::filesystem::path& file, const Memory& memory);

}  // namespace keyferry::vse::atecc608
