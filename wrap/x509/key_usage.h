// Bits of the keyUsage extension (RFC 5280 4.2.1.3), bit 0 = digitalSignature.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace keyferry::x509 {

inline constexpr std::uint16_t kDigitalSignature = 1U << 0;
inline constexpr std::uint16_t kContentCommitment = 1U << 1;
inline constexpr std::uint16_t kKeyEncipherment = 1U << 2;
inline constexpr std::uint16_t kDataEncipherment = 1U << 3;
inline constexpr std::uint16_t kKeyAgreement = 1U << 4;
inline constexpr std::uint16_t kKeyCertSign = 1U << 5;
inline constexpr std::uint16_t kCrlSign = 1U << 6;
inline constexpr std::uint16_t kEncipherOnly = 1U << 7;
inline constexpr std::uint16_t kDecipherOnly = 1U << 8;

/// Names in the order of the bits.
inline constexpr std::array<std::string_view, 9> kKeyUsageNames{"digitalSignature",
                                                                "contentCommitment",
                                                                "keyEncipherment",
                                                                "dataEncipherment",
                                                                "keyAgreement",
                                                                "keyCertSign",
                                                                "cRLSign",
                                                                "encipherOnly",
                                                                "decipherOnly"};

}  // namespace keyferry::x509
