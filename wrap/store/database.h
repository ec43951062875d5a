// Opening SQLite the one way this product opens it: WAL, synchronous=FULL, foreign_keys=ON,
// trusted_schema=OFF, own application_id, schema by numbered migrations (user_version), owner-only
// files.
//
// Errors. SQLiteCpp throws SQLite::Exception. The stores (classes over one database) are the
// catching place: each public function of a store runs its body in `guarded("ledger: add batch",
// [&] {...})`, which turns that exception into Error{Storage}; above a store nobody sees SQLite. A
// full disk carries the hint to make room; a transaction that was cut by it is rolled back by the
// destructor and can be done again.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "wrap/base/bytes.h"
#include "wrap/base/error.h"

namespace keyferry::store {

using Database = SQLite::Database;

/// One step of a schema; `sql` may hold many statements, and no BEGIN or COMMIT.
struct Migration {
  int version;           ///< 1, 2, 3, ... without gaps
  std::string_view sql;  ///< static storage (deploy/cmake/embed_sql.cmake)
};

enum class Role {
  Writer,  ///< creates and migrates; BEGIN IMMEDIATE for its writes
  Reader,  ///< opens what exists at exactly this schema, query_only; needs write access to the
           ///< folder for WAL's -shm
};

/// Application ids are four ASCII letters: application_id("KFld").
[[nodiscard]] constexpr std::int32_t application_id(const char (&letters)[5]) {
  std::uint32_t value = 0;
  for (int i = 0; i < 4; ++i) value = (value << 8) | static_cast<std::uint8_t>(letters[i]);
  return static_cast<std::int32_t>(value);
}

/// Milliseconds that a statement waits for another process's lock.
inline constexpr int kBusyTimeoutMs = 10'000;

/// Opens and, as Role::Writer, creates (mode 0600, in an existing folder) and migrates, each step in
/// a transaction of its own. Error{Storage}: not a database, another application's file, a symbolic
/// link, no room. Error{Storage} with a hint: the database is newer than the program (any role) or
/// older (Role::Reader). Error{NotFound}: Role::Reader and no file.
/// SQLite takes no lock of its own for it: threads that share it take turns by a lock of theirs.
[[nodiscard]] Database open_database(const std::filesystem::path& path,
                                     std::int32_t application_id,
                                     std::span<const Migration> migrations,
                                     Role role);

/// Error for an exception of SQLite: `what`, the code's text, and a hint where there is one (full
/// disk, locked).
[[nodiscard]] Error to_error(const SQLite::Exception& failure, const std::string& what);

/// Runs `body`; what SQLite throws in it becomes Error{Storage} that begins with `what`.
template <typename Body>
decltype(auto) guarded(const std::string& what, Body&& body) {
  try {
    return std::forward<Body>(body)();
  } catch (const SQLite::Exception& failure) {
    throw to_error(failure, what);
  }
}

/// BEGIN IMMEDIATE: the write lock is taken at once, so no work is done that would fail at its end.
/// Rolled back by the destructor unless commit() was reached.
class WriteTransaction {
 public:
  explicit WriteTransaction(Database& database)
      : transaction_{database, SQLite::TransactionBehavior::IMMEDIATE} {}

  /// Durable when this returns (synchronous=FULL).
  void commit() { transaction_.commit(); }

 private:
  SQLite::Transaction transaction_;
};

/// `PRAGMA quick_check` and `foreign_key_check`: Error{Storage} with the first finding and a hint.
void check_integrity(Database& database);

/// BLOBs: binds a copy, so that `value` may be a temporary, and reads a copy.
void bind_blob(SQLite::Statement& statement, const char* name, ByteView value);
[[nodiscard]] Bytes column_blob(SQLite::Statement& statement, int index);

}  // namespace keyferry::store
