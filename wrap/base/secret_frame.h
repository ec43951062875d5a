// A secret between two processes of ours: a frame as in frame.h whose octets never lie in an ordinary buffer.
#pragma once

#include <optional>

#include "wrap/base/durable_file.h"
#include "wrap/base/secret_bytes.h"

namespace keyferry {

inline constexpr std::uint32_t kMaxSecretFrameBytes = 255;  // PINs and shares

/// Error{Channel} when the other side is gone, Error{InvalidArgument} above `max_bytes`.
void write_secret_frame(const Fd& fd, const SecretBytes& secret, std::uint32_t max_bytes = kMaxSecretFrameBytes);

/// Nothing at an orderly end before the first octet. Error{Channel}: cut in the middle, or longer than a secret may be.
[[nodiscard]] std::optional<SecretBytes> read_secret_frame(int fd, std::uint32_t max_bytes = kMaxSecretFrameBytes);

}  // namespace keyferry
