// Manifests as a vendor sends them. Nobody here has the signer's key, so no entry may ever be taken.
#include <algorithm>
#include <cstdlib>

#include "appliance/front/microchip_manifest.h"
#include "wrap/crypto/soft_key.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace keyferry;
  static const appliance::ManifestTerms kTerms{.signer = crypto::SoftKey::generate().public_key(),
                                               .certificate_sha256 = {},
                                               .master = "m",
                                               .lot = "",
                                               .attestation_slot = 1};
  ByteView rest{data, size};
  static_cast<void>(appliance::read_manifest(
      [&rest](std::span<std::uint8_t> out) {
        const std::size_t piece = std::min<std::size_t>({out.size(), rest.size(), 13});
        std::copy_n(rest.begin(), piece, out.begin());
        rest = rest.subspan(piece);
        return piece;
      },
      kTerms,
      [](std::uint64_t, const std::variant<se::Entry, Refusal>& entry) {
        if (std::holds_alternative<se::Entry>(entry)) std::abort();
      }));
  return 0;
}
