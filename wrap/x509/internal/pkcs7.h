// The one place of this folder that shows libcrypto's PKCS#7, whose reader takes BER too:
// BouncyCastle writes indefinite lengths.
#pragma once

#include <functional>
#include <optional>

#include "wrap/base/bytes.h"
#include "wrap/base/error.h"

namespace keyferry::x509 {

/// Calls `visit` with the DER of each certificate of a PKCS#7 SignedData, in its order. Refusals:
/// "pkcs7", and the visitor's. Signatures in it, if any, are not looked at.
[[nodiscard]] std::optional<Refusal> visit_pkcs7(
    ByteView octets, const std::function<std::optional<Refusal>(ByteView certificate)>& visit);

}  // namespace keyferry::x509
