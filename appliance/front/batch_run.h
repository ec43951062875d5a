// Batches: running one (a streaming, resumable pipeline in constant memory) and showing them.
//
// Signing is issuing, and comes last: body written and synced; records and log leaves committed as
// prepared; the trailer signed and stored in kf-state by the gate; trailer appended, synced,
// renamed. A cut before the kf-state write: the body cannot be opened by anyone and is thrown away.
// A cut after: the same trailer is handed out again (finish_prepared).
#pragma once

#include "appliance/front/batch_hooks.h"

namespace keyferry::appliance {

/// Bytes on our disk that a record takes, at most: body, certificate twice, ledger and log.
inline constexpr std::uint64_t kRoomPerRecordBytes = 4096;
inline constexpr std::uint64_t kRoomToSpareBytes = 16U << 20;

}  // namespace keyferry::appliance
