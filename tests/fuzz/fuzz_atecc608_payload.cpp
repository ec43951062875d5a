// Payloads of family atecc608, as a station gets them: what parses has one form, and its layout was checked.
#include <cstdlib>

#include "wrap/se/atecc608_payload.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace keyferry;
  const auto parsed = se::parse_payload({data, size});
  if (const auto* payload = std::get_if<se::Atecc608Payload>(&parsed)) {
    if (!equal(se::serialise_payload(*payload), {data, size})) std::abort();
    if (se::check_profile(payload->profile)) std::abort();
  }
  return 0;
}
