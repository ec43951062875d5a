// Certificates as an SE or a file gives them: parsing, the path to a certificate that is its own
// anchor, and the lint, alone and as both ends of a chain.
#include <array>

#include "wrap/x509/lint.h"
#include "wrap/x509/linted_shape.h"
#include "wrap/x509/path.h"

namespace {

/// Which is refused where the certificate's form is not one that we make.
void compare_with_itself(const keyferry::x509::CertificateFacts& facts) {
  try {
    const keyferry::x509::LintedShape shape{facts.tbs};
    static_cast<void>(shape.compare(facts.tbs, facts.key));
  } catch (const keyferry::Error&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const keyferry::ByteView input{data, size};
  const auto parsed = keyferry::x509::parse_certificate(input);
  if (const auto* facts = std::get_if<keyferry::x509::CertificateFacts>(&parsed)) {
    const std::array chain{keyferry::to_bytes(input)};
    static_cast<void>(keyferry::x509::verify_chain(chain, chain, facts->not_before));
    compare_with_itself(*facts);
  }
  const std::array twice{keyferry::to_bytes(input), keyferry::to_bytes(input)};
  constexpr std::array kProfiles{keyferry::x509::LintProfile::Auto,
                                 keyferry::x509::LintProfile::MatterDac,
                                 keyferry::x509::LintProfile::MatterPai,
                                 keyferry::x509::LintProfile::MatterPaa};
  static_cast<void>(keyferry::x509::lint_chain(
      twice, kProfiles[size == 0 ? 0 : data[size - 1] % kProfiles.size()]));
  return 0;
}
