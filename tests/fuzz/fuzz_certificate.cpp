// Certificates as an SE or a file gives them: parsing, the path to a certificate that is its own anchor, and the lint,
// alone and as both ends of a chain.
#include <array>

#include "wrap/x509/issued.h"
#include "wrap/x509/lint.h"
#include "wrap/x509/path.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const keyferry::ByteView input{data, size};
  const auto parsed = keyferry::x509::parse_certificate(input);
  if (const auto* facts = std::get_if<keyferry::x509::CertificateFacts>(&parsed)) {
    const std::array chain{keyferry::to_bytes(input)};
    static_cast<void>(keyferry::x509::verify_chain(chain, chain, facts->not_before));
  }
  const std::array twice{keyferry::to_bytes(input), keyferry::to_bytes(input)};
  constexpr std::array kProfiles{keyferry::x509::LintProfile::Auto, keyferry::x509::LintProfile::MatterDac,
                                 keyferry::x509::LintProfile::MatterPai, keyferry::x509::LintProfile::MatterPaa};
  static_cast<void>(keyferry::x509::lint_chain(twice, kProfiles[size == 0 ? 0 : data[size - 1] % kProfiles.size()]));
  static_cast<void>(keyferry::x509::compare_with_linted(input, input));
  return 0;
}
