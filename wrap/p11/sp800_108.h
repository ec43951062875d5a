// The parameters of CKM_SP800_108_COUNTER_KDF: PKCS#11 3.0 (OASIS, 2020), mechanisms section 2.42.
// p11-kit's header stops at 2.40. Inside wrap/p11 and tests only.
#pragma once

#include <p11-kit/pkcs11.h>

namespace keyferry::p11::sp800_108 {

inline constexpr CK_MECHANISM_TYPE kCounterKdf = 0x3AC;  // CKM_SP800_108_COUNTER_KDF

// CK_PRF_DATA_TYPE
inline constexpr CK_ULONG kIterationVariable = 1;  // in counter mode: the counter, CounterFormat
inline constexpr CK_ULONG kLength = 3;             // LengthFormat
inline constexpr CK_ULONG kByteArray = 4;

inline constexpr CK_ULONG kSumOfKeys = 1;  // CK_SP800_108_DKM_LENGTH_METHOD

struct CounterFormat {  // CK_SP800_108_COUNTER_FORMAT
  CK_BBOOL little_endian;
  CK_ULONG width_in_bits;
};

struct LengthFormat {  // CK_SP800_108_DKM_LENGTH_FORMAT
  CK_ULONG method;
  CK_BBOOL little_endian;
  CK_ULONG width_in_bits;
};

struct DataParam {  // CK_PRF_DATA_PARAM
  CK_ULONG type;
  void* value;
  CK_ULONG value_len;
};

struct Params {  // CK_SP800_108_KDF_PARAMS
  CK_MECHANISM_TYPE prf;
  CK_ULONG data_count;
  DataParam* data;
  CK_ULONG additional_count;
  void* additional;  // CK_DERIVED_KEY: none of ours
};

}  // namespace keyferry::p11::sp800_108
