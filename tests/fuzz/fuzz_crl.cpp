// CRLs of outside CAs.
#include "wrap/x509/crl_reader.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static_cast<void>(keyferry::x509::parse_crl({data, size}));
  return 0;
}
