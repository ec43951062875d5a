// Columns of the station's store as values. What the store wrote itself must parse; else the file
// was changed by others.
#pragma once

#include <optional>
#include <utility>

#include "wrap/crypto/signing.h"
#include "wrap/store/database.h"

namespace keyferry::station {

/// The value, or Error{Storage}: a row is not what the store writes.
template <typename T>
[[nodiscard]] T sound(std::optional<T> value) {
  if (!value) {
    throw Error{Code::Storage,
                "the station's store holds a value that the station never writes",
                "the file was changed or is damaged: do not use this station, tell the officers"};
  }
  return std::move(*value);
}

template <typename Id>
[[nodiscard]] Id id_column(SQLite::Statement& row, int index) {
  return sound(Id::from_bytes(store::column_blob(row, index)));
}

[[nodiscard]] inline crypto::PublicKey key_column(SQLite::Statement& row, int index) {
  return sound(crypto::PublicKey::from_point(store::column_blob(row, index)));
}

[[nodiscard]] inline std::uint64_t unsigned_column(SQLite::Statement& row, int index) {
  return static_cast<std::uint64_t>(row.getColumn(index).getInt64());
}

[[nodiscard]] inline std::uint32_t u32_column(SQLite::Statement& row, int index) {
  return row.getColumn(index).getUInt();
}

}  // namespace keyferry::station
