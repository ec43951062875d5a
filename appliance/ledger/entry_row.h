// An inventory row as an entry. For the stores of this folder.
#pragma once

#include <string_view>

#include "appliance/ledger/inventory_store.h"

namespace keyferry::appliance {

/// Columns of an entry, in the order that read_entry takes them.
inline constexpr std::string_view kEntryColumnNames =
    "se.se_id, se.family, se.se_serial, se.key_name, se.part, se.lot, se.device_serial, "
    "se.generation, se.transport_kind, se.transport_name, se.transport_data, se.attestation_key";
inline constexpr int kEntryColumns = 12;

struct EntryRow {
  SeId id;
  se::Entry entry;
};

/// From column `first` on. Error{Storage} when the row is damaged.
[[nodiscard]] EntryRow read_entry(SQLite::Statement& row, int first);

}  // namespace keyferry::appliance
