#include "wrap/p11/error.h"

#include <fmt/format.h>
#include <p11-kit/pkcs11.h>

#include <algorithm>
#include <array>

namespace keyferry::p11 {

namespace {

struct RvName {
  unsigned long rv;
  std::string_view name;
};

#define KEYFERRY_RV(name) \
  RvName {                \
    name, #name           \
  }
constexpr std::array kRvNames{
    KEYFERRY_RV(CKR_OK),
    KEYFERRY_RV(CKR_CANCEL),
    KEYFERRY_RV(CKR_HOST_MEMORY),
    KEYFERRY_RV(CKR_SLOT_ID_INVALID),
    KEYFERRY_RV(CKR_GENERAL_ERROR),
    KEYFERRY_RV(CKR_FUNCTION_FAILED),
    KEYFERRY_RV(CKR_ARGUMENTS_BAD),
    KEYFERRY_RV(CKR_NO_EVENT),
    KEYFERRY_RV(CKR_NEED_TO_CREATE_THREADS),
    KEYFERRY_RV(CKR_CANT_LOCK),
    KEYFERRY_RV(CKR_ATTRIBUTE_READ_ONLY),
    KEYFERRY_RV(CKR_ATTRIBUTE_SENSITIVE),
    KEYFERRY_RV(CKR_ATTRIBUTE_TYPE_INVALID),
    KEYFERRY_RV(CKR_ATTRIBUTE_VALUE_INVALID),
    KEYFERRY_RV(CKR_ACTION_PROHIBITED),
    KEYFERRY_RV(CKR_DATA_INVALID),
    KEYFERRY_RV(CKR_DATA_LEN_RANGE),
    KEYFERRY_RV(CKR_DEVICE_ERROR),
    KEYFERRY_RV(CKR_DEVICE_MEMORY),
    KEYFERRY_RV(CKR_DEVICE_REMOVED),
    KEYFERRY_RV(CKR_ENCRYPTED_DATA_INVALID),
    KEYFERRY_RV(CKR_ENCRYPTED_DATA_LEN_RANGE),
    KEYFERRY_RV(CKR_FUNCTION_CANCELED),
    KEYFERRY_RV(CKR_FUNCTION_NOT_PARALLEL),
    KEYFERRY_RV(CKR_FUNCTION_NOT_SUPPORTED),
    KEYFERRY_RV(CKR_KEY_HANDLE_INVALID),
    KEYFERRY_RV(CKR_KEY_SIZE_RANGE),
    KEYFERRY_RV(CKR_KEY_TYPE_INCONSISTENT),
    KEYFERRY_RV(CKR_KEY_NOT_NEEDED),
    KEYFERRY_RV(CKR_KEY_CHANGED),
    KEYFERRY_RV(CKR_KEY_NEEDED),
    KEYFERRY_RV(CKR_KEY_INDIGESTIBLE),
    KEYFERRY_RV(CKR_KEY_FUNCTION_NOT_PERMITTED),
    KEYFERRY_RV(CKR_KEY_NOT_WRAPPABLE),
    KEYFERRY_RV(CKR_KEY_UNEXTRACTABLE),
    KEYFERRY_RV(CKR_MECHANISM_INVALID),
    KEYFERRY_RV(CKR_MECHANISM_PARAM_INVALID),
    KEYFERRY_RV(CKR_OBJECT_HANDLE_INVALID),
    KEYFERRY_RV(CKR_OPERATION_ACTIVE),
    KEYFERRY_RV(CKR_OPERATION_NOT_INITIALIZED),
    KEYFERRY_RV(CKR_PIN_INCORRECT),
    KEYFERRY_RV(CKR_PIN_INVALID),
    KEYFERRY_RV(CKR_PIN_LEN_RANGE),
    KEYFERRY_RV(CKR_PIN_EXPIRED),
    KEYFERRY_RV(CKR_PIN_LOCKED),
    KEYFERRY_RV(CKR_SESSION_CLOSED),
    KEYFERRY_RV(CKR_SESSION_COUNT),
    KEYFERRY_RV(CKR_SESSION_HANDLE_INVALID),
    KEYFERRY_RV(CKR_SESSION_PARALLEL_NOT_SUPPORTED),
    KEYFERRY_RV(CKR_SESSION_READ_ONLY),
    KEYFERRY_RV(CKR_SESSION_EXISTS),
    KEYFERRY_RV(CKR_SESSION_READ_ONLY_EXISTS),
    KEYFERRY_RV(CKR_SESSION_READ_WRITE_SO_EXISTS),
    KEYFERRY_RV(CKR_SIGNATURE_INVALID),
    KEYFERRY_RV(CKR_SIGNATURE_LEN_RANGE),
    KEYFERRY_RV(CKR_TEMPLATE_INCOMPLETE),
    KEYFERRY_RV(CKR_TEMPLATE_INCONSISTENT),
    KEYFERRY_RV(CKR_TOKEN_NOT_PRESENT),
    KEYFERRY_RV(CKR_TOKEN_NOT_RECOGNIZED),
    KEYFERRY_RV(CKR_TOKEN_WRITE_PROTECTED),
    KEYFERRY_RV(CKR_UNWRAPPING_KEY_HANDLE_INVALID),
    KEYFERRY_RV(CKR_UNWRAPPING_KEY_SIZE_RANGE),
    KEYFERRY_RV(CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT),
    KEYFERRY_RV(CKR_USER_ALREADY_LOGGED_IN),
    KEYFERRY_RV(CKR_USER_NOT_LOGGED_IN),
    KEYFERRY_RV(CKR_USER_PIN_NOT_INITIALIZED),
    KEYFERRY_RV(CKR_USER_TYPE_INVALID),
    KEYFERRY_RV(CKR_USER_ANOTHER_ALREADY_LOGGED_IN),
    KEYFERRY_RV(CKR_USER_TOO_MANY_TYPES),
    KEYFERRY_RV(CKR_WRAPPED_KEY_INVALID),
    KEYFERRY_RV(CKR_WRAPPED_KEY_LEN_RANGE),
    KEYFERRY_RV(CKR_WRAPPING_KEY_HANDLE_INVALID),
    KEYFERRY_RV(CKR_WRAPPING_KEY_SIZE_RANGE),
    KEYFERRY_RV(CKR_WRAPPING_KEY_TYPE_INCONSISTENT),
    KEYFERRY_RV(CKR_RANDOM_SEED_NOT_SUPPORTED),
    KEYFERRY_RV(CKR_RANDOM_NO_RNG),
    KEYFERRY_RV(CKR_DOMAIN_PARAMS_INVALID),
    KEYFERRY_RV(CKR_CURVE_NOT_SUPPORTED),
    KEYFERRY_RV(CKR_BUFFER_TOO_SMALL),
    KEYFERRY_RV(CKR_SAVED_STATE_INVALID),
    KEYFERRY_RV(CKR_INFORMATION_SENSITIVE),
    KEYFERRY_RV(CKR_STATE_UNSAVEABLE),
    KEYFERRY_RV(CKR_CRYPTOKI_NOT_INITIALIZED),
    KEYFERRY_RV(CKR_CRYPTOKI_ALREADY_INITIALIZED),
    KEYFERRY_RV(CKR_MUTEX_BAD),
    KEYFERRY_RV(CKR_MUTEX_NOT_LOCKED),
    KEYFERRY_RV(CKR_NEW_PIN_MODE),
    KEYFERRY_RV(CKR_NEXT_OTP),
    KEYFERRY_RV(CKR_EXCEEDED_MAX_ITERATIONS),
    KEYFERRY_RV(CKR_FIPS_SELF_TEST_FAILED),
    KEYFERRY_RV(CKR_LIBRARY_LOAD_FAILED),
    KEYFERRY_RV(CKR_PIN_TOO_WEAK),
    KEYFERRY_RV(CKR_PUBLIC_KEY_INVALID),
    KEYFERRY_RV(CKR_FUNCTION_REJECTED),
};
#undef KEYFERRY_RV

struct RvHint {
  unsigned long rv;
  std::string_view hint;
};

constexpr std::array kHints{
    RvHint{CKR_KEY_UNEXTRACTABLE, "the key was made without CKA_EXTRACTABLE"},
    RvHint{CKR_KEY_NOT_WRAPPABLE,
           "the key may be wrapped by a trusted key only, or the module cannot wrap its type"},
    RvHint{CKR_KEY_FUNCTION_NOT_PERMITTED, "the key's attributes do not allow this use"},
    RvHint{CKR_MECHANISM_INVALID,
           "the module lacks this mechanism, or CKA_ALLOWED_MECHANISMS shuts it out"},
    RvHint{CKR_USER_NOT_LOGGED_IN, "log in first; a login that was there has ended"},
    RvHint{CKR_PIN_INCORRECT, "the PIN is wrong: some tokens lock after a few tries"},
    RvHint{CKR_PIN_LOCKED, "the PIN is locked: the security officer can set a new one"},
    RvHint{CKR_PIN_LEN_RANGE, "the token does not take a PIN of this length"},
    RvHint{CKR_SESSION_READ_ONLY, "open the session with Access::ReadWrite"},
    RvHint{CKR_ATTRIBUTE_SENSITIVE, "the module does not hand this value out, and should not"},
    RvHint{CKR_ATTRIBUTE_READ_ONLY, "this attribute cannot be changed"},
    RvHint{CKR_ACTION_PROHIBITED,
           "CKA_MODIFIABLE, CKA_COPYABLE or CKA_DESTROYABLE of the object forbids it"},
    RvHint{CKR_TEMPLATE_INCONSISTENT,
           "the template asks for what the mechanism or the other key forbids"},
    RvHint{CKR_CRYPTOKI_ALREADY_INITIALIZED, "one Module for a library at a time in a process"},
    RvHint{CKR_DEVICE_MEMORY,
           "the HSM has no room for another object: fewer workers, or remove objects nobody needs"},
    RvHint{CKR_HOST_MEMORY, "this computer has no memory left: close programs, or fewer workers"},
    RvHint{CKR_FUNCTION_FAILED, "the module does not say why: its own log may"},
    RvHint{CKR_GENERAL_ERROR, "the module does not say why: its own log may"},
    RvHint{CKR_DEVICE_ERROR, "the HSM reports a fault of its own: look at its own log and status"},
    RvHint{CKR_DEVICE_REMOVED,
           "the HSM was unplugged or its connection broke: reconnect it and start again"},
    RvHint{CKR_TOKEN_NOT_PRESENT, "no HSM in this slot: connect it and start again"},
    RvHint{CKR_SLOT_ID_INVALID, "the module has renumbered its slots: start again"},
    RvHint{CKR_CRYPTOKI_NOT_INITIALIZED, "the module was shut down under us: start again"},
    RvHint{CKR_SESSION_COUNT,
           "the HSM takes no more sessions: fewer workers, or close other programs that use it"},
    RvHint{CKR_SESSION_HANDLE_INVALID,
           "the HSM closed the session (restart, time limit, lost connection): start again"},
    RvHint{CKR_SESSION_CLOSED,
           "the HSM closed the session (restart, time limit, lost connection): start again"},
    RvHint{CKR_KEY_HANDLE_INVALID, "the key is gone: was it removed, or the HSM restarted?"},
    RvHint{CKR_OBJECT_HANDLE_INVALID, "the object is gone: was it removed, or the HSM restarted?"},
    RvHint{CKR_WRAPPING_KEY_HANDLE_INVALID,
           "the wrapping key is gone: was it removed, or the HSM restarted?"},
    RvHint{CKR_UNWRAPPING_KEY_HANDLE_INVALID,
           "the vendor's key is gone: was it removed, or the HSM restarted?"},
    RvHint{CKR_OPERATION_ACTIVE, "an earlier operation was cut off: start again"},
    RvHint{CKR_TOKEN_WRITE_PROTECTED, "the token does not take new objects"},
    RvHint{CKR_TOKEN_NOT_RECOGNIZED, "the token has not been initialised"},
};

struct RvRecovery {
  unsigned long rv;
  Recovery recovery;
};

// What is not here is None: the same call would fail again. PINs are never tried again by
// themselves (some tokens lock).
constexpr std::array kRecoveries{
    // Room may come back when the record's own keys are destroyed.
    RvRecovery{CKR_DEVICE_MEMORY, Recovery::RetryRecord},
    // "Not totally hopeless" (2.40 section 5.1.1): nothing was done, nothing else is known.
    RvRecovery{CKR_FUNCTION_FAILED, Recovery::RetryRecord},
    RvRecovery{CKR_FUNCTION_CANCELED, Recovery::RetryRecord},

    RvRecovery{CKR_SESSION_HANDLE_INVALID, Recovery::NewSession},
    RvRecovery{CKR_SESSION_CLOSED, Recovery::NewSession},
    // The login ended (an operator, a time limit, another program's C_Logout).
    RvRecovery{CKR_USER_NOT_LOGGED_IN, Recovery::NewSession},
    // Handles of a session that is gone, or renumbered by the module after a restart.
    RvRecovery{CKR_OBJECT_HANDLE_INVALID, Recovery::NewSession},
    RvRecovery{CKR_KEY_HANDLE_INVALID, Recovery::NewSession},
    RvRecovery{CKR_WRAPPING_KEY_HANDLE_INVALID, Recovery::NewSession},
    RvRecovery{CKR_UNWRAPPING_KEY_HANDLE_INVALID, Recovery::NewSession},
    // An operation of an earlier call that was cut is still on, or was lost: a session cannot be
    // asked to forget it in 2.40.
    RvRecovery{CKR_OPERATION_ACTIVE, Recovery::NewSession},
    RvRecovery{CKR_OPERATION_NOT_INITIALIZED, Recovery::NewSession},

    RvRecovery{CKR_DEVICE_REMOVED, Recovery::NewModule},
    RvRecovery{CKR_TOKEN_NOT_PRESENT, Recovery::NewModule},
    RvRecovery{CKR_TOKEN_NOT_RECOGNIZED, Recovery::NewModule},
    RvRecovery{CKR_SLOT_ID_INVALID, Recovery::NewModule},
    RvRecovery{CKR_DEVICE_ERROR, Recovery::NewModule},
    RvRecovery{CKR_CRYPTOKI_NOT_INITIALIZED, Recovery::NewModule},
    // "Horrible, unrecoverable": of the module as it runs, so a new process may do.
    RvRecovery{CKR_GENERAL_ERROR, Recovery::NewModule},
    // Of the computer: a module that leaks gives its memory back when its process ends.
    RvRecovery{CKR_HOST_MEMORY, Recovery::NewModule},
};

std::string hint_for(unsigned long rv) {
  const auto* const found = std::ranges::find(kHints, rv, &RvHint::rv);
  return found == kHints.end() ? std::string{} : std::string{found->hint};
}

template <std::size_t N>
bool is_one_of(unsigned long rv, const std::array<unsigned long, N>& these) {
  return std::ranges::find(these, rv) != these.end();
}

}  // namespace

std::string rv_name(unsigned long rv) {
  const auto* const found = std::ranges::find(kRvNames, rv, &RvName::rv);
  return found == kRvNames.end() ? fmt::format("CKR {:#010x}", rv) : std::string{found->name};
}

Pkcs11Error::Pkcs11Error(std::string_view function, unsigned long rv, const std::string& object)
    : Error{Code::Hsm, fmt::format("{}: {} ({})", function, rv_name(rv), object), hint_for(rv)},
      rv_{rv},
      function_{function} {}

Recovery recovery_for(unsigned long rv) {
  const auto* const found = std::ranges::find(kRecoveries, rv, &RvRecovery::rv);
  return found == kRecoveries.end() ? Recovery::None : found->recovery;
}

Recovery Pkcs11Error::recovery() const {
  return recovery_for(rv_);
}

bool Pkcs11Error::is_device_lost() const {
  return is_one_of(rv_,
                   std::array<unsigned long, 10>{CKR_DEVICE_ERROR,
                                                 CKR_DEVICE_REMOVED,
                                                 CKR_TOKEN_NOT_PRESENT,
                                                 CKR_TOKEN_NOT_RECOGNIZED,
                                                 CKR_SESSION_CLOSED,
                                                 CKR_SESSION_HANDLE_INVALID,
                                                 CKR_SLOT_ID_INVALID,
                                                 CKR_USER_NOT_LOGGED_IN,
                                                 CKR_CRYPTOKI_NOT_INITIALIZED,
                                                 CKR_HOST_MEMORY});
}

bool Pkcs11Error::is_no_answer() const {
  return is_device_lost() || is_one_of(rv_,
                                       std::array<unsigned long, 4>{CKR_DEVICE_MEMORY,
                                                                    CKR_FUNCTION_CANCELED,
                                                                    CKR_OPERATION_ACTIVE,
                                                                    CKR_OPERATION_NOT_INITIALIZED});
}

bool Pkcs11Error::is_session_limit() const {
  return rv_ == CKR_SESSION_COUNT;
}

bool Pkcs11Error::is_mechanism_refused() const {
  return is_one_of(rv_,
                   std::array<unsigned long, 4>{CKR_MECHANISM_INVALID,
                                                CKR_MECHANISM_PARAM_INVALID,
                                                CKR_FUNCTION_NOT_SUPPORTED,
                                                CKR_KEY_TYPE_INCONSISTENT});
}

bool Pkcs11Error::is_policy_refusal() const {
  return is_one_of(rv_,
                   std::array<unsigned long, 12>{CKR_ATTRIBUTE_READ_ONLY,
                                                 CKR_ATTRIBUTE_SENSITIVE,
                                                 CKR_ACTION_PROHIBITED,
                                                 CKR_KEY_FUNCTION_NOT_PERMITTED,
                                                 CKR_KEY_NOT_WRAPPABLE,
                                                 CKR_KEY_UNEXTRACTABLE,
                                                 CKR_MECHANISM_INVALID,
                                                 CKR_TEMPLATE_INCONSISTENT,
                                                 CKR_OBJECT_HANDLE_INVALID,
                                                 CKR_INFORMATION_SENSITIVE,
                                                 CKR_FUNCTION_REJECTED,
                                                 CKR_KEY_HANDLE_INVALID});
}

}  // namespace keyferry::p11
