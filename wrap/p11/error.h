// What a Cryptoki call that failed is turned into.
#pragma once

#include <string>
#include <string_view>

#include "wrap/base/error.h"

namespace keyferry::p11 {

/// "CKR_KEY_UNEXTRACTABLE", or "CKR 0x80000123" for a number that the standard does not name.
[[nodiscard]] std::string rv_name(unsigned long rv);

/// What may be tried after a call that failed, from the least to the most. Each is safe only where
/// nothing durable depends on the call: a record whose keys are session objects, a read.
enum class Recovery {
  None,         // the same call would fail again, or must not be repeated (PINs)
  RetryRecord,  // the session lives: destroy the record's keys, make the record anew
  NewSession,   // the session, its login or its objects are gone: open, log in, find keys again
  NewModule,    // C_Finalize and C_Initialize, better a new process; then as NewSession
};

[[nodiscard]] Recovery recovery_for(unsigned long rv);

/// Error{Hsm} whose text is `C_WrapKey: CKR_KEY_UNEXTRACTABLE (key "dev-root", slot 3)`, with a
/// hint where one is known.
class Pkcs11Error : public Error {
 public:
  /// `object`: what the call was about, in words; never key octets or PINs.
  Pkcs11Error(std::string_view function, unsigned long rv, const std::string& object);

  [[nodiscard]] unsigned long rv() const { return rv_; }

  [[nodiscard]] const std::string& function() const { return function_; }

  /// recovery_for(rv()).
  [[nodiscard]] Recovery recovery() const;

  /// The module or its device is gone, or the session is: nothing more can be done with it.
  [[nodiscard]] bool is_device_lost() const;

  /// The call was cut off by something that is not about its inputs: a lost device or session, no
  /// room. A refusal that is an answer is none of these, but SoftHSM's CKR_GENERAL_ERROR may be
  /// either: ask twice.
  [[nodiscard]] bool is_no_answer() const;

  /// The module gives no further session (CKR_SESSION_COUNT): those that are open are good.
  [[nodiscard]] bool is_session_limit() const;

  /// The module does not have this mechanism, or not for this key.
  [[nodiscard]] bool is_mechanism_refused() const;

  /// An attribute, key use or state of the object forbids the call: the answer of a module that
  /// enforces its policy.
  [[nodiscard]] bool is_policy_refusal() const;

 private:
  unsigned long rv_;
  std::string function_;
};

}  // namespace keyferry::p11
