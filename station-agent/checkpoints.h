// The appliance's checkpoints that reach this station on tokens: kept as an anchor outside the
// appliance's disk.
#pragma once

#include <optional>
#include <string>

#include "station-agent/store.h"

namespace keyferry::station {

/// Verifies the note by the appliance's log key and keeps it when it is the highest. An empty note
/// is fine. Refusals: those of audit::verify_checkpoint; "log-forked" (same size, another root: an
/// incident too).
[[nodiscard]] std::optional<Refusal> see_checkpoint(Store& store,
                                                    const std::string& note,
                                                    const crypto::PublicKey& log_key);

}  // namespace keyferry::station
