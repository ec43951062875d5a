// The firmware image that a lane's devices run, as far as a chip needs it to verify its signature:
// the image's SHA-256 and ECDSA P-256 over that digest by the device maker's key.
#pragma once

#include <filesystem>
#include <variant>

#include "wrap/base/bytes.h"
#include "wrap/base/error.h"
#include "wrap/base/ids.h"

namespace keyferry::station {

inline constexpr std::uint64_t kMaxFirmwareBytes = 1ULL << 30;

struct FirmwareImage {
  Digest sha256;
  Bytes signature;  // raw r || s, 64
};

/// Reads the image once, in pieces. The signature file: raw r || s (64 octets) or DER
/// Ecdsa-Sig-Value. Error{Usage} for a signature of neither form, Error{Storage} when a file cannot
/// be read or is above kMaxFirmwareBytes.
[[nodiscard]] FirmwareImage read_firmware(const std::filesystem::path& image,
                                          const std::filesystem::path& signature);

}  // namespace keyferry::station
