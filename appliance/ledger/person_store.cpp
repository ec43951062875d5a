#include "appliance/ledger/person_store.h"

namespace keyferry::appliance {
namespace {

using store::guarded;

constexpr const char* kPersonName = "person-name";
constexpr std::size_t kNumberBytes = 4;

void keep_in(store::Database& database, const PersonName& person) {
  SQLite::Statement insert{
      database, "INSERT OR REPLACE INTO person (number, salt, name) VALUES (:number, :salt, :name)"};
  insert.bind(":number", person.number);
  store::bind_blob(insert, ":salt", person.salt);
  insert.bind(":name", person.name);
  insert.exec();
}

}  // namespace

std::optional<PersonName> PersonStore::find(std::uint32_t number) {
  return guarded("ledger: read a person's name", [&]() -> std::optional<PersonName> {
    SQLite::Statement query{ledger_.database(), "SELECT salt, name FROM person WHERE number = :number"};
    query.bind(":number", number);
    if (!query.executeStep()) return std::nullopt;
    return PersonName{number, store::column_blob(query, 0), query.getColumn(1).getString()};
  });
}

void PersonStore::keep(const PersonName& person) {
  guarded("ledger: keep a person's name", [&] {
    store::WriteTransaction transaction{ledger_.database()};
    keep_in(ledger_.database(), person);
    transaction.commit();
  });
}

bool PersonStore::forget(std::uint32_t number) {
  return guarded("ledger: erase a person's name", [&] {
    store::Database& database = ledger_.database();
    database.exec("PRAGMA secure_delete = ON");
    store::WriteTransaction transaction{database};
    SQLite::Statement erase{database, "DELETE FROM person WHERE number = :number"};
    erase.bind(":number", number);
    const bool was_there = erase.exec() > 0;
    transaction.commit();
    SQLite::Statement empty_log{database, "PRAGMA wal_checkpoint(TRUNCATE)"};
    empty_log.executeStep();
    return was_there;
  });
}

std::uint32_t PersonStore::highest_number() {
  return guarded("ledger: read person numbers", [&] {
    SQLite::Statement query{ledger_.database(), "SELECT coalesce(max(number), 0) FROM person"};
    query.executeStep();
    return static_cast<std::uint32_t>(query.getColumn(0).getInt64());
  });
}

void register_person_actions(Ledger& ledger) {
  ledger.on_action(kPersonName, [](store::Database& database, ByteView data) {
    keep_in(database,
            {read_u32be(data.first(kNumberBytes)),
             to_bytes(data.subspan(kNumberBytes, kPersonSaltBytes)),
             to_string(data.subspan(kNumberBytes + kPersonSaltBytes))});
  });
}

Action person_name_action(const PersonName& person) {
  Action action{kPersonName, {}};
  append_u32be(action.data, person.number);
  append(action.data, person.salt);
  append(action.data, as_bytes(person.name));
  return action;
}

}  // namespace keyferry::appliance
