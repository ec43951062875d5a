// The function list of the shim, and the functions that the script can lie about with a template or
// a mechanism of its own.
#include <algorithm>
#include <array>
#include <vector>

#include "tests/shim/entries.h"
#include "wrap/p11/sp800_108.h"

namespace keyferry::shim {

namespace {

/// Notes a session object that `make` made in `out`.
template <typename Make>
CK_RV keep(Session session, CK_ATTRIBUTE* attributes, Size count, Object* out, const Make& make) {
  if (!core().has_room(attributes, count)) return CKR_DEVICE_MEMORY;
  const CK_RV rv = make();
  if (rv == CKR_OK && out != nullptr) core().made(session, *out);
  return rv;
}

/// The real list without what the script hides, and with what it adds.
std::vector<CK_MECHANISM_TYPE> told_mechanisms(CK_SLOT_ID slot) {
  Size count = 0;
  real()->C_GetMechanismList(slot, nullptr, &count);
  std::vector<CK_MECHANISM_TYPE> list(count);
  if (real()->C_GetMechanismList(slot, list.data(), &count) != CKR_OK) return {};
  list.resize(count);
  std::erase_if(list, [](CK_MECHANISM_TYPE one) { return !real_mechanism(script(), one); });
  if (script().kwp_number) list.push_back(*script().kwp_number);
  if (script().sp800_108) list.push_back(p11::sp800_108::kCounterKdf);
  return list;
}

}  // namespace

CK_RV do_C_Initialize(void* arguments) {
  if (real() == nullptr) return CKR_GENERAL_ERROR;
  return core().initialize(arguments);
}

CK_RV do_C_Finalize(void* reserved) {
  return core().finalize(reserved);
}

CK_RV do_C_GetMechanismList(CK_SLOT_ID slot, CK_MECHANISM_TYPE* list, Size* count) {
  return core().call(Fn::C_GetMechanismList, Subject{}, [&]() -> CK_RV {
    const std::vector<CK_MECHANISM_TYPE> told = told_mechanisms(slot);
    const bool fits = list == nullptr || *count >= told.size();
    *count = told.size();
    if (!fits) return CKR_BUFFER_TOO_SMALL;
    if (list != nullptr) std::ranges::copy(told, list);
    return CKR_OK;
  });
}

CK_RV do_C_GetMechanismInfo(CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO* info) {
  return core().call(Fn::C_GetMechanismInfo, Subject{}, [&]() -> CK_RV {
    if (script().sp800_108 && type == p11::sp800_108::kCounterKdf) {
      *info = {16, 32, CKF_DERIVE};
      return CKR_OK;
    }
    const auto number = real_mechanism(script(), type);
    return number ? real()->C_GetMechanismInfo(slot, *number, info) : CKR_MECHANISM_INVALID;
  });
}

CK_RV do_C_CloseSession(Session session) {
  return core().call(
      Fn::C_CloseSession, on_session(session), [&] { return core().close_session(session); });
}

CK_RV do_C_CloseAllSessions(CK_SLOT_ID slot) {
  return core().call(
      Fn::C_CloseAllSessions, Subject{}, [&] { return core().close_all_sessions(slot); });
}

CK_RV do_C_CreateObject(Session session, CK_ATTRIBUTE* attributes, Size count, Object* object) {
  return core().call(Fn::C_CreateObject, on_template(session, attributes, count), [&] {
    return keep(session, attributes, count, object, [&]() -> CK_RV {
      RealTemplate as_real{script(), attributes, count, RealTemplate::For::Create};
      if (as_real.is_refused()) return CKR_ATTRIBUTE_VALUE_INVALID;
      return real()->C_CreateObject(session, as_real.data(), as_real.count(), object);
    });
  });
}

CK_RV do_C_CopyObject(
    Session session, Object from, CK_ATTRIBUTE* attributes, Size count, Object* object) {
  return core().call(Fn::C_CopyObject, on_object(session, from), [&] {
    return keep(session, attributes, count, object, [&] {
      return real()->C_CopyObject(session, from, attributes, count, object);
    });
  });
}

CK_RV do_C_DestroyObject(Session session, Object object) {
  return core().call(Fn::C_DestroyObject, on_object(session, object), [&] {
    const CK_RV rv = real()->C_DestroyObject(session, object);
    if (rv == CKR_OK) core().destroyed(object);
    return rv;
  });
}

CK_RV do_C_GetObjectSize(Session session, Object object, Size* size) {
  return core().call(Fn::C_GetObjectSize, on_object(session, object), [&] {
    return real()->C_GetObjectSize(session, object, size);
  });
}

CK_RV do_C_GetAttributeValue(Session session, Object object, CK_ATTRIBUTE* attributes, Size count) {
  return core().call(Fn::C_GetAttributeValue, on_object(session, object), [&] {
    return read_attributes(core(), session, object, attributes, count);
  });
}

CK_RV do_C_SetAttributeValue(Session session, Object object, CK_ATTRIBUTE* attributes, Size count) {
  return core().call(Fn::C_SetAttributeValue, on_object(session, object), [&] {
    return real()->C_SetAttributeValue(session, object, attributes, count);
  });
}

CK_RV do_C_FindObjectsInit(Session session, CK_ATTRIBUTE* attributes, Size count) {
  return core().call(Fn::C_FindObjectsInit,
                     beginning(Operation::Find, on_template(session, attributes, count)),
                     [&] { return real()->C_FindObjectsInit(session, attributes, count); });
}

CK_RV do_C_GenerateKey(
    Session session, CK_MECHANISM* mechanism, CK_ATTRIBUTE* attributes, Size count, Object* key) {
  return core().call(Fn::C_GenerateKey, on_template(session, attributes, count, mechanism), [&] {
    return keep(session, attributes, count, key, [&] {
      return with_real(mechanism, [&](CK_MECHANISM* as_real) {
        RealTemplate real_template{script(), attributes, count, RealTemplate::For::Create};
        return real()->C_GenerateKey(
            session, as_real, real_template.data(), real_template.count(), key);
      });
    });
  });
}

CK_RV do_C_GenerateKeyPair(Session session,
                           CK_MECHANISM* mechanism,
                           CK_ATTRIBUTE* public_attributes,
                           Size public_count,
                           CK_ATTRIBUTE* private_attributes,
                           Size private_count,
                           Object* public_key,
                           Object* private_key) {
  const Subject subject = on_template(session, private_attributes, private_count, mechanism);
  return core().call(Fn::C_GenerateKeyPair, subject, [&]() -> CK_RV {
    if (!core().has_room(private_attributes, private_count, 2)) return CKR_DEVICE_MEMORY;
    RealTemplate of_public{script(), public_attributes, public_count, RealTemplate::For::Create};
    RealTemplate of_private{script(), private_attributes, private_count, RealTemplate::For::Create};
    const CK_RV rv = with_real(mechanism, [&](CK_MECHANISM* as_real) {
      return real()->C_GenerateKeyPair(session,
                                       as_real,
                                       of_public.data(),
                                       of_public.count(),
                                       of_private.data(),
                                       of_private.count(),
                                       public_key,
                                       private_key);
    });
    if (rv != CKR_OK) return rv;
    core().made(session, *public_key);
    core().made(session, *private_key);
    return rv;
  });
}

CK_RV do_C_WrapKey(Session session,
                   CK_MECHANISM* mechanism,
                   Object wrapping_key,
                   Object key,
                   Octets out,
                   Size* out_size) {
  return core().call(Fn::C_WrapKey, on_object(session, key, mechanism), [&]() -> CK_RV {
    if (script().wrap_trusted_only) {
      CK_BBOOL trusted = CK_FALSE;
      CK_ATTRIBUTE wanted{CKA_TRUSTED, &trusted, sizeof trusted};
      const CK_RV rv = real()->C_GetAttributeValue(session, wrapping_key, &wanted, 1);
      if (rv != CKR_OK || trusted == CK_FALSE) return CKR_KEY_NOT_WRAPPABLE;
    }
    return with_real(mechanism, [&](CK_MECHANISM* as_real) {
      return real()->C_WrapKey(session, as_real, wrapping_key, key, out, out_size);
    });
  });
}

CK_RV do_C_UnwrapKey(Session session,
                     CK_MECHANISM* mechanism,
                     Object unwrapping_key,
                     Octets blob,
                     Size size,
                     CK_ATTRIBUTE* attributes,
                     Size count,
                     Object* key) {
  return core().call(Fn::C_UnwrapKey, on_object(session, unwrapping_key, mechanism), [&] {
    return keep(session, attributes, count, key, [&] {
      return with_real(mechanism, [&](CK_MECHANISM* as_real) {
        RealTemplate real_template{script(), attributes, count, RealTemplate::For::Create};
        return real()->C_UnwrapKey(session,
                                   as_real,
                                   unwrapping_key,
                                   blob,
                                   size,
                                   real_template.data(),
                                   real_template.count(),
                                   key);
      });
    });
  });
}

CK_RV do_C_DeriveKey(Session session,
                     CK_MECHANISM* mechanism,
                     Object base,
                     CK_ATTRIBUTE* attributes,
                     Size count,
                     Object* key) {
  return core().call(Fn::C_DeriveKey, on_object(session, base, mechanism), [&] {
    return keep(session, attributes, count, key, [&] {
      RealTemplate real_template{script(), attributes, count, RealTemplate::For::Derive};
      if (script().sp800_108 && mechanism->mechanism == p11::sp800_108::kCounterKdf) {
        return derive_sp800_108(core(), session, *mechanism, base, real_template, key);
      }
      return with_real(mechanism, [&](CK_MECHANISM* as_real) {
        return real()->C_DeriveKey(
            session, as_real, base, real_template.data(), real_template.count(), key);
      });
    });
  });
}

namespace {

CK_FUNCTION_LIST* own_list() {
  static CK_FUNCTION_LIST list = [] {
    CK_FUNCTION_LIST functions{};
    functions.version = {2, 40};
#define KEYFERRY_SHIM_ENTRY(name) functions.name = do_##name;
    KEYFERRY_SHIM_FUNCTIONS(KEYFERRY_SHIM_ENTRY)
#undef KEYFERRY_SHIM_ENTRY
    return functions;
  }();
  return &list;
}

}  // namespace

CK_RV do_C_GetFunctionList(CK_FUNCTION_LIST_PTR* list) {
  if (list == nullptr) return CKR_ARGUMENTS_BAD;
  *list = own_list();
  return CKR_OK;
}

}  // namespace keyferry::shim

// The one symbol that the library shows.
extern "C" __attribute__((visibility("default"))) CK_RV C_GetFunctionList(
    CK_FUNCTION_LIST_PTR_PTR list) {
  return keyferry::shim::do_C_GetFunctionList(list);
}
