// The entries of the function list, and what each says of its call. Those that only forward stand
// in forward.cpp, those that the script can lie about in shim.cpp.
#pragma once

#include <type_traits>

#include "tests/shim/lies.h"

namespace keyferry::shim {

#define KEYFERRY_SHIM_DECLARE(name) std::remove_pointer_t<CK_##name> do_##name;
KEYFERRY_SHIM_FUNCTIONS(KEYFERRY_SHIM_DECLARE)
#undef KEYFERRY_SHIM_DECLARE

using Session = CK_SESSION_HANDLE;
using Object = CK_OBJECT_HANDLE;
using Octets = unsigned char*;
using Size = unsigned long;

inline Core& core() {
  return Core::instance();
}

inline CK_FUNCTION_LIST_PTR real() {
  return core().real();
}

inline const Script& script() {
  return core().script();
}

inline Subject on_session(Session session) {
  Subject subject;
  subject.session = session;
  return subject;
}

inline Subject on_object(Session session, Object object, const CK_MECHANISM* mechanism = nullptr) {
  Subject subject = on_session(session);
  subject.object = object;
  subject.mechanism = mechanism;
  return subject;
}

inline Subject on_template(Session session,
                           const CK_ATTRIBUTE* attributes,
                           Size count,
                           const CK_MECHANISM* mechanism = nullptr) {
  Subject subject = on_session(session);
  static constexpr CK_ATTRIBUTE kNone{};
  subject.attributes = attributes == nullptr ? &kNone : attributes;
  subject.attribute_count = count;
  subject.mechanism = mechanism;
  return subject;
}

inline Subject beginning(Operation operation, Subject subject) {
  subject.begins = operation;
  return subject;
}

inline Subject going_on(Operation operation, Session session) {
  Subject subject = on_session(session);
  subject.goes_on = operation;
  return subject;
}

/// Runs `use` with the mechanism as the real module knows it.
template <typename Use>
CK_RV with_real(const CK_MECHANISM* asked, const Use& use) {
  if (asked == nullptr) return CKR_ARGUMENTS_BAD;
  const auto number = real_mechanism(script(), asked->mechanism);
  if (!number) return CKR_MECHANISM_INVALID;
  CK_MECHANISM mechanism = *asked;
  mechanism.mechanism = *number;
  return use(&mechanism);
}

}  // namespace keyferry::shim
