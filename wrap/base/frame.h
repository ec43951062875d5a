// Frames between our processes: u32be length, then that many octets (a protobuf message). Bounded; blocking calls with
// a deadline. The gate's Asio side speaks the same bytes.
#pragma once

#include <chrono>
#include <optional>

#include "wrap/base/bytes.h"

namespace keyferry {

inline constexpr std::uint32_t kMaxFrameBytes = 16U * 1024 * 1024;
inline constexpr std::chrono::milliseconds kNoDeadline = std::chrono::milliseconds::max();

/// Error{Channel} when the other side is gone, Error{InvalidArgument} above kMaxFrameBytes.
void write_frame(int fd, ByteView payload);

/// Nothing at an orderly end between frames. Error{Channel}: cut in the middle, longer than allowed, or too late.
[[nodiscard]] std::optional<Bytes> read_frame(int fd, std::chrono::milliseconds timeout = kNoDeadline);

/// True when a frame (or the end) can be read without waiting.
[[nodiscard]] bool frame_waiting(int fd);

}  // namespace keyferry
