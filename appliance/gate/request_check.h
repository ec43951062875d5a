// What a front end may send and a worker takes: every text, octet string and list of a request is held against one table
// of bounds before anything is done with it, and fields that this program does not know are refused, because they could
// mean something. Pure: no channel, no state, no HSM.
#pragma once

#include <optional>

#include "wrap/base/bytes.h"
#include "wrap/base/error.h"
#include "wrap/base/frame.h"

namespace keyferry::v1 {
class GateRequest;
class WorkerRequest;
}  // namespace keyferry::v1

namespace keyferry::appliance {

/// The first frame of a connection: `open` with its registries, or a backup that is restored.
inline constexpr std::uint32_t kMaxFirstFrameBytes = 9U * 1024 * 1024;

/// As it is stored and opened again.
inline constexpr std::size_t kMaxRegistryBytes = 1024U * 1024;

/// Length of the frame that begins with these four octets; nothing above `max_bytes`.
[[nodiscard]] std::optional<std::uint32_t> frame_length(ByteView four_octets, std::uint32_t max_bytes = kMaxFrameBytes);

/// False when the octets are no request at all: then the connection ends.
[[nodiscard]] bool parse_request(ByteView frame, v1::GateRequest& request);
[[nodiscard]] bool parse_request(ByteView frame, v1::WorkerRequest& request);

/// Reasons: request-unknown-field, request-bound. Sizes and counts only: what the octets mean is checked by who uses them.
[[nodiscard]] std::optional<Refusal> check_request(const v1::GateRequest& request);
[[nodiscard]] std::optional<Refusal> check_request(const v1::WorkerRequest& request);

}  // namespace keyferry::appliance
