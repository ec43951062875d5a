// The middle of the shim: the real module, what is known of its sessions, and the one way that
// every call takes.
#pragma once

#include <p11-kit/pkcs11.h>

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <utility>

#include "tests/shim/counters.h"
#include "tests/shim/script.h"

namespace keyferry::shim {

enum class Operation { Find, Encrypt, Decrypt, Digest, Sign, Verify };
inline constexpr std::size_t kOperationCount = 6;

/// What a call is about: an object, a template, or the operation that an earlier call began.
struct Subject {
  CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
  CK_OBJECT_HANDLE object = CK_INVALID_HANDLE;
  const CK_ATTRIBUTE* attributes = nullptr;
  CK_ULONG attribute_count = 0;
  const CK_MECHANISM* mechanism = nullptr;
  std::optional<Operation> goes_on;  // C_Sign: of C_SignInit
  std::optional<Operation> begins;   // C_SignInit
};

/// 2.40 section 5.11 and its like: these end the operation, whatever they answer.
constexpr bool ends_operation(Fn fn) {
  constexpr std::array kEnds{Fn::C_Sign,
                             Fn::C_SignFinal,
                             Fn::C_SignRecover,
                             Fn::C_Verify,
                             Fn::C_VerifyFinal,
                             Fn::C_VerifyRecover,
                             Fn::C_Encrypt,
                             Fn::C_EncryptFinal,
                             Fn::C_Decrypt,
                             Fn::C_DecryptFinal,
                             Fn::C_Digest,
                             Fn::C_DigestFinal,
                             Fn::C_FindObjectsFinal};
  return std::ranges::find(kEnds, fn) != kEnds.end();
}

class Core {
 public:
  /// Loads the real module at the first call.
  static Core& instance();

  [[nodiscard]] CK_FUNCTION_LIST_PTR real() const { return real_; }

  [[nodiscard]] const Script& script() const { return *script_; }

  CK_RV initialize(void* arguments);
  CK_RV finalize(void* reserved);

  /// Counts, waits, and lets the script decide; `forward` is the real call.
  template <typename Forward>
  CK_RV call(Fn fn, const Subject& subject, const Forward& forward) {
    Rule* const fault = before(fn, subject);
    if (const CK_RV dead = dead_.load(); dead != CKR_OK && fn != Fn::C_Finalize) return dead;
    if (fault == nullptr) {
      const CK_RV rv = forward();
      if (rv == CKR_OK && subject.begins) remember(subject);
      return rv;
    }
    if (fault->after || (ends_operation(fn) && !fault->stuck && !fault->kill))
      static_cast<void>(forward());
    return strike(*fault, subject);
  }

  // Sessions, and the session objects that were made in each.
  CK_RV open_session(CK_SLOT_ID slot, CK_FLAGS flags, CK_SESSION_HANDLE* session);
  CK_RV close_session(CK_SESSION_HANDLE session);
  CK_RV close_all_sessions(CK_SLOT_ID slot);

  /// Room for `count` more session objects? Templates of token objects need none.
  [[nodiscard]] bool has_room(const CK_ATTRIBUTE* attributes, CK_ULONG count, unsigned objects = 1);
  void made(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object);
  void destroyed(CK_OBJECT_HANDLE object);

 private:
  struct Session {
    CK_SLOT_ID slot = 0;
    int shared_place = -1;  // descriptor that holds its lock in max_sessions_file
    std::array<std::optional<Facts>, kOperationCount> operations;
    std::set<CK_OBJECT_HANDLE> objects;
  };

  Core();
  Rule* before(Fn fn, const Subject& subject);
  CK_RV strike(Rule& rule, const Subject& subject);
  void remember(const Subject& subject);
  [[nodiscard]] Facts facts_of(const Subject& subject);
  [[nodiscard]] bool is_armed();
  [[nodiscard]] bool take_place(Session& session);
  void forget(const Session& session);
  void wipe_sessions();

  CK_FUNCTION_LIST_PTR real_ = nullptr;
  std::unique_ptr<Script> script_;
  Counters counters_;
  std::atomic<bool> armed_{true};
  std::atomic<CK_RV> dead_{CKR_OK};
  std::mutex mutex_;  // of what follows; never held in a call of the real module
  std::map<CK_SESSION_HANDLE, Session> sessions_;
};

}  // namespace keyferry::shim
