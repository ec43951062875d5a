// A PKCS#11 module: the shared library, its initialisation, its slots and tokens.
#pragma once

#include <atomic>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "wrap/base/secret_bytes.h"
#include "wrap/p11/types.h"
#include "wrap/p11/uri.h"

namespace keyferry::p11 {

/// What C_GetInfo says; texts without trailing blanks.
struct ModuleInfo {
  std::string manufacturer;
  std::string description;
  std::string library_version;   // "2.6"
  std::string cryptoki_version;  // "2.40"
};

/// One token (an HSM, or an SE that speaks PKCS#11) and the slot it is in. Texts without trailing
/// blanks and NULs, any octet that is no printable ASCII kept as it came: pass them through
/// keyferry::printable before they are shown.
struct TokenInfo {
  SlotId slot;
  std::string label;
  std::string manufacturer;
  std::string model;
  std::string serial;
  std::string slot_description;
  std::string slot_manufacturer;
  unsigned long min_pin_length = 0;  // ulMinPinLen, octets
  unsigned long max_pin_length = 0;  // ulMaxPinLen; 0 or CK_UNAVAILABLE_INFORMATION: not told
  bool initialised = false;         // CKF_TOKEN_INITIALIZED
  bool user_pin_set = false;        // CKF_USER_PIN_INITIALIZED
  bool login_required = false;      // CKF_LOGIN_REQUIRED
  bool write_protected = false;     // CKF_WRITE_PROTECTED
  bool has_rng = false;             // CKF_RNG
  bool user_pin_locked = false;     // CKF_USER_PIN_LOCKED
  bool user_pin_low = false;        // CKF_USER_PIN_COUNT_LOW or _FINAL_TRY
  bool user_pin_final_try = false;  // CKF_USER_PIN_FINAL_TRY
  bool protected_pin_path = false;  // CKF_PROTECTED_AUTHENTICATION_PATH
};

enum class CallsFrom { AnyThread, OneThread };

/// dlopen (RTLD_NOW, RTLD_LOCAL), C_GetFunctionList, C_Initialize with CKF_OS_LOCKING_OK;
/// C_Finalize in the destructor. The library stays mapped until the process ends: modules start
/// threads and exit handlers of their own. One Module for a library at a time; a second one gets
/// Error{Hsm} CKR_CRYPTOKI_ALREADY_INITIALIZED. Sessions must be gone before their Module. After a
/// fork the child must not use it.
class Module {
 public:
  /// Error{Hsm}: no such file, no PKCS#11 library, or C_Initialize failed. CallsFrom::OneThread is a promise for all
  /// sessions: the module need not lock then (C_Initialize without arguments, 2.40 section 5.4); SoftHSM makes keys a
  /// tenth faster.
  explicit Module(std::filesystem::path library, CallsFrom calls = CallsFrom::AnyThread);
  ~Module();
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;

  [[nodiscard]] const std::filesystem::path& library() const { return library_; }

  [[nodiscard]] ModuleInfo info() const;

  /// Slots that hold a token, initialised or not, in the module's order; without those that the module cannot read.
  [[nodiscard]] std::vector<TokenInfo> tokens() const;

  [[nodiscard]] TokenInfo token_info(SlotId slot) const;

  /// The one initialised token with a user PIN that `uri` describes. When none is there and no session is open, the
  /// module is initialised anew a few times within about 0.3 s: SoftHSM misses a token when two
  /// processes start in one instant. Slot numbers told before that are void then (SoftHSM numbers
  /// its slots anew). Error{NotFound} when there is none, Error{Usage} when several match.
  [[nodiscard]] TokenInfo find_token(const Uri& uri);

  /// A slot whose token has not been initialised, for init_token.
  [[nodiscard]] std::optional<SlotId> uninitialised_slot() const;

  /// C_InitToken. label: 1 to 32 octets. so_pin: length as the module demands. A token that is
  /// initialised already is Error{Refused}: this never wipes anything. Then: session, login as
  /// security officer, Session::init_pin.
  TokenInfo init_token(SlotId slot, const SecretBytes& so_pin, std::string_view label);

  [[nodiscard]] bool has_mechanism(SlotId slot, Mechanism mechanism) const;

  struct Cryptoki;  // cryptoki.h, inside this folder only

  [[nodiscard]] const Cryptoki& cryptoki() const { return *cryptoki_; }

 private:
  friend class Session;

  void initialise();
  void finalise() noexcept;

  std::filesystem::path library_;
  CallsFrom calls_;
  std::unique_ptr<Cryptoki> cryptoki_;
  bool initialised_ = false;
  std::atomic<int> open_sessions_ = 0;
};

/// Does `token` have what `uri` asks for? (library attributes are compared with `info`)
[[nodiscard]] bool matches(const Uri& uri, const TokenInfo& token, const ModuleInfo& info);

}  // namespace keyferry::p11
