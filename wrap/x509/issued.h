// Certificates held against what was ordered (design 11). Before a batch one certificate from a
// throw-away key is held against its template, field by field, by the reader of certificate.h and
// not by the code that built it; every to-be-signed part of the batch must then equal the linted
// one (linted_shape.h). What an outside CA gives is held against template, entry and key. The rules that hold
// for any certificate are in lint.h.
#pragma once

#include <optional>

#include "wrap/base/bytes.h"
#include "wrap/base/error.h"
#include "wrap/crypto/signing.h"
#include "wrap/x509/certificate_builder.h"
#include "wrap/x509/template.h"

namespace keyferry::x509 {

/// Nothing if `certificate` (DER) is what the template and these fields ask for: serial of
/// serial.h, issuer, validity, subject, end entity, usages, policies, alternative names, further
/// extensions, both key identifiers, and no extension more; Matter: vendor, product, and at most
/// 600 octets. Refusals: those of parse_certificate, and "lint" naming the field. The signature is
/// not looked at (path.h).
[[nodiscard]] std::optional<Refusal> lint_device_certificate(ByteView certificate,
                                                             const DeviceTemplate& device_template,
                                                             const SubjectFields& fields);

/// What a CA may begin earlier than was planned: such CAs backdate against clocks that differ.
inline constexpr std::int64_t kMaxBackdatingMillis = std::int64_t{24} * 3600 * 1000;

/// Nothing if an outside CA's certificate is for this key and says what template and fields ask
/// for. The CA may choose serial, issuer, string types of the subject, a shorter validity, policies
/// of its own, and extensions that are not critical (CRL distribution points, authority
/// information). Refusals: those of parse_certificate (SHA-1, RSA, ...), "certificate-key",
/// "certificate-subject", "certificate-validity" (later end, or begins more than a day earlier),
/// "certificate-ca", "certificate-usage" (keyUsage or extendedKeyUsage), "certificate-alt-name",
/// "certificate-extension" (a wanted one missing or different), "certificate-size" (Matter).
/// Issuer, chain and signature are not looked at (path.h).
[[nodiscard]] std::optional<Refusal> check_outside_certificate(
    ByteView certificate,
    const DeviceTemplate& device_template,
    const SubjectFields& fields,
    const crypto::PublicKey& key);

/// The same for a CA of ours that an outside CA certifies (root or PAA elsewhere): key, subject,
/// validity, path length at most the spec's, keyUsage keyCertSign and cRLSign; Matter's kinds: path
/// length, vendor and product exactly the spec's. Refusals: as above.
[[nodiscard]] std::optional<Refusal> check_outside_ca(ByteView certificate,
                                                      const CaSpec& spec,
                                                      const crypto::PublicKey& key);

}  // namespace keyferry::x509
