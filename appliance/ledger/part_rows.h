// What the tables of sealed parts share: segment, manifest, waiting_segment. For batch_store.cpp and outside_store.cpp.
#pragma once

#include <sqlite3.h>

#include "appliance/ledger/batch_store.h"
#include "appliance/ledger/row_columns.h"

namespace keyferry::appliance {

/// From the columns state, count, container_id, digest, body_size_bytes, first_leaf.
[[nodiscard]] inline SealedPart part_at(SQLite::Statement& row, std::optional<SegmentIndex> index) {
  return SealedPart{.index = index,
                    .state = row.getColumn(0).getString() == "sealed" ? SealState::Sealed : SealState::Prepared,
                    .count = small_at(row, 1),
                    .container = id_at<ContainerId>(row, 2),
                    .digest = id_at<Digest>(row, 3),
                    .body_size_bytes = natural_at(row, 4),
                    .first_leaf = natural_at(row, 5)};
}

/// Runs the transaction `body` of a part that is prepared. What was there before is refused with `refuse(why)`; after
/// any failure `seen` does not know what the ledger holds and is read again.
template <typename Body, typename Refuse>
std::uint64_t prepare_part(std::optional<SeenValues>& seen, const std::string& what, const Body& body,
                           const Refuse& refuse) {
  try {
    return body();
  } catch (const SeenBefore& before) {
    seen.reset();
    throw refuse(before.table);
  } catch (const SQLite::Exception& failure) {
    seen.reset();
    if (failure.getErrorCode() != SQLITE_CONSTRAINT) throw store::to_error(failure, what);
    throw refuse(failure.what());
  } catch (const Error&) {
    seen.reset();
    throw;
  }
}

}  // namespace keyferry::appliance
