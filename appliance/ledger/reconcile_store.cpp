#include "appliance/ledger/reconcile_store.h"

#include "wrap/base/error.h"

namespace keyferry::appliance {
namespace {

using store::guarded;

std::uint64_t natural_at(SQLite::Statement& row, int index) {
  return static_cast<std::uint64_t>(row.getColumn(index).getInt64());
}

// A record of a segment that is only prepared stands for nothing: its entry is outstanding, without
// a key.
constexpr const char* kOutstanding =
    " FROM se_list_entry AS entry JOIN se USING (se_id) "
    "LEFT JOIN record ON record.batch_id = :batch AND record.record_no = entry.idx "
    "LEFT JOIN segment ON segment.batch_id = :batch AND segment.idx = record.segment_idx AND "
    "segment.state = 'sealed' "
    "WHERE entry.list_id = :list AND (record.state IS NULL OR record.state = 'issued') ";

}  // namespace

Sums& Sums::operator+=(const Sums& more) {
  issued += more.issued;
  injected += more.injected;
  quarantined += more.quarantined;
  returned += more.returned;
  never_left += more.never_left;
  revoked += more.revoked;
  outstanding += more.outstanding;
  return *this;
}

Sums ReconcileStore::sums(const BatchRow& batch) {
  if (!has_started(batch.state)) return {};
  return guarded("ledger: count a batch's records", [&] {
    Sums sums;
    SQLite::Statement entries{ledger_.database(),
                              "SELECT count(*) FROM se_list_entry WHERE list_id = :list"};
    entries.bind(":list", batch.list.value);
    entries.executeStep();
    sums.issued = natural_at(entries, 0);
    SQLite::Statement states{
        ledger_.database(),
        "SELECT state, count(*) FROM record WHERE batch_id = :batch GROUP BY state"};
    store::bind_blob(states, ":batch", batch.id.bytes());
    while (states.executeStep()) {
      const auto state = record_state_from_name(states.getColumn(0).getString());
      const std::uint64_t count = natural_at(states, 1);
      if (!state) throw Error{Code::Storage, "ledger: a record's state is damaged"};
      switch (*state) {
        case RecordState::Issued:
          break;  // counted by name below
        case RecordState::Injected:
          sums.injected = count;
          break;
        case RecordState::Quarantined:
          sums.quarantined = count;
          break;
        case RecordState::Returned:
          sums.returned = count;
          break;
        case RecordState::NeverLeft:
          sums.never_left = count;
          break;
        case RecordState::Revoked:
          sums.revoked = count;
          break;
      }
    }
    SQLite::Statement names{ledger_.database(), std::string{"SELECT count(*)"} + kOutstanding};
    store::bind_blob(names, ":batch", batch.id.bytes());
    names.bind(":list", batch.list.value);
    names.executeStep();
    sums.outstanding = natural_at(names, 0);
    return sums;
  });
}

Sums ReconcileStore::cross_check(const BatchRow& batch) {
  if (!has_started(batch.state)) return {};
  return guarded("ledger: count a batch's receipts", [&] {
    Sums sums;
    sums.issued = batch.se_count;
    SQLite::Statement receipts{
        ledger_.database(),
        "SELECT coalesce(sum(outcome = 'injected'), 0), coalesce(sum(outcome = 'quarantined'), "
        "0), coalesce(sum(outcome = 'returned'), 0) FROM receipt WHERE batch_id = :batch"};
    store::bind_blob(receipts, ":batch", batch.id.bytes());
    receipts.executeStep();
    sums.injected = natural_at(receipts, 0);
    sums.quarantined = natural_at(receipts, 1);
    sums.returned = natural_at(receipts, 2);
    SQLite::Statement others{
        ledger_.database(),
        "SELECT coalesce(sum(public_key IS NULL), 0), coalesce(sum(public_key IS NOT NULL AND "
        "revoked = 1 AND NOT EXISTS (SELECT 1 FROM receipt WHERE receipt.batch_id = "
        "record.batch_id AND receipt.record_no = record.record_no)), 0) FROM record "
        "WHERE batch_id = :batch"};
    store::bind_blob(others, ":batch", batch.id.bytes());
    others.executeStep();
    sums.never_left = natural_at(others, 0);
    sums.revoked = natural_at(others, 1);
    const std::uint64_t ended =
        sums.injected + sums.quarantined + sums.returned + sums.never_left + sums.revoked;
    sums.outstanding = ended <= sums.issued ? sums.issued - ended : 0;
    return sums;
  });
}

void ReconcileStore::visit_outstanding(const BatchRow& batch,
                                       const std::function<void(const OutstandingSe&)>& visit) {
  if (!has_started(batch.state)) return;
  guarded("ledger: list what is outstanding", [&] {
    SQLite::Statement query{ledger_.database(),
                            std::string{"SELECT entry.idx, family, se_serial, key_name, "
                                        "device_serial, segment.state IS NOT NULL"} +
                                kOutstanding + "ORDER BY entry.idx"};
    store::bind_blob(query, ":batch", batch.id.bytes());
    query.bind(":list", batch.list.value);
    while (query.executeStep()) {
      visit(OutstandingSe{.record_no = static_cast<std::uint32_t>(query.getColumn(0).getInt64()),
                          .family = query.getColumn(1).getString(),
                          .se_serial = store::column_blob(query, 2),
                          .key_name = query.getColumn(3).getString(),
                          .device_serial = query.getColumn(4).getString(),
                          .sealed = query.getColumn(5).getInt() != 0});
    }
  });
}

}  // namespace keyferry::appliance
