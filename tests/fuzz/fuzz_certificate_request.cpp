// PKCS#10 from outside.
#include "wrap/x509/request.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static_cast<void>(keyferry::x509::parse_request({data, size}));
  return 0;
}
