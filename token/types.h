// Enumerations of what crosses the gap. Numbers are those of proto/keyferry/v1 and of the container
// header; what is not listed is refused where it enters.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace keyferry::token {

enum class Environment : std::uint8_t { Development = 1, Rehearsal = 2, Production = 3 };

enum class ContainerType : std::uint8_t { Segment = 1, Manifest = 2, Receipts = 3, Waiting = 4 };

enum class Family : std::uint8_t { Pkcs11 = 1, Atecc608 = 2, OptigaTrustM = 3, Tpm2 = 4 };

enum class Mode : std::uint8_t { Inject = 1, OnDevice = 2, PreProvisioned = 3 };

/// Nothing for a number that is not in the enumeration, zero included.
[[nodiscard]] std::optional<Environment> environment_from_number(std::uint32_t number);
[[nodiscard]] std::optional<ContainerType> container_type_from_number(std::uint32_t number);
[[nodiscard]] std::optional<Family> family_from_number(std::uint32_t number);
[[nodiscard]] std::optional<Mode> mode_from_number(std::uint32_t number);

/// "development", "rehearsal", "production".
[[nodiscard]] std::string_view name_of(Environment environment);
/// "segment", "manifest", "receipts", "waiting".
[[nodiscard]] std::string_view name_of(ContainerType type);
/// "pkcs11", "atecc608", "optiga-trust-m", "tpm2".
[[nodiscard]] std::string_view name_of(Family family);
/// "inject", "on-device", "pre-provisioned".
[[nodiscard]] std::string_view name_of(Mode mode);

[[nodiscard]] std::optional<Environment> environment_from_name(std::string_view name);
[[nodiscard]] std::optional<Family> family_from_name(std::string_view name);

}  // namespace keyferry::token
