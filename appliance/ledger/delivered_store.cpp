#include "appliance/ledger/delivered_store.h"

#include <fmt/format.h>

#include <algorithm>

#include "appliance/ledger/entry_row.h"
#include "wrap/base/cut.h"
#include "wrap/base/error.h"

namespace keyferry::appliance {

using store::guarded;

std::vector<DeliveredRow> DeliveredStore::rows(ImportId import, SeId after, std::size_t count) {
  return guarded("ledger: read delivered transport keys", [&] {
    // Rows of one import were inserted in the file's order, and se_id grows with each.
    SQLite::Statement query{
        ledger_.database(),
        fmt::format(
            "SELECT {}, se.line FROM se WHERE se.import_id = :import AND se.se_id > :after AND "
            "se.transport_kind = 'delivered' ORDER BY se.se_id LIMIT :count",
            kEntryColumnNames)};
    query.bind(":import", import.value);
    query.bind(":after", after.value);
    query.bind(":count", static_cast<std::int64_t>(count));
    std::vector<DeliveredRow> found;
    while (query.executeStep()) {
      EntryRow row = read_entry(query, 0);
      found.push_back({row.id,
                       static_cast<std::uint64_t>(query.getColumn(kEntryColumns).getInt64()),
                       std::move(row.entry)});
    }
    return found;
  });
}

std::vector<DoubledKey> DeliveredStore::add(ImportId import, std::vector<CheckedRow> rows) {
  return guarded("ledger: note check values of transport keys", [&] {
    // Random values: in sorted order their index grows page by page. Of two equal ones the earlier
    // line is kept.
    std::ranges::sort(rows, [](const CheckedRow& a, const CheckedRow& b) {
      return a.check_value != b.check_value ? a.check_value < b.check_value : a.line < b.line;
    });
    store::Database& database = ledger_.database();
    store::WriteTransaction transaction{database};
    SQLite::Statement insert{
        database,
        "INSERT INTO transport_check (check_value, se_id) VALUES (:value, :se) "
        "ON CONFLICT (check_value) DO NOTHING"};
    SQLite::Statement earlier{
        database,
        "SELECT se.import_id, se.line, se.family, lower(hex(se.se_serial)) FROM transport_check "
        "JOIN se USING (se_id) WHERE check_value = :value"};
    std::vector<DoubledKey> doubled;
    for (const CheckedRow& row : rows) {
      insert.reset();
      store::bind_blob(insert, ":value", row.check_value);
      insert.bind(":se", row.id.value);
      if (insert.exec() == 1) continue;
      earlier.reset();
      store::bind_blob(earlier, ":value", row.check_value);
      if (!earlier.executeStep()) continue;
      const bool same_file = earlier.getColumn(0).getInt64() == import.value;
      doubled.push_back(
          {row.line,
           same_file ? static_cast<std::uint64_t>(earlier.getColumn(1).getInt64()) : 0,
           fmt::format(
               "{} {}", earlier.getColumn(2).getString(), earlier.getColumn(3).getString())});
    }
    transaction.commit();
    KF_CUT("front.delivered.checked");
    std::ranges::sort(doubled, {}, &DoubledKey::line);
    return doubled;
  });
}

}  // namespace keyferry::appliance
