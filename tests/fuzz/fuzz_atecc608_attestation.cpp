// Attestations of ATECC608 chips, as they come home in receipts.
#include <cstdlib>

#include "wrap/evidence/atecc608.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace keyferry;
  const auto parsed = evidence::parse_attestation({data, size});
  if (const auto* attestation = std::get_if<evidence::Atecc608Attestation>(&parsed)) {
    if (!equal(evidence::serialise_attestation(*attestation), {data, size})) std::abort();
  }
  return 0;
}
