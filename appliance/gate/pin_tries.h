// Wrong PINs in a row, counted over starts, so that no token is locked by trying again: a small file beside gate.toml
// (gate.toml -> gate.pin-tries). A try is on disk before the login and taken off again when the login is done; a try that
// a power cut interrupted counts as a wrong one, because the token may have counted it.
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>

#include "wrap/base/durable_file.h"
#include "wrap/base/error.h"
#include "wrap/p11/module.h"

namespace keyferry::appliance {

inline constexpr unsigned kMaxWrongPins = 2;

/// May a login use up the token's last try? Only once after a person said so (forget_wrong_pins).
enum class FinalTry { Refuse, Allow };

/// Why no login is tried. Reasons: pin-tries, pin-tries-unreadable.
[[nodiscard]] std::optional<Refusal> pin_tries_refusal(const std::filesystem::path& settings_file);

/// One login, as long as it lasts. Logins with one settings file wait for each other.
class PinTry {
 public:
  /// Counted durably when this returns. Error{Refused} as pin_tries_refusal(), Error{Storage} when it cannot be counted:
  /// then nothing may be tried.
  explicit PinTry(const std::filesystem::path& settings_file);

  [[nodiscard]] FinalTry final_try() const { return before_.final_try_allowed ? FinalTry::Allow : FinalTry::Refuse; }

  void succeeded();  ///< none in a row any more
  void not_tried();  ///< the module was never asked: as before

  /// "1 of 2", this try included.
  [[nodiscard]] std::string count_text() const;

  struct Record {
    unsigned wrong = 0;
    bool final_try_allowed = false;
    bool readable = true;
  };

 private:
  std::filesystem::path file_;
  Fd lock_;  // on the settings file itself
  Record before_;
};

/// The deliberate act of a person who is sure of the PIN: the count starts again, and the next login alone may use up
/// the token's final try. Returns how many were forgotten.
unsigned forget_wrong_pins(const std::filesystem::path& settings_file);

/// While it is held no login with these settings begins, and none is under way; invalid when one still is after `patience`
/// or when the file is gone. For whoever is about to end a process that may be logging in.
[[nodiscard]] Fd keep_logins_out(const std::filesystem::path& settings_file, std::chrono::milliseconds patience) noexcept;

/// What the token says about its PIN, before a login: locked, or the last try before it locks (CKF_USER_PIN_LOCKED,
/// CKF_USER_PIN_FINAL_TRY). Reasons: hsm-pin-locked, hsm-pin-final-try.
[[nodiscard]] std::optional<Refusal> check_pin_flags(const p11::TokenInfo& token, FinalTry final_try);

}  // namespace keyferry::appliance
