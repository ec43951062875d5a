// Inside wrap/p11 only: the C header, the function list, and the one check that every call goes
// through.
#pragma once

#include <p11-kit/pkcs11.h>

#include <array>
#include <string>
#include <string_view>

#include "wrap/p11/error.h"
#include "wrap/p11/module.h"
#include "wrap/p11/session.h"
#include "wrap/p11/template.h"

namespace keyferry::p11 {

struct Module::Cryptoki {
  CK_FUNCTION_LIST_PTR functions = nullptr;
};

/// `object` is called only when the call failed: it may ask the module for a label.
template <typename Describe>
void check(CK_RV rv, std::string_view function, const Describe& object) {
  if (rv != CKR_OK) [[unlikely]]
    throw Pkcs11Error{function, rv, object()};
}

/// In members of Session this one is found first.
template <typename Describe>
void Session::check(unsigned long rv, std::string_view function, const Describe& object) {
  if (rv == CKR_OK) [[likely]]
    return;
  note(rv);
  p11::check(rv, function, object);
}

inline CK_ATTRIBUTE_TYPE to_ck(Attribute attribute) {
  return static_cast<CK_ATTRIBUTE_TYPE>(attribute);
}

/// Cryptoki takes inputs through pointers that are not const, and does not write through them.
inline CK_BYTE_PTR input(ByteView octets) {
  return const_cast<CK_BYTE_PTR>(octets.data());
}

inline CK_ULONG size_of(ByteView octets) {
  return static_cast<CK_ULONG>(octets.size());
}

/// The C array of a Template, on the stack; the Template must outlive it.
class CkTemplate {
 public:
  explicit CkTemplate(const Template& attributes);
  CkTemplate(const CkTemplate&) = delete;
  CkTemplate& operator=(const CkTemplate&) = delete;

  [[nodiscard]] CK_ATTRIBUTE_PTR data() { return attributes_.data(); }

  [[nodiscard]] CK_ULONG count() const { return count_; }

 private:
  std::size_t place(const Template& attributes, std::size_t from);
  std::size_t place_one(const Template& attributes,
                        const Template::Entry& entry,
                        CK_ATTRIBUTE& out,
                        std::size_t free);

  std::array<CK_ATTRIBUTE, Template::kMaxAttributes> attributes_;
  CK_ULONG count_ = 0;
};

}  // namespace keyferry::p11
