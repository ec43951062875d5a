// Microchip's signed manifest: a JSON array whose entries are each a JWS in flattened form (RFC 7515
// section 7.2.2), one for each chip. Read as a stream, in memory for one entry at a time.
//
// Of each entry, in this order: the protected header says ES256 and names the pinned certificate
// (x5t#S256); the signature verifies; only then the payload is read. Members that are not known are
// passed over, as the format's guide wants it; a header with "crit" is refused.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <variant>

#include "wrap/base/error.h"
#include "wrap/crypto/signing.h"
#include "wrap/se/entry.h"

namespace keyferry::appliance {

inline constexpr std::size_t kMaxManifestEntryBytes = 64 * 1024;

/// Who signed, as officers enrolled the source, and what the file does not say.
struct ManifestTerms {
  crypto::PublicKey signer;
  Digest certificate_sha256;  // of the signer's certificate, DER
  std::string master;         // NAME of kf-tk/NAME
  std::string lot;
  std::string key_name = "dac";
  std::optional<std::uint8_t> attestation_slot = {};
};

/// Fills `out` as far as it can; 0 at the end of the file.
using ManifestSource = std::function<std::size_t(std::span<std::uint8_t> out)>;
/// Entry by its place, from 1: the SE, or why it is not taken in. Reasons: manifest-form,
/// manifest-header, manifest-signature, manifest-payload, manifest-id, manifest-model,
/// manifest-key, and those of se::check_entry.
using ManifestVisitor =
    std::function<void(std::uint64_t place, const std::variant<se::Entry, Refusal>& entry)>;

/// Nothing when the file was read to its end; otherwise what is wrong with its form (manifest-form).
[[nodiscard]] std::optional<Refusal> read_manifest(const ManifestSource& source,
                                                   const ManifestTerms& terms,
                                                   const ManifestVisitor& visit);

}  // namespace keyferry::appliance
