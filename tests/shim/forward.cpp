// Functions that only forward: counted, delayed and broken like all others.
#include "tests/shim/entries.h"

namespace keyferry::shim {

// Name, parameters, arguments; of what an earlier call began: the operation.
#define KEYFERRY_PLAIN(name, parameters, arguments)                                  \
  CK_RV do_##name parameters {                                                       \
    return core().call(Fn::name, Subject{}, [&] { return real()->name arguments; }); \
  }
#define KEYFERRY_SESSION(name, parameters, arguments)                                          \
  CK_RV do_##name parameters {                                                                 \
    return core().call(Fn::name, on_session(session), [&] { return real()->name arguments; }); \
  }
#define KEYFERRY_GOES_ON(name, operation, parameters, arguments)                \
  CK_RV do_##name parameters {                                                  \
    return core().call(Fn::name, going_on(Operation::operation, session), [&] { \
      return real()->name arguments;                                            \
    });                                                                         \
  }
#define KEYFERRY_BEGINS(name, operation)                                                     \
  CK_RV do_##name(Session session, CK_MECHANISM* mechanism, Object key) {                    \
    return core().call(                                                                      \
        Fn::name, beginning(Operation::operation, on_object(session, key, mechanism)), [&] { \
          return with_real(mechanism, [&](CK_MECHANISM* as_real) {                           \
            return real()->name(session, as_real, key);                                      \
          });                                                                                \
        });                                                                                  \
  }

KEYFERRY_PLAIN(C_GetInfo, (CK_INFO * info), (info))
KEYFERRY_PLAIN(C_GetSlotList,
               (unsigned char present, CK_SLOT_ID* slots, Size* count),
               (present, slots, count))
KEYFERRY_PLAIN(C_GetSlotInfo, (CK_SLOT_ID slot, CK_SLOT_INFO* info), (slot, info))
KEYFERRY_PLAIN(C_GetTokenInfo, (CK_SLOT_ID slot, CK_TOKEN_INFO* info), (slot, info))
KEYFERRY_PLAIN(C_WaitForSlotEvent,
               (CK_FLAGS flags, CK_SLOT_ID* slot, void* reserved),
               (flags, slot, reserved))
KEYFERRY_PLAIN(C_InitToken,
               (CK_SLOT_ID slot, Octets pin, Size size, Octets label),
               (slot, pin, size, label))

KEYFERRY_SESSION(C_InitPIN, (Session session, Octets pin, Size size), (session, pin, size))
KEYFERRY_SESSION(C_SetPIN,
                 (Session session, Octets old_pin, Size old_size, Octets pin, Size size),
                 (session, old_pin, old_size, pin, size))

CK_RV do_C_OpenSession(CK_SLOT_ID slot, CK_FLAGS flags, void*, CK_NOTIFY, Session* session) {
  return core().call(
      Fn::C_OpenSession, Subject{}, [&] { return core().open_session(slot, flags, session); });
}

KEYFERRY_SESSION(C_GetSessionInfo, (Session session, CK_SESSION_INFO* info), (session, info))
KEYFERRY_SESSION(C_GetOperationState,
                 (Session session, Octets state, Size* size),
                 (session, state, size))
KEYFERRY_SESSION(
    C_SetOperationState,
    (Session session, Octets state, Size size, Object encryption, Object authentication),
    (session, state, size, encryption, authentication))
KEYFERRY_SESSION(C_Login,
                 (Session session, CK_USER_TYPE user, Octets pin, Size size),
                 (session, user, pin, size))
KEYFERRY_SESSION(C_Logout, (Session session), (session))

KEYFERRY_GOES_ON(C_FindObjects,
                 Find,
                 (Session session, Object* objects, Size most, Size* count),
                 (session, objects, most, count))
KEYFERRY_GOES_ON(C_FindObjectsFinal, Find, (Session session), (session))

KEYFERRY_BEGINS(C_EncryptInit, Encrypt)
KEYFERRY_GOES_ON(C_Encrypt,
                 Encrypt,
                 (Session session, Octets in, Size size, Octets out, Size* out_size),
                 (session, in, size, out, out_size))
KEYFERRY_GOES_ON(C_EncryptUpdate,
                 Encrypt,
                 (Session session, Octets in, Size size, Octets out, Size* out_size),
                 (session, in, size, out, out_size))
KEYFERRY_GOES_ON(C_EncryptFinal,
                 Encrypt,
                 (Session session, Octets out, Size* out_size),
                 (session, out, out_size))
KEYFERRY_BEGINS(C_DecryptInit, Decrypt)
KEYFERRY_GOES_ON(C_Decrypt,
                 Decrypt,
                 (Session session, Octets in, Size size, Octets out, Size* out_size),
                 (session, in, size, out, out_size))
KEYFERRY_GOES_ON(C_DecryptUpdate,
                 Decrypt,
                 (Session session, Octets in, Size size, Octets out, Size* out_size),
                 (session, in, size, out, out_size))
KEYFERRY_GOES_ON(C_DecryptFinal,
                 Decrypt,
                 (Session session, Octets out, Size* out_size),
                 (session, out, out_size))

CK_RV do_C_DigestInit(Session session, CK_MECHANISM* mechanism) {
  return core().call(Fn::C_DigestInit,
                     beginning(Operation::Digest, on_object(session, CK_INVALID_HANDLE, mechanism)),
                     [&] { return real()->C_DigestInit(session, mechanism); });
}

KEYFERRY_GOES_ON(C_Digest,
                 Digest,
                 (Session session, Octets in, Size size, Octets out, Size* out_size),
                 (session, in, size, out, out_size))
KEYFERRY_GOES_ON(C_DigestUpdate,
                 Digest,
                 (Session session, Octets in, Size size),
                 (session, in, size))
KEYFERRY_GOES_ON(C_DigestKey, Digest, (Session session, Object key), (session, key))
KEYFERRY_GOES_ON(C_DigestFinal,
                 Digest,
                 (Session session, Octets out, Size* out_size),
                 (session, out, out_size))

KEYFERRY_BEGINS(C_SignInit, Sign)
KEYFERRY_GOES_ON(C_Sign,
                 Sign,
                 (Session session, Octets in, Size size, Octets out, Size* out_size),
                 (session, in, size, out, out_size))
KEYFERRY_GOES_ON(C_SignUpdate, Sign, (Session session, Octets in, Size size), (session, in, size))
KEYFERRY_GOES_ON(C_SignFinal,
                 Sign,
                 (Session session, Octets out, Size* out_size),
                 (session, out, out_size))
KEYFERRY_BEGINS(C_SignRecoverInit, Sign)
KEYFERRY_GOES_ON(C_SignRecover,
                 Sign,
                 (Session session, Octets in, Size size, Octets out, Size* out_size),
                 (session, in, size, out, out_size))
KEYFERRY_BEGINS(C_VerifyInit, Verify)
KEYFERRY_GOES_ON(C_Verify,
                 Verify,
                 (Session session, Octets in, Size size, Octets signature, Size signature_size),
                 (session, in, size, signature, signature_size))
KEYFERRY_GOES_ON(C_VerifyUpdate,
                 Verify,
                 (Session session, Octets in, Size size),
                 (session, in, size))
KEYFERRY_GOES_ON(C_VerifyFinal,
                 Verify,
                 (Session session, Octets signature, Size size),
                 (session, signature, size))
KEYFERRY_BEGINS(C_VerifyRecoverInit, Verify)
KEYFERRY_GOES_ON(C_VerifyRecover,
                 Verify,
                 (Session session, Octets signature, Size size, Octets out, Size* out_size),
                 (session, signature, size, out, out_size))
KEYFERRY_SESSION(C_DigestEncryptUpdate,
                 (Session session, Octets in, Size size, Octets out, Size* out_size),
                 (session, in, size, out, out_size))
KEYFERRY_SESSION(C_DecryptDigestUpdate,
                 (Session session, Octets in, Size size, Octets out, Size* out_size),
                 (session, in, size, out, out_size))
KEYFERRY_SESSION(C_SignEncryptUpdate,
                 (Session session, Octets in, Size size, Octets out, Size* out_size),
                 (session, in, size, out, out_size))
KEYFERRY_SESSION(C_DecryptVerifyUpdate,
                 (Session session, Octets in, Size size, Octets out, Size* out_size),
                 (session, in, size, out, out_size))

KEYFERRY_SESSION(C_SeedRandom, (Session session, Octets seed, Size size), (session, seed, size))
KEYFERRY_SESSION(C_GenerateRandom, (Session session, Octets out, Size size), (session, out, size))
KEYFERRY_SESSION(C_GetFunctionStatus, (Session session), (session))
KEYFERRY_SESSION(C_CancelFunction, (Session session), (session))

}  // namespace keyferry::shim
