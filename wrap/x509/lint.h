// The lint of finished certificates (design 11): before a batch one certificate from a throw-away
// key is held against its template, field by field, by the reader of certificate.h and not by the
// code that built it; every certificate of the batch must then equal the linted one but for serial,
// subject and key.
#pragma once

#include <optional>

#include "wrap/base/bytes.h"
#include "wrap/base/error.h"
#include "wrap/x509/template.h"

namespace keyferry::x509 {

/// Nothing if `certificate` (DER) is what the template and these fields ask for: serial of 16
/// octets, issuer, validity, subject, end entity, digitalSignature alone, both key identifiers, no
/// further extension. Refusals: those of parse_certificate, and "lint" naming the field. The
/// signature is not looked at (path.h).
[[nodiscard]] std::optional<Refusal> lint_device_certificate(ByteView certificate,
                                                             const DeviceTemplate& device_template,
                                                             const SubjectFields& fields);

/// Nothing if both TBSCertificates are equal but for serial, subject, public key and
/// subjectKeyIdentifier, which must be there in the same form. Refusals "lint" and, for what is no
/// TBSCertificate, "certificate-malformed".
[[nodiscard]] std::optional<Refusal> compare_with_linted(ByteView tbs, ByteView linted_tbs);

}  // namespace keyferry::x509
