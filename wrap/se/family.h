// The families of secure elements that records are made for. A fifth one is one builder, one
// driver, one verifier.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "wrap/base/bytes.h"
#include "wrap/base/error.h"
#include "wrap/base/ids.h"

namespace keyferry::se {

enum class Family { Pkcs11, Atecc608, OptigaTrustM, Tpm2 };

inline constexpr std::array kAllFamilies{
    Family::Pkcs11, Family::Atecc608, Family::OptigaTrustM, Family::Tpm2};

/// "pkcs11", "atecc608", "optiga-trust-m", "tpm2": in files, messages and derivations.
[[nodiscard]] std::string_view family_name(Family family);
[[nodiscard]] std::optional<Family> family_from_name(std::string_view name);

/// Nothing if records can be made for it now; otherwise the refusal `family-unsupported`.
[[nodiscard]] std::optional<Refusal> unsupported(Family family);

/// True for families whose records no HSM can make: the device key is in the clear in a worker for
/// the time of one record, and officers have to allow that (design.md section 5).
[[nodiscard]] bool needs_plaintext(Family family);

/// Size in bytes of a transport key: pkcs11 32 (AES-256), atecc608 32. Error{InvalidArgument} for a
/// family that is not supported.
[[nodiscard]] std::size_t transport_key_size_bytes(Family family);

/// The serial as this family spells it, from the octets that chip or inventory gave.
/// pkcs11: serialNumber of CK_TOKEN_INFO: trailing blanks removed, 1 to 16 printable ASCII octets
/// left, none before the first of them a blank. atecc608: 9 octets, SN[0..3] and SN[4..8] of the
/// configuration zone, the first two 01 23. Refusals: serial-invalid, family-unsupported.
[[nodiscard]] std::variant<SeSerial, Refusal> normalise_serial(Family family, ByteView raw);

/// The serial for a screen: pkcs11 as text, others as hex.
[[nodiscard]] std::string serial_text(Family family, const SeSerial& serial);

/// How the transport key of an SE is known (design.md section 5).
enum class TransportKind { Derived, Delivered, Public };

/// "derived", "delivered", "public".
[[nodiscard]] std::string_view transport_kind_name(TransportKind kind);
[[nodiscard]] std::optional<TransportKind> transport_kind_from_name(std::string_view name);

}  // namespace keyferry::se
