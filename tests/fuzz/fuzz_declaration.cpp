// Matter certification declarations.
#include "wrap/x509/declaration.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static_cast<void>(keyferry::x509::check_certification_declaration({data, size}, 0xfff1, 0x8000));
  return 0;
}
