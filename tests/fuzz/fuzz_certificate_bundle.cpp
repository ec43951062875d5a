// What CAs give back: PEM, DER and PKCS#7, at once and in two pieces, which must say the same.
#include <cstdlib>
#include <vector>

#include "wrap/x509/bundle.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace keyferry;
  const ByteView input{data, size};
  std::vector<Bytes> pieces;
  x509::BundleReader reader{[&](ByteView certificate) -> std::optional<Refusal> {
    pieces.push_back(to_bytes(certificate));
    return std::nullopt;
  }};
  bool refused = reader.feed(input.first(size / 3)).has_value();
  refused |= reader.feed(input.subspan(size / 3)).has_value();
  refused |= reader.finish().has_value();
  const auto whole = x509::read_certificates(input);
  const auto* certificates = std::get_if<std::vector<Bytes>>(&whole);
  if (refused != (certificates == nullptr)) std::abort();
  if (certificates != nullptr && *certificates != pieces) std::abort();
  return 0;
}
