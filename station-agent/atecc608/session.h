// One chip, command by command (shared facts se/atecc608.md, sections 1.4 and 4): waking, idling
// before the watchdog, polling, and saying again what was damaged on the way.
//
// What may be said again. A command that the chip refused as damaged (status FF) did nothing, and
// one whose answer is lost may have done all. So commands that can be repeated without harm are;
// where a command uses up TempKey the whole sequence begins again; and after a lost answer to what
// cannot be taken back (PrivWrite, Lock, GenKey) the chip is asked what became of it. A chip that
// stays silent or garbled is station::ChipLost.
#pragma once

#include <array>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <variant>

#include "station-agent/atecc608/packet.h"
#include "station-agent/atecc608/wire.h"

namespace keyferry::atecc608 {

inline constexpr std::size_t kConfigBytes = 128;
inline constexpr std::size_t kBlockBytes = 32;
inline constexpr std::size_t kWordBytes = 4;
inline constexpr std::size_t kSerialBytes = 9;
inline constexpr std::size_t kPointBytes = 64;  // X | Y
inline constexpr std::size_t kSignatureBytes = 64;

/// Section 2: slots 0..7 36, slot 8 416, slots 9..15 72 octets.
[[nodiscard]] std::size_t slot_bytes(std::uint8_t slot);

enum class Zone : std::uint8_t { Config = 0, Otp = 1, Data = 2 };

/// p2 of Read and Write (section 2): slot in the low octet, block in the high one.
[[nodiscard]] std::uint16_t data_address(std::uint8_t slot, std::size_t block);
[[nodiscard]] std::uint16_t config_address(std::size_t octet);

/// The chip's answer, or the status by which it refused.
template <typename T>
using Answer = std::variant<T, Status>;

/// Nobody knows whether the chip did it: ask before saying it again.
struct Unanswered {
  std::string text;
};

/// Times of the table in section 1.5, in milliseconds; from ChipMode, octet 19 of the
/// configuration.
enum class Divider { M0, M1, M2 };
[[nodiscard]] Divider divider_of(std::uint8_t chip_mode);

/// The most that the chip takes for it.
[[nodiscard]] Millis execution_time(Opcode opcode, Divider divider);

struct SessionSettings {
  Millis give_up = kGiveUp;
  /// The watchdog is about 1.3 s (section 1.4); parts differ, so half of it.
  Millis awake_budget{650};
  /// Awake for longer than this, it may have fallen asleep and lost TempKey.
  Millis watchdog{1000};
  int tries = 8;       // of one command
  int sequences = 12;  // of commands that belong together
};

struct SessionCounts {
  std::uint64_t commands = 0;
  std::uint64_t repeated = 0;
};

struct PrivWriteSteps {
  std::uint8_t transport_slot = 0;
  std::uint8_t target_slot = 0;
  Bytes nonce;   // 32
  Bytes cipher;  // 36
  Bytes mac;     // 32
};

class Session {
 public:
  explicit Session(std::unique_ptr<Wire> wire, SessionSettings settings = {});
  /// Sends the chip to sleep.
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // --- commands that may be said again

  /// RevNum, 4 octets.
  [[nodiscard]] Answer<Bytes> revision();
  /// Is a valid private key in the slot?
  [[nodiscard]] Answer<bool> key_valid(std::uint8_t slot);
  /// All 128 octets.
  [[nodiscard]] Answer<Bytes> read_config();
  /// 4 octets from `octet` on (a multiple of 4).
  [[nodiscard]] Answer<Bytes> read_config_word(std::size_t octet);
  /// The first `size` octets of a slot that may be read in clear.
  [[nodiscard]] Answer<Bytes> read_slot(std::uint8_t slot, std::size_t size);
  [[nodiscard]] Answer<Bytes> random();
  /// other: 13 octets. Success or Miscompare, or a refusal.
  [[nodiscard]] Status check_mac(std::uint8_t slot,
                                 ByteView challenge,
                                 ByteView response,
                                 ByteView other);
  /// X | Y of the private key in the slot.
  [[nodiscard]] Answer<Bytes> public_key(std::uint8_t slot);
  /// 4 or 32 octets in clear, at an address of the functions above.
  [[nodiscard]] Status write(Zone zone, std::uint16_t address, ByteView value);
  /// From the slot's first octet on, filled up with zeros to whole blocks.
  [[nodiscard]] Status write_slot(std::uint8_t slot, ByteView content);
  /// SecureBoot Full: digest and signature against the key that the configuration names.
  [[nodiscard]] Status secure_boot(ByteView digest, ByteView signature);

  // --- sequences: begun again as a whole when an answer was damaged

  /// External signature over a 32-octet digest: Nonce into the digest buffer, Sign.
  [[nodiscard]] Answer<Bytes> sign_digest(std::uint8_t slot, ByteView digest);
  /// Internal signature over a GenKey digest of `target` with the full serial: section 4.10.
  [[nodiscard]] Answer<Bytes> sign_internal(std::uint8_t signer,
                                            std::uint8_t target,
                                            ByteView challenge);
  /// ECDSA over `digest` with the public key in a data slot: Success or Miscompare, or a refusal.
  [[nodiscard]] Status verify_stored(std::uint8_t slot, ByteView digest, ByteView signature);
  /// Nonce, GenDig, PrivWrite. Unanswered when the answer to PrivWrite itself is lost.
  [[nodiscard]] std::variant<Status, Unanswered> priv_write(const PrivWriteSteps& steps);

  // --- what cannot be taken back

  /// Locks a slot and reads octets 88-89 back. Success: it is locked, whoever did it.
  [[nodiscard]] Status lock_slot(std::uint8_t slot);
  [[nodiscard]] Answer<bool> slot_locked(std::uint8_t slot);
  /// Locks the configuration zone if its 128 octets have this CRC; Success when it is locked.
  [[nodiscard]] Status lock_config(std::uint16_t summary);
  /// Locks data and OTP zones, without summary; Success when they are locked.
  [[nodiscard]] Status lock_data();
  /// A new private key: X | Y. Not said again.
  [[nodiscard]] std::variant<Bytes, Status, Unanswered> make_key(std::uint8_t slot);

  // --- power

  /// Keeps TempKey. Before the host does something else for long.
  void idle();
  void sleep();

  /// Timing of what follows; M0 until it was told.
  void set_divider(Divider divider) { divider_ = divider; }

  [[nodiscard]] const SessionCounts& counts() const { return counts_; }

 private:
  using Once = std::variant<Bytes, Status, Unanswered>;
  using SteadyClock = std::chrono::steady_clock;

  /// One command, said again only where the chip says that it did nothing. data_bytes: of the
  /// answer; 0: a status. An answer of another size is none.
  [[nodiscard]] Once once(const Command& command, std::size_t data_bytes);
  [[nodiscard]] Once attempt(const Command& command, std::size_t data_bytes);
  /// Until it is answered. ChipLost after `tries`.
  [[nodiscard]] Answer<Bytes> repeat(const Command& command, std::size_t data_bytes);
  [[nodiscard]] Status repeat_status(const Command& command);
  /// Runs `steps` until they are answered, and again when they were refused after we were held up:
  /// a refused command did nothing.
  [[nodiscard]] Once sequence(const std::string& name, const std::function<Once()>& steps);
  /// Lock, then asks by `locked` until it is known.
  [[nodiscard]] Status lock(const Command& command, const std::function<Answer<bool>()>& locked);
  [[nodiscard]] Answer<bool> zone_locked(std::size_t octet_in_word);
  [[nodiscard]] Response response_to(const Command& command);

  /// Awake, and long enough for a command of this kind.
  void stay_awake(Opcode opcode);
  /// After silence: until an answer belongs to its command again.
  void catch_up();

  std::unique_ptr<Wire> wire_;
  SessionSettings settings_;
  SessionCounts counts_;
  Divider divider_ = Divider::M0;
  bool awake_ = false;
  SteadyClock::time_point awake_since_{};
  bool silent_ = false;     // the last response did not come: it may come late
  bool out_of_step_ = false;  // one came that was to something else
  bool overslept_ = false;  // we were held up so long that the watchdog may have been quicker
};

}  // namespace keyferry::atecc608
