// A ceremony's transcript on another machine: its SHA-256 and words, as the appliance showed them when it was signed.

#pragma once

#include <optional>
#include <string>

#include "wrap/base/bytes.h"
#include "wrap/base/ids.h"

namespace keyferry::audit_tool {

inline constexpr std::size_t kMaxTranscriptBytes = 64 * 1024 * 1024;

struct TranscriptView {
  Digest digest;
  std::string words;  // 16
};

/// Error{Usage}: empty, or larger than kMaxTranscriptBytes.
[[nodiscard]] TranscriptView view_transcript(ByteView octets, const std::string& origin);

}  // namespace keyferry::audit_tool
