// PEM (RFC 7468): "-----BEGIN LABEL-----", base64 in lines of 64, "-----END LABEL-----".
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "wrap/base/bytes.h"
#include "wrap/base/error.h"

namespace keyferry::x509 {

inline constexpr std::string_view kPemCertificate = "CERTIFICATE";
inline constexpr std::string_view kPemPublicKey = "PUBLIC KEY";
inline constexpr std::size_t kMaxPemBytes = 1024U * 1024;
inline constexpr std::size_t kMaxPemBlocks = 64;

/// `label`: capital letters, digits and single spaces.
[[nodiscard]] std::string to_pem(std::string_view label, ByteView der);

/// The blocks of `text` in their order, all of `label`. Text between blocks is skipped (RFC
/// 7468 5.2). Line ends may be LF or CR LF. Refusal "pem" when there is no block, a block has
/// another label, no end or no strict base64, or a limit above is passed.
[[nodiscard]] std::variant<std::vector<Bytes>, Refusal> from_pem(std::string_view text,
                                                                 std::string_view label);

}  // namespace keyferry::x509
