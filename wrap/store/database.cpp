#include "wrap/store/database.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <mutex>

#include "wrap/base/cut.h"
#include "wrap/base/durable_file.h"

namespace keyferry::store {
namespace {

namespace fs = std::filesystem;

struct Hint {
  int code;  // primary or extended result code
  std::string_view text;
};

constexpr std::array kHints{
    Hint{SQLITE_FULL,
         "make room on that disk, then give the same command again: nothing was half done"},
    Hint{SQLITE_IOERR_SHMSIZE,
         "make room on that disk, then give the same command again: nothing was half done"},
    Hint{SQLITE_IOERR, "look at that disk and the room on it, then give the same command again"},
    Hint{SQLITE_BUSY,
         "another keyferry program works on this database: wait for it, then try again"},
    Hint{SQLITE_NOTADB, "the file is no database: is the path right?"},
    Hint{SQLITE_CORRUPT, "the file is damaged: keep a copy of it and restore the last backup"},
    Hint{SQLITE_READONLY, "the file or its folder is not writable for this user"},
    Hint{SQLITE_CANTOPEN, "is the path right, and may this user write in that folder?"},
};

std::string_view hint_for(int primary, int extended) {
  for (const Hint& hint : kHints) {
    if (hint.code == extended || hint.code == primary) return hint.text;
  }
  return {};
}

/// A new, empty, owner-only file, durable in its folder; or the check of the one that is there.
void prepare_file(const fs::path& path, Role role) {
  struct stat status {};

  if (lstat(path.c_str(), &status) != 0) {
    if (errno != ENOENT) throw system_error(Code::Storage, "open database " + path.string(), errno);
    if (role == Role::Reader) throw Error{Code::NotFound, "no database " + path.string()};
    const Fd fd{open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600)};
    if (!fd.valid()) throw system_error(Code::Storage, "create database " + path.string(), errno);
    KF_CUT("store.created");
    sync_directory(path.parent_path());
    return;
  }
  if (!S_ISREG(status.st_mode)) {
    throw Error{Code::Storage,
                "not a regular file: " + path.string(),
                "put the database itself there, no link"};
  }
  if (role == Role::Writer && (status.st_mode & 0077U) != 0 && chmod(path.c_str(), 0600) != 0) {
    throw system_error(Code::Storage, "make owner-only: " + path.string(), errno);
  }
}

/// A transaction of a segment (4,096 records, about 3 MiB of pages) stays in memory until it is committed; what does not fit
/// is written twice.
constexpr int kCacheKib = 16 * 1024;

std::int32_t pragma_number(Database& database, const std::string& name) {
  return database.execAndGet("PRAGMA " + name).getInt();
}

void check_application(Database& database, const fs::path& path, std::int32_t application_id) {
  const std::int32_t found = pragma_number(database, "application_id");
  if (found == application_id) return;
  // A cut between creation and the first migration leaves a database with nothing in it: that is
  // ours to fill.
  const bool empty = found == 0 && pragma_number(database, "user_version") == 0 &&
                     database.execAndGet("SELECT count(*) FROM sqlite_schema").getInt() == 0;
  if (!empty) {
    throw Error{Code::Storage, "database of another kind: " + path.string(), "is the path right?"};
  }
}

void configure(Database& database, Role role) {
  if (database.execAndGet("PRAGMA journal_mode=WAL").getString() != "wal") {
    throw Error{Code::Storage,
                "database " + database.getFilename() + " cannot use a write-ahead log",
                "keep it on a local disk"};
  }
  database.exec("PRAGMA synchronous=FULL");
  database.exec("PRAGMA foreign_keys=ON");
  database.exec("PRAGMA trusted_schema=OFF");
  database.exec("PRAGMA cell_size_check=ON");
  database.exec(fmt::format("PRAGMA cache_size=-{}", kCacheKib));
  if (role == Role::Reader) database.exec("PRAGMA query_only=ON");
}

/// Nobody asks SQLite how much memory it uses, and each of its allocations would take a lock to count it.
void spare_locks() {
  static std::once_flag once;
  std::call_once(once, [] { sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0); });
}

void check_numbering(std::span<const Migration> migrations) {
  for (std::size_t i = 0; i < migrations.size(); ++i) {
    if (migrations[i].version != static_cast<int>(i) + 1) {
      throw Error{Code::Internal, "migrations are not numbered 1, 2, 3, ..."};
    }
  }
}

void refuse_newer(int found, int newest, const fs::path& path) {
  if (found > newest) {
    throw Error{
        Code::Storage,
        fmt::format(
            "database {} has schema {}, this program knows {}", path.string(), found, newest),
        "use the program that wrote it, or a newer one"};
  }
}

void migrate(Database& database,
             const fs::path& path,
             std::int32_t application_id,
             std::span<const Migration> migrations) {
  const int newest = static_cast<int>(migrations.size());
  while (true) {
    const int seen = pragma_number(database, "user_version");
    refuse_newer(seen, newest, path);
    if (seen == newest) return;
    WriteTransaction transaction{database};
    const int found =
        pragma_number(database, "user_version");  // another process may have been faster
    if (found != seen) continue;
    const Migration& step = migrations[static_cast<std::size_t>(found)];
    database.exec(fmt::format("PRAGMA application_id={}", application_id));
    database.exec(std::string{step.sql});
    database.exec(fmt::format("PRAGMA user_version={}", step.version));
    KF_CUT("store.before_migration_commit");
    transaction.commit();
    KF_CUT("store.after_migration_commit");
  }
}

}  // namespace

Database open_database(const fs::path& path,
                       std::int32_t application_id,
                       std::span<const Migration> migrations,
                       Role role) {
  check_numbering(migrations);
  prepare_file(path, role);
  spare_locks();
  return guarded("open database " + path.string(), [&]() -> Database {
    Database database{path.string(), SQLite::OPEN_READWRITE | SQLite::OPEN_NOMUTEX, kBusyTimeoutMs};
    check_application(database, path, application_id);
    configure(database, role);
    if (role == Role::Writer) {
      migrate(database, path, application_id, migrations);
      return database;
    }
    const int newest = static_cast<int>(migrations.size());
    const int found = pragma_number(database, "user_version");
    refuse_newer(found, newest, path);
    if (found < newest) {
      throw Error{
          Code::Storage,
          fmt::format(
              "database {} has schema {}, this program reads {}", path.string(), found, newest),
          "start the program that owns it once: it brings it up to date"};
    }
    return database;
  });
}

Error to_error(const SQLite::Exception& failure, const std::string& what) {
  const int extended = failure.getExtendedErrorCode();
  const int primary = failure.getErrorCode() & 0xff;
  const std::string text = fmt::format("{}: {}", what, failure.what());
  return Error{Code::Storage, text, std::string{hint_for(primary, extended)}};
}

void check_integrity(Database& database) {
  const std::string hint = "keep a copy of the file and restore the last backup";
  const std::string finding = database.execAndGet("PRAGMA quick_check(1)").getString();
  if (finding != "ok") {
    throw Error{
        Code::Storage, "database " + database.getFilename() + " is damaged: " + finding, hint};
  }
  SQLite::Statement foreign_keys{database, "PRAGMA foreign_key_check"};
  if (foreign_keys.executeStep()) {
    throw Error{Code::Storage,
                fmt::format("database {} is damaged: a row of {} refers to nothing",
                            database.getFilename(),
                            foreign_keys.getColumn(0).getString()),
                hint};
  }
}

void bind_blob(SQLite::Statement& statement, const char* name, ByteView value) {
  // An empty view may have no address, and SQLite would take that for NULL.
  static const std::uint8_t kNothing = 0;
  const void* const data = value.empty() ? &kNothing : static_cast<const void*>(value.data());
  statement.bind(name, data, static_cast<int>(value.size()));
}

Bytes column_blob(SQLite::Statement& statement, int index) {
  const SQLite::Column column = statement.getColumn(index);
  const auto* const data = static_cast<const std::uint8_t*>(column.getBlob());
  const auto size = static_cast<std::size_t>(column.getBytes());
  return data == nullptr ? Bytes{} : Bytes(data, data + size);
}

}  // namespace keyferry::store
