// `log show` and `log checkpoint`: the appliance's Merkle log for people. Reads the ledger only.
#pragma once

#include <cstdint>
#include <optional>

namespace keyferry::appliance {

class Context;

struct LogShowOptions {
  std::uint64_t from = 0;
  std::optional<std::uint64_t> count;
  std::optional<std::uint32_t> epoch;  // the log of an HSM that was replaced
  std::optional<std::uint64_t> proof;  // index: one leaf with its inclusion proof instead of a list
};

/// One line a leaf: index, time, origin, event, fields; text from outside never as it came.
/// Error{Refused} for a proof of a leaf that the newest checkpoint does not cover.
int show_log(Context& context, const LogShowOptions& options);

/// The newest checkpoint: signed note, size, root and words, its signature verified with the
/// appliance's card.
int show_checkpoint(Context& context);

}  // namespace keyferry::appliance
