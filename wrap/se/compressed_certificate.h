// The chip vendor's 72-octet form of a device certificate: what changes from device to device; the
// rest is in a template that the host knows (Atmel-8974, "Compressed Certificate Definition"; table
// "Certificate Storage" of the public 608 manuals). FORMAT.md, "Compressed certificates", says
// which certificates it can hold and what we put into its fields.
#pragma once

#include <array>
#include <variant>

#include "wrap/base/bytes.h"
#include "wrap/base/error.h"

namespace keyferry::se {

inline constexpr std::size_t kCompressedCertificateBytes = 72;
using CompressedCertificate = std::array<std::uint8_t, kCompressedCertificateBytes>;

/// Refusals: those of x509::parse_certificate, and "atecc608-certificate-form" for a validity that
/// the form cannot say: from a whole hour of 2000 to 2031, for 1 to 31 years to the second, or to
/// 9999-12-31T23:59:59Z.
[[nodiscard]] std::variant<CompressedCertificate, Refusal> compress_certificate(ByteView der);

/// The certificate that `compressed` stands for, when `known` is the one it was made from: dates
/// and identifiers must be known's, the signature is compressed's own. Refusals: those above, and
/// "atecc608-certificate-other".
[[nodiscard]] std::variant<Bytes, Refusal> expand_certificate(
    const CompressedCertificate& compressed, ByteView known);

}  // namespace keyferry::se
