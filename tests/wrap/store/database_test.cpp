#include "wrap/store/database.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <array>
#include <fstream>

#include "tests/support/temp_folder.h"

namespace keyferry::store {

namespace test {
std::span<const Migration> schema();  // made of schema/*.sql
}

namespace {

using keyferry::test::TempFolder;
using test::schema;

constexpr std::int32_t kId = application_id("KFxt");

Database open(const std::filesystem::path& path, Role role = Role::Writer) {
  return open_database(path, kId, schema(), role);
}

std::string pragma(Database& database, const std::string& name) {
  return database.execAndGet("PRAGMA " + name).getString();
}

/// The Error that `body` throws; a Code::Internal one if it throws none.
template <typename Body>
Error error_of(Body&& body) {
  try {
    body();
  } catch (const Error& error) {
    return error;
  }
  return Error{Code::Internal, "nothing was thrown"};
}

void insert(Database& database, const std::string& name, std::size_t size) {
  SQLite::Statement statement{database, "INSERT INTO item (name, body) VALUES (:name, :body)"};
  const Bytes body(size, 0x5a);
  statement.bind(":name", name);
  bind_blob(statement, ":body", body);
  statement.exec();
}

int count(Database& database) {
  return database.execAndGet("SELECT count(*) FROM item").getInt();
}

mode_t mode_of(const std::filesystem::path& path) {
  struct stat status {};

  return stat(path.c_str(), &status) == 0 ? status.st_mode & 0777U : 0;
}

TEST(OpenDatabase, SetsWhatStyleSection12AsksFor) {
  const TempFolder folder;
  Database database = open(folder / "a.db");
  EXPECT_EQ(pragma(database, "journal_mode"), "wal");
  EXPECT_EQ(pragma(database, "synchronous"), "2");  // FULL
  EXPECT_EQ(pragma(database, "foreign_keys"), "1");
  EXPECT_EQ(pragma(database, "trusted_schema"), "0");
  EXPECT_EQ(pragma(database, "application_id"), std::to_string(kId));
  EXPECT_EQ(pragma(database, "user_version"), "2");
}

TEST(OpenDatabase, MakesOwnerOnlyFiles) {
  const TempFolder folder;
  Database database = open(folder / "a.db");
  insert(database, "x", 1);
  EXPECT_EQ(mode_of(folder / "a.db"), 0600U);
  EXPECT_EQ(mode_of(folder / "a.db-wal"), 0600U);
}

TEST(OpenDatabase, TakesAccessOfOthersAway) {
  const TempFolder folder;
  { const Database database = open(folder / "a.db"); }
  chmod((folder / "a.db").c_str(), 0644);
  const Database database = open(folder / "a.db");
  EXPECT_EQ(mode_of(folder / "a.db"), 0600U);
}

TEST(OpenDatabase, EmbedsTheSqlFilesAsTheyAre) {
  const TempFolder folder;
  Database database = open(folder / "a.db");
  EXPECT_EQ(database.execAndGet("SELECT name FROM item WHERE id = 1").getString(), "a[0];b\\c${d}");
  ASSERT_EQ(schema().size(), 2U);
  std::ifstream file{KEYFERRY_SOURCE_DIR "/tests/wrap/store/schema/0001_init.sql"};
  const std::string text{std::istreambuf_iterator<char>{file}, {}};
  EXPECT_EQ(schema()[0].sql, text);
}

TEST(OpenDatabase, KeepsWhatIsThereWhenOpenedAgain) {
  const TempFolder folder;
  {
    Database database = open(folder / "a.db");
    insert(database, "x", 10);
  }
  Database database = open(folder / "a.db");
  EXPECT_EQ(count(database), 2);
}

TEST(OpenDatabase, BringsAnOlderDatabaseUpToDate) {
  const TempFolder folder;
  {
    const Database database = open_database(folder / "a.db", kId, schema().first(1), Role::Writer);
  }
  Database database = open(folder / "a.db");
  EXPECT_EQ(pragma(database, "user_version"), "2");
  EXPECT_EQ(count(database), 1);
}

TEST(OpenDatabase, UndoesAMigrationThatFails) {
  const TempFolder folder;
  constexpr std::array kBroken{Migration{1, "CREATE TABLE a (b) STRICT;"}};
  EXPECT_EQ(error_of([&] {
              static_cast<void>(open_database(folder / "a.db", kId, kBroken, Role::Writer));
            }).code(),
            Code::Storage);
  Database database = open(folder / "a.db");
  EXPECT_EQ(pragma(database, "user_version"), "2");
}

TEST(OpenDatabase, UndoesAMigrationWhoseSecondStatementFails) {
  const TempFolder folder;
  constexpr std::array kBroken{
      Migration{1, "CREATE TABLE item (a INTEGER) STRICT; INSERT INTO nowhere VALUES (1);"}};
  EXPECT_EQ(error_of([&] {
              static_cast<void>(open_database(folder / "a.db", kId, kBroken, Role::Writer));
            }).code(),
            Code::Storage);
  Database database = open(folder / "a.db");
  EXPECT_EQ(count(database), 1);
}

TEST(OpenDatabase, FillsAnEmptyFileThatACutLeft) {
  const TempFolder folder;
  std::ofstream{folder / "a.db"}.flush();
  Database database = open(folder / "a.db");
  EXPECT_EQ(pragma(database, "user_version"), "2");
}

TEST(OpenDatabase, RefusesADatabaseNewerThanTheProgram) {
  const TempFolder folder;
  { const Database database = open(folder / "a.db"); }
  for (const Role role : {Role::Writer, Role::Reader}) {
    const Error error = error_of(
        [&] { static_cast<void>(open_database(folder / "a.db", kId, schema().first(1), role)); });
    EXPECT_EQ(error.code(), Code::Storage);
    EXPECT_NE(std::string{error.what()}.find("schema 2, this program knows 1"), std::string::npos)
        << error.what();
    EXPECT_FALSE(error.hint().empty());
  }
}

TEST(OpenDatabase, RefusesAnotherApplicationsDatabase) {
  const TempFolder folder;
  { const Database database = open(folder / "a.db"); }
  const auto open_other = [&] {
    static_cast<void>(
        open_database(folder / "a.db", application_id("KFyy"), schema(), Role::Writer));
  };
  EXPECT_EQ(error_of(open_other).code(), Code::Storage);

  {
    SQLite::Database foreign{(folder / "b.db").string(),
                             SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE};
    foreign.exec("CREATE TABLE theirs (a)");
  }
  EXPECT_EQ(error_of([&] { static_cast<void>(open(folder / "b.db")); }).code(), Code::Storage);
  SQLite::Database foreign{(folder / "b.db").string(), SQLite::OPEN_READONLY};
  EXPECT_EQ(foreign.execAndGet("PRAGMA application_id").getInt(), 0);
}

TEST(OpenDatabase, RefusesWhatIsNoDatabase) {
  const TempFolder folder;
  std::ofstream{folder / "a.db"} << std::string(4096, 'x');
  const Error error = error_of([&] { static_cast<void>(open(folder / "a.db")); });
  EXPECT_EQ(error.code(), Code::Storage);
  EXPECT_EQ(error.hint(), "the file is no database: is the path right?");
}

TEST(OpenDatabase, RefusesLinksAndFolders) {
  const TempFolder folder;
  { const Database database = open(folder / "a.db"); }
  std::filesystem::create_symlink(folder / "a.db", folder / "link.db");
  EXPECT_EQ(error_of([&] { static_cast<void>(open(folder / "link.db")); }).code(), Code::Storage);
  EXPECT_EQ(error_of([&] { static_cast<void>(open(folder.path())); }).code(), Code::Storage);
}

TEST(OpenDatabase, NeedsItsFolder) {
  const TempFolder folder;
  EXPECT_EQ(error_of([&] { static_cast<void>(open(folder / "no/a.db")); }).code(), Code::Storage);
}

TEST(OpenDatabase, NumbersMigrationsFromOneWithoutGaps) {
  const TempFolder folder;
  constexpr std::array kGap{Migration{2, ""}};
  EXPECT_EQ(error_of([&] {
              static_cast<void>(open_database(folder / "a.db", kId, kGap, Role::Writer));
            }).code(),
            Code::Internal);
}

TEST(Reader, SeesButDoesNotWrite) {
  const TempFolder folder;
  Database writer = open(folder / "a.db");
  insert(writer, "x", 1);
  Database reader = open(folder / "a.db", Role::Reader);
  EXPECT_EQ(count(reader), 2);
  const Error error = error_of([&] { guarded("test", [&] { insert(reader, "y", 1); }); });
  EXPECT_EQ(error.code(), Code::Storage);
}

TEST(Reader, NeedsADatabaseOfItsOwnSchema) {
  const TempFolder folder;
  EXPECT_EQ(error_of([&] { static_cast<void>(open(folder / "a.db", Role::Reader)); }).code(),
            Code::NotFound);
  {
    const Database database = open_database(folder / "a.db", kId, schema().first(1), Role::Writer);
  }
  const Error error = error_of([&] { static_cast<void>(open(folder / "a.db", Role::Reader)); });
  EXPECT_EQ(error.code(), Code::Storage);
  EXPECT_FALSE(error.hint().empty());
}

TEST(WriteTransaction, RollsBackUnlessCommitted) {
  const TempFolder folder;
  Database database = open(folder / "a.db");
  {
    const WriteTransaction transaction{database};
    insert(database, "lost", 1);
  }
  EXPECT_EQ(count(database), 1);
  {
    WriteTransaction transaction{database};
    insert(database, "kept", 1);
    transaction.commit();
  }
  EXPECT_EQ(count(database), 2);
}

TEST(WriteTransaction, TakesTheWriteLockAtOnce) {
  const TempFolder folder;
  Database first = open(folder / "a.db");
  Database second = open(folder / "a.db");
  second.setBusyTimeout(1);
  const WriteTransaction transaction{first};
  const Error error =
      error_of([&] { guarded("second writer", [&] { const WriteTransaction late{second}; }); });
  EXPECT_EQ(error.code(), Code::Storage);
  EXPECT_TRUE(std::string{error.what()}.starts_with("second writer: "));
  EXPECT_NE(error.hint().find("another keyferry program"), std::string::npos);
}

TEST(FullDisk, IsAnErrorWithAHintAndUndoesTheTransaction) {
  const TempFolder folder;
  Database database = open(folder / "a.db");
  database.exec("PRAGMA max_page_count=40");
  const Error error = error_of([&] {
    guarded("add items", [&] {
      WriteTransaction transaction{database};
      for (int i = 0; i < 100; ++i) insert(database, "x", 8000);
      transaction.commit();
    });
  });
  EXPECT_EQ(error.code(), Code::Storage);
  EXPECT_NE(error.hint().find("make room"), std::string::npos) << error.what();
  EXPECT_EQ(count(database), 1);
  insert(database, "small", 1);  // the database goes on working
  EXPECT_EQ(count(database), 2);
}

TEST(Guarded, GivesBackWhatTheBodyGives) {
  EXPECT_EQ(guarded("test", [] { return 7; }), 7);
  int value = 1;
  guarded("test", [&]() -> int& { return value; }) = 2;
  EXPECT_EQ(value, 2);
}

TEST(Blobs, ComeBackAsTheyWere) {
  const TempFolder folder;
  Database database = open(folder / "a.db");
  insert(database, "empty", 0);
  SQLite::Statement statement{database,
                              "SELECT body FROM item WHERE name = 'empty' OR id = 1 ORDER BY id"};
  ASSERT_TRUE(statement.executeStep());
  EXPECT_EQ(column_blob(statement, 0), Bytes{0});
  ASSERT_TRUE(statement.executeStep());
  EXPECT_EQ(column_blob(statement, 0), Bytes{});
}

TEST(CheckIntegrity, AcceptsASoundDatabase) {
  const TempFolder folder;
  Database database = open(folder / "a.db");
  EXPECT_NO_THROW(check_integrity(database));
}

TEST(CheckIntegrity, FindsARowThatRefersToNothing) {
  const TempFolder folder;
  Database database = open(folder / "a.db");
  database.exec("PRAGMA foreign_keys=OFF");
  database.exec("INSERT INTO note VALUES (99, 'x')");
  EXPECT_EQ(error_of([&] { check_integrity(database); }).code(), Code::Storage);
}

TEST(CheckIntegrity, FindsADamagedPage) {
  const TempFolder folder;
  {
    Database database = open(folder / "a.db");
    for (int i = 0; i < 50; ++i) insert(database, "x", 1000);
    database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  }
  {
    std::fstream file{folder / "a.db", std::ios::in | std::ios::out | std::ios::binary};
    file.seekp(3 * 4096);
    file << std::string(8192, '\xff');
  }
  Database database = open(folder / "a.db");
  EXPECT_EQ(error_of([&] { guarded("check", [&] { check_integrity(database); }); }).code(),
            Code::Storage);
}

}  // namespace
}  // namespace keyferry::store
