// Certificates as an SE or a file gives them: parsing, then the path to a certificate that is its own anchor.
#include <array>

#include "wrap/x509/path.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const keyferry::ByteView input{data, size};
  const auto parsed = keyferry::x509::parse_certificate(input);
  if (const auto* facts = std::get_if<keyferry::x509::CertificateFacts>(&parsed)) {
    const std::array chain{keyferry::to_bytes(input)};
    static_cast<void>(keyferry::x509::verify_chain(chain, chain, facts->not_before));
  }
  return 0;
}
