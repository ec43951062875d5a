// Handles and failures of libcrypto, for the .cpp files of this folder only: no other header of
// ours shows OpenSSL.
#pragma once

#include <cstdint>
#include <memory>

#include "wrap/base/bytes.h"

namespace keyferry::crypto::ossl {

/// For std::unique_ptr<HANDLE, FreeWith<HANDLE_free>>.
template <auto kFree>
struct FreeWith {
  template <typename T>
  void operator()(T* handle) const {
    kFree(handle);
  }
};

/// Error{Internal}: `call` of libcrypto failed where nothing that came from outside can make it
/// fail.
[[noreturn]] void fail(const char* call);

inline void require(bool done, const char* call) {
  if (!done) fail(call);
}

/// data() of an empty span may be null, which libcrypto takes for "not given".
[[nodiscard]] const std::uint8_t* not_null(ByteView octets);

}  // namespace keyferry::crypto::ossl
