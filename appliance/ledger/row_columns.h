// Columns of the ledger's rows as values, and what each store says of one that cannot be. For this folder's stores.
#pragma once

#include <fmt/format.h>

#include <optional>
#include <string_view>

#include "wrap/base/error.h"
#include "wrap/base/ids.h"
#include "wrap/store/database.h"

namespace keyferry::appliance {

[[nodiscard]] inline Error damaged(std::string_view what) {
  return Error{Code::Storage, fmt::format("ledger: {} is damaged", what), "restore the ledger from its newest backup"};
}

template <typename Id>
[[nodiscard]] Id id_at(SQLite::Statement& row, int index) {
  const auto id = Id::from_bytes(store::column_blob(row, index));
  if (!id) throw damaged("an id");
  return *id;
}

[[nodiscard]] inline std::uint32_t small_at(SQLite::Statement& row, int index) {
  return static_cast<std::uint32_t>(row.getColumn(index).getInt64());
}

[[nodiscard]] inline std::uint64_t natural_at(SQLite::Statement& row, int index) {
  return static_cast<std::uint64_t>(row.getColumn(index).getInt64());
}

}  // namespace keyferry::appliance
