#include "wrap/crypto/ossl.h"

#include <openssl/err.h>

#include <array>
#include <string>

#include "wrap/base/error.h"

namespace keyferry::crypto::ossl {

void fail(const char* call) {
  std::array<char, 256> reason{};
  ERR_error_string_n(ERR_get_error(), reason.data(), reason.size());
  ERR_clear_error();
  throw Error{Code::Internal, std::string{call} + ": " + reason.data()};
}

const std::uint8_t* not_null(ByteView octets) {
  static constexpr std::uint8_t kNothing = 0;
  return octets.empty() ? &kNothing : octets.data();
}

}  // namespace keyferry::crypto::ossl
