// Extensions as we write them (RFC 5280 4.2): DER of one Extension each.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "wrap/base/bytes.h"
#include "wrap/x509/template.h"

namespace keyferry::x509 {

// DER OIDs of the extensions that have a meaning here.
inline constexpr std::uint8_t kOidSubjectKeyIdentifier[] = {0x06, 0x03, 0x55, 0x1d, 0x0e};
inline constexpr std::uint8_t kOidKeyUsage[] = {0x06, 0x03, 0x55, 0x1d, 0x0f};
inline constexpr std::uint8_t kOidSubjectAltName[] = {0x06, 0x03, 0x55, 0x1d, 0x11};
inline constexpr std::uint8_t kOidBasicConstraints[] = {0x06, 0x03, 0x55, 0x1d, 0x13};
inline constexpr std::uint8_t kOidCertificatePolicies[] = {0x06, 0x03, 0x55, 0x1d, 0x20};
inline constexpr std::uint8_t kOidAuthorityKeyIdentifier[] = {0x06, 0x03, 0x55, 0x1d, 0x23};
inline constexpr std::uint8_t kOidExtendedKeyUsage[] = {0x06, 0x03, 0x55, 0x1d, 0x25};

enum class Critical { No, Yes };

[[nodiscard]] Bytes extension(ByteView oid, Critical critical, ByteView value);

/// Critical. An end entity's is an empty SEQUENCE: DER leaves the default FALSE out.
[[nodiscard]] Bytes end_entity_extension();
[[nodiscard]] Bytes ca_extension(std::optional<std::uint8_t> path_length);

/// Critical; `bits` as in key_usage.h, at least one.
[[nodiscard]] Bytes key_usage_extension(std::uint16_t bits);

[[nodiscard]] Bytes subject_key_extension(ByteView identifier);
[[nodiscard]] Bytes authority_key_extension(ByteView identifier);

/// All of a template's extensions that are the same for each device, but alternative names, key
/// identifiers and extra ones: basicConstraints, keyUsage, extendedKeyUsage, policies.
[[nodiscard]] Bytes usage_extensions(const DeviceTemplate& device_template);
[[nodiscard]] Bytes extra_extensions(const DeviceTemplate& device_template);

/// The template's patterns, which check_template has accepted.
[[nodiscard]] std::vector<AltNamePattern> alt_name_patterns(const DeviceTemplate& device_template);

/// Not critical: the subject is never empty. Empty without patterns.
[[nodiscard]] Bytes alt_name_extension(const std::vector<AltNamePattern>& patterns,
                                       const SubjectFields& fields);

}  // namespace keyferry::x509
