// The lower half of `verify`: whose bundle it is, and that card, checkpoints, tiles and leaves are
// one log that only grew.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "token/audit-tool/findings.h"
#include "token/bundle/keys.h"
#include "token/bundle/reader.h"
#include "token/enrolment.h"
#include "wrap/base/bytes.h"
#include "wrap/base/ids.h"

namespace keyferry::audit_tool {

/// Size and root of the log, for each signed checkpoint of the bundle.
using Checkpoints = std::map<std::uint64_t, Digest>;

/// "keyferry/" and the first 32 hex digits of the appliance id.
[[nodiscard]] std::string log_origin(const ApplianceId& appliance);

/// The card, when it is of the appliance whose fingerprint this is (16 octets) and signs itself.
[[nodiscard]] std::optional<token::ApplianceCard> check_identity(bundle::Reader& reader,
                                                                 ByteView fingerprint,
                                                                 Findings& findings);

/// Those whose signature holds. The newest one has size and root of the index.
[[nodiscard]] Checkpoints check_checkpoints(bundle::Reader& reader,
                                            const token::ApplianceCard& card,
                                            Findings& findings);

/// Leaves in order, hidden ones left out, each held against its hash; roots at every checkpoint;
/// every tile against those that the leaf hashes give. Memory: one bundle of leaves.
/// progress: leaves so far.
void check_log(bundle::Reader& reader,
               const Checkpoints& checkpoints,
               const std::function<void(std::uint64_t index, ByteView leaf)>& take,
               const std::function<void(std::uint64_t done)>& progress,
               Findings& findings);

/// The log of one station whole: calls `take` for its leaves and `root_at` for sizes that are asked
/// for. False when the bundle has none.
bool check_station_log(bundle::Reader& reader,
                       const StationId& station,
                       std::uint32_t generation,
                       const Checkpoints& roots,
                       const std::function<void(std::uint64_t position, ByteView leaf)>& take,
                       Findings& findings);

}  // namespace keyferry::audit_tool
