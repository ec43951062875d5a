// One virtual ATECC608, written from the facts page (se/atecc608.md, sections 2 to 4) and from
// nothing else: it knows neither the payload builder nor the driver. No transport, no time, no file
// here: packets in, packets out.
//
// Where the page leaves something open, this chip takes the stricter reading: a refused command
// that would have consumed TempKey consumes it too; CheckMac always consumes it; slot locks need a
// locked configuration zone. Not here, since the page does not say enough: CheckMac-copy, UseLock,
// LimitedUse, Verify(validate, invalidate), GenKey into TempKey, ECDH, KDF, AES. A Lock of one slot
// ignores the summary: the vendor's library sends it without bit 7 and with p2 0.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "tests/vse/atecc608/memory.h"
#include "tests/vse/atecc608/packet.h"
#include "tests/vse/atecc608/sha.h"
#include "wrap/base/random.h"
#include "wrap/crypto/soft_key.h"

namespace keyferry::vse::atecc608 {

enum class Source : std::uint8_t { Rand = 0, Input = 1 };

/// Section 3.
struct TempKey {
  std::array<std::uint8_t, 64> value{};
  bool valid = false;
  Source source = Source::Rand;
  bool gen_dig_data = false;
  bool gen_key_data = false;
  bool no_mac = false;
  std::uint8_t key_id = 0;

  [[nodiscard]] ByteView key() const { return ByteView{value}.first(kBlockBytes); }

  /// Bits 3..0 key id, 4 source, 5 GenDigData, 6 GenKeyData, 7 NoMacFlag.
  [[nodiscard]] std::uint8_t flags() const;
};

struct ChipRules {
  bool strict_rand = false;  // PrivWrite and encrypted Write refuse a fixed nonce (section 5.1)
  bool counterfeit = false;  // says success to everything, and its signatures are noise
};

class Chip {
 public:
  Chip(Memory memory, RandomSource& random, ChipRules rules = {});

  /// The reply packet for a command packet as it came from the wire.
  [[nodiscard]] Bytes answer(ByteView packet);

  /// Sleep or watchdog: volatile state is gone.
  void sleep();

  /// The same, and what only a power cycle clears.
  void power_off();

  [[nodiscard]] const Memory& memory() const { return memory_; }

  /// For who reaches into the silicon past its commands.
  [[nodiscard]] Memory& cells() { return memory_; }

  [[nodiscard]] const TempKey& temp_key() const { return volatile_.temp_key; }

 private:
  struct Volatile {
    TempKey temp_key;
    std::array<std::uint8_t, 64> digest_buffer{};
    std::size_t digest_size_bytes = 0;
    std::optional<std::array<std::uint8_t, kBlockBytes>> alternate_key;
    std::optional<ShaContext> sha;
    std::optional<unsigned> authorised;  // slot last proved by CheckMac
  };

  struct Power {
    bool latch = false;
    bool volatile_key_permission = false;
    bool secure_boot_prohibited = false;
  };

  [[nodiscard]] Reply execute(const Command& command);

  // chip_zones.cpp
  [[nodiscard]] Reply info(const Command& command);
  [[nodiscard]] Reply read(const Command& command);
  [[nodiscard]] Reply read_data(const Command& command, unsigned slot, std::size_t at);
  [[nodiscard]] Reply write(const Command& command);
  [[nodiscard]] Reply write_config(const Command& command);
  [[nodiscard]] Reply write_otp(const Command& command);
  [[nodiscard]] Reply write_data(const Command& command);
  [[nodiscard]] std::optional<Bytes> decrypt_write(const Command& command, unsigned slot);
  [[nodiscard]] Reply lock(const Command& command);
  [[nodiscard]] Reply lock_one_slot(unsigned slot);
  [[nodiscard]] Reply counter(const Command& command);
  [[nodiscard]] Reply update_extra(const Command& command);

  // chip_session.cpp
  [[nodiscard]] Reply random(const Command& command);
  [[nodiscard]] Reply nonce(const Command& command);
  [[nodiscard]] Reply nonce_random(const Command& command);
  [[nodiscard]] Reply nonce_fixed(const Command& command);
  [[nodiscard]] Reply gen_dig(const Command& command);
  [[nodiscard]] Reply gen_dig_data(const Command& command);
  [[nodiscard]] Reply gen_dig_shared(const Command& command);
  [[nodiscard]] Reply sha(const Command& command);
  [[nodiscard]] Reply sha_end(const Command& command);
  [[nodiscard]] Reply sha_hmac_start(const Command& command);
  [[nodiscard]] Reply mac(const Command& command);
  [[nodiscard]] Reply check_mac(const Command& command);
  [[nodiscard]] Reply derive_key(const Command& command);
  void digest_into_temp_key(ByteView first, ByteView header, ByteView tail, ByteView last);

  // chip_ecc.cpp
  [[nodiscard]] Reply gen_key(const Command& command);
  [[nodiscard]] Reply gen_key_stored(const Command& command);
  void genkey_digest(ByteView header, ByteView point, unsigned slot);
  [[nodiscard]] Reply priv_write(const Command& command);
  [[nodiscard]] std::optional<Bytes> decrypt_priv_write(const Command& command,
                                                        unsigned slot) const;
  [[nodiscard]] Reply sign(const Command& command);
  [[nodiscard]] std::optional<Digest> external_digest(std::uint8_t p1) const;
  [[nodiscard]] Digest internal_digest(const Command& command) const;
  [[nodiscard]] Reply verify(const Command& command);
  [[nodiscard]] Reply secure_boot(const Command& command);
  [[nodiscard]] Reply self_test(const Command& command);

  // shared by them, chip.cpp
  [[nodiscard]] Bytes short_serial() const;  // SN[8] SN[0] SN[1]
  [[nodiscard]] Bytes whole_serial_tail(bool whole) const;
  [[nodiscard]] bool usable(unsigned slot) const;         // ReqAuth, PersistentDisable
  [[nodiscard]] bool random_enough(unsigned slot) const;  // ReqRandom
  [[nodiscard]] std::optional<crypto::SoftKey> private_key(unsigned slot) const;
  [[nodiscard]] std::optional<Bytes> stored_public_key(unsigned slot) const;  // X | Y
  [[nodiscard]] std::optional<Bytes> io_key() const;

  void consume_temp_key() { volatile_.temp_key = {}; }

  Memory memory_;
  RandomSource& random_;
  ChipRules rules_;
  Volatile volatile_;
  Power power_;
};

/// `count` zero octets, at most 64.
[[nodiscard]] ByteView zeros(std::size_t count);

/// The slot in p2; nothing when there is no such slot.
[[nodiscard]] std::optional<unsigned> slot_in(const Command& command);

/// OPCODE p1 LE2(p2).
[[nodiscard]] Bytes header_of(const Command& command);

}  // namespace keyferry::vse::atecc608
