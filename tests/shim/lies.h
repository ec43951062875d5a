// What the module pretends: other mechanism numbers, raw points, attributes that it does not keep.
//
// A list in CKA_ALLOWED_MECHANISMS is kept twice in the real module: as it was asked for, each
// number with the mark kAsked, and as it has to be for the real module to do the work. Reading
// gives what was asked for. So the pretence holds in all processes and outlives them.
#pragma once

#include <p11-kit/pkcs11.h>

#include <deque>
#include <vector>

#include "tests/shim/core.h"

namespace keyferry::shim {

inline constexpr CK_MECHANISM_TYPE kAsked = 1UL << 62;

/// The mechanism that the real module is to be asked for; nothing when the script hides this one.
[[nodiscard]] std::optional<CK_MECHANISM_TYPE> real_mechanism(const Script& script,
                                                              CK_MECHANISM_TYPE asked);

/// A template as the real module gets it; lives as long as the call.
class RealTemplate {
 public:
  enum class For { Create, Derive, Other };

  RealTemplate(const Script& script, const CK_ATTRIBUTE* attributes, CK_ULONG count, For use);

  [[nodiscard]] CK_ATTRIBUTE* data() { return attributes_.data(); }

  [[nodiscard]] CK_ULONG count() const { return attributes_.size(); }

  /// A point in the form that this module does not know.
  [[nodiscard]] bool is_refused() const { return refused_; }

  void set(CK_ATTRIBUTE_TYPE type, const void* value, CK_ULONG size_bytes);
  void remove(CK_ATTRIBUTE_TYPE type);
  [[nodiscard]] std::optional<CK_ULONG> number(CK_ATTRIBUTE_TYPE type) const;
  [[nodiscard]] bool is_true(CK_ATTRIBUTE_TYPE type) const;

 private:
  void allow(const Script& script);

  std::vector<CK_ATTRIBUTE> attributes_;
  std::deque<std::vector<unsigned char>> values_;  // stay where they are
  bool refused_ = false;
};

/// C_GetAttributeValue of the real module, told as it was asked for.
[[nodiscard]] CK_RV read_attributes(Core& core,
                                    CK_SESSION_HANDLE session,
                                    CK_OBJECT_HANDLE object,
                                    CK_ATTRIBUTE* attributes,
                                    CK_ULONG count);

/// CKM_SP800_108_COUNTER_KDF out of C_Sign with CKM_AES_CMAC: an operation that is on in this
/// session gets CKR_OPERATION_ACTIVE.
[[nodiscard]] CK_RV derive_sp800_108(Core& core,
                                     CK_SESSION_HANDLE session,
                                     const CK_MECHANISM& mechanism,
                                     CK_OBJECT_HANDLE base,
                                     RealTemplate& attributes,
                                     CK_OBJECT_HANDLE* key);

}  // namespace keyferry::shim
