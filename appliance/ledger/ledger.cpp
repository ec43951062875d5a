#include "appliance/ledger/ledger.h"

#include <fmt/format.h>

#include <charconv>
#include <utility>

#include "appliance/ledger/hsm_epochs.h"
#include "appliance/ledger/ledger_schema.h"
#include "wrap/base/cut.h"
#include "wrap/base/error.h"
#include "wrap/crypto/hash.h"

namespace keyferry::appliance {
namespace {

using store::guarded;

constexpr std::uint8_t kLeafPrefix = 0x00;  // RFC 6962 section 2.1
constexpr std::size_t kLengthBytes = 4;
/// At most; holds what a million keys were ever seen by.
constexpr int kCacheKib = 96 * 1024;
constexpr int kCheckpointPages = 8192;  // of 4 KiB

std::int64_t sql_number(std::uint64_t value) {
  return static_cast<std::int64_t>(value);
}

std::uint64_t natural(const SQLite::Column& column) {
  return static_cast<std::uint64_t>(column.getInt64());
}

Bytes packed(const std::vector<Bytes>& leaves) {
  Bytes blob;
  for (const Bytes& leaf : leaves) {
    append_u32be(blob, static_cast<std::uint32_t>(leaf.size()));
    append(blob, leaf);
  }
  return blob;
}

std::uint64_t first_number(store::Database& database, const char* sql) {
  SQLite::Statement query{database, sql};
  return query.executeStep() ? natural(query.getColumn(0)) : 0;
}

}  // namespace

std::vector<ByteView> unpacked_leaves(ByteView blob, std::uint64_t count) {
  std::vector<ByteView> leaves;
  while (blob.size() >= kLengthBytes) {
    const std::size_t length = read_u32be(blob);
    if (length > blob.size() - kLengthBytes) break;
    leaves.push_back(blob.subspan(kLengthBytes, length));
    blob = blob.subspan(kLengthBytes + length);
  }
  if (!blob.empty() || leaves.size() != count) {
    throw Error{Code::Storage,
                "ledger: a block of log leaves is damaged",
                "restore the ledger from its newest backup"};
  }
  return leaves;
}

std::uint64_t checkpoint_size(const std::string& note) {
  const std::size_t first = note.find('\n');
  const std::size_t second = first == std::string::npos ? first : note.find('\n', first + 1);
  std::uint64_t size = 0;
  if (second != std::string::npos) {
    const char* begin = note.data() + first + 1;
    const char* end = note.data() + second;
    const auto [stopped, problem] = std::from_chars(begin, end, size);
    if (problem == std::errc{} && stopped == end) return size;
  }
  throw Error{Code::Channel, "the gate sent a checkpoint that is none"};
}

Ledger::Ledger(const std::filesystem::path& file, store::Role role)
    : database_{
          store::open_database(file, store::application_id("KFld"), ledger_migrations(), role)} {
  guarded("ledger: open", [&] {
    database_.exec(fmt::format("PRAGMA cache_size=-{}", kCacheKib));
    database_.exec(fmt::format("PRAGMA wal_autocheckpoint={}", kCheckpointPages));
  });
}

void Ledger::on_action(const std::string& name, ActionHandler handler) {
  handlers_[name] = std::move(handler);
}

std::uint64_t Ledger::log_size() {
  return guarded("ledger: read the log's size", [&] {
    return first_number(
        database_, "SELECT first_index + count FROM log_block ORDER BY first_index DESC LIMIT 1");
  });
}

std::uint64_t Ledger::final_log_size() {
  return guarded("ledger: read the log's size", [&] {
    return first_number(database_,
                        "SELECT first_index + count FROM log_block WHERE state = 'final' "
                        "ORDER BY first_index DESC LIMIT 1");
  });
}

void Ledger::visit_leaves(std::uint64_t from,
                          const std::function<void(std::uint64_t, ByteView, bool)>& visit) {
  guarded("ledger: read the log", [&] {
    SQLite::Statement query{database_,
                            "SELECT first_index, count, leaves, state FROM log_block "
                            "WHERE first_index + count > :from ORDER BY first_index"};
    query.bind(":from", sql_number(from));
    while (query.executeStep()) {
      std::uint64_t index = natural(query.getColumn(0));
      const Bytes blob = store::column_blob(query, 2);
      const bool final = query.getColumn(3).getString() == "final";
      for (const ByteView leaf : unpacked_leaves(blob, natural(query.getColumn(1)))) {
        if (index >= from) visit(index, leaf, final);
        ++index;
      }
    }
  });
}

std::vector<Bytes> Ledger::leaves(std::uint64_t from, std::uint64_t to) {
  return guarded("ledger: read the log", [&] {
    std::vector<Bytes> found;
    SQLite::Statement query{database_,
                            "SELECT first_index, count, leaves FROM log_block WHERE first_index "
                            "+ count > :from AND first_index < :to ORDER BY first_index"};
    query.bind(":from", sql_number(from));
    query.bind(":to", sql_number(to));
    while (query.executeStep()) {
      std::uint64_t index = natural(query.getColumn(0));
      const Bytes blob = store::column_blob(query, 2);
      for (const ByteView leaf : unpacked_leaves(blob, natural(query.getColumn(1)))) {
        if (index >= from && index < to) found.push_back(to_bytes(leaf));
        ++index;
      }
    }
    if (from > to || found.size() != to - from) {
      throw Error{Code::Storage,
                  fmt::format("ledger: leaves {} to {} are not all there", from, to),
                  "restore the ledger from its newest backup"};
    }
    return found;
  });
}

std::vector<Digest> Ledger::leaf_hashes(std::uint64_t from, std::uint64_t to) {
  std::vector<Digest> hashes;
  hashes.reserve(to > from ? to - from : 0);
  for (const Bytes& leaf : leaves(from, to)) {
    hashes.push_back(crypto::sha256_of({ByteView{&kLeafPrefix, 1}, leaf}));
  }
  return hashes;
}

std::optional<CheckpointNote> Ledger::newest_checkpoint() {
  return guarded("ledger: read the newest checkpoint", [&]() -> std::optional<CheckpointNote> {
    SQLite::Statement query{database_,
                            "SELECT size, note FROM checkpoint ORDER BY size DESC LIMIT 1"};
    if (!query.executeStep()) return std::nullopt;
    return CheckpointNote{natural(query.getColumn(0)), query.getColumn(1).getString()};
  });
}

// --- pending -------------------------------------------------------------------------------------

void Ledger::store_pending(std::uint64_t first_leaf,
                           const std::vector<Bytes>& leaves,
                           ByteView registry,
                           const std::optional<Action>& action,
                           LogStart start) {
  guarded("ledger: store pending log leaves", [&] {
    store::WriteTransaction transaction{database_};
    if (start == LogStart::AfterLost) move_log_aside(database_);
    finalize_covered(first_leaf);
    database_.exec("DELETE FROM log_block WHERE state = 'pending'");
    if (first_leaf != log_size()) {
      throw Error{
          Code::Storage,
          fmt::format("ledger: pending leaves begin at {}, the log has {}", first_leaf, log_size()),
          "run the command again"};
    }
    add_pending(leaves, action);
    if (!registry.empty()) {
      SQLite::Statement update{
          database_, "UPDATE log_block SET registry = :registry WHERE first_index = :first"};
      store::bind_blob(update, ":registry", registry);
      update.bind(":first", sql_number(first_leaf));
      update.exec();
    }
    KF_CUT("front.ledger.pending.before-commit");
    transaction.commit();
  });
  KF_CUT("front.ledger.pending.stored");
}

std::uint64_t Ledger::add_pending(const std::vector<Bytes>& leaves,
                                  const std::optional<Action>& action) {
  return guarded("ledger: store pending log leaves", [&] {
    const std::uint64_t first = log_size();
    const Bytes blob = packed(leaves);
    SQLite::Statement insert{
        database_,
        "INSERT INTO log_block (first_index, count, leaves, state, action, action_data) "
        "VALUES (:first, :count, :leaves, 'pending', :action, :data)"};
    insert.bind(":first", sql_number(first));
    insert.bind(":count", static_cast<std::int64_t>(leaves.size()));
    store::bind_blob(insert, ":leaves", blob);
    if (action) {
      insert.bind(":action", action->name);
      store::bind_blob(insert, ":data", action->data);
    }
    insert.exec();
    return first;
  });
}

void Ledger::settle(const std::string& checkpoint_note) {
  if (checkpoint_note.empty()) return;
  guarded("ledger: make log leaves final", [&] {
    store::WriteTransaction transaction{database_};
    settle_in_transaction(checkpoint_note);
    KF_CUT("front.ledger.settle.before-commit");
    transaction.commit();
  });
  KF_CUT("front.ledger.settle.done");
}

void Ledger::settle_in_transaction(const std::string& checkpoint_note) {
  if (checkpoint_note.empty()) return;
  const std::uint64_t size = checkpoint_size(checkpoint_note);
  finalize_covered(size);
  if (size == 0) return;
  guarded("ledger: keep a checkpoint", [&] {
    SQLite::Statement insert{
        database_, "INSERT OR REPLACE INTO checkpoint (size, note) VALUES (:size, :note)"};
    insert.bind(":size", sql_number(size));
    insert.bind(":note", checkpoint_note);
    insert.exec();
  });
}

bool Ledger::reconcile(std::uint64_t hsm_log_size, const std::string& checkpoint_note) {
  return guarded("ledger: settle what was pending", [&] {
    store::WriteTransaction transaction{database_};
    finalize_covered(hsm_log_size);
    const int dropped = database_.exec("DELETE FROM log_block WHERE state = 'pending'");
    settle_in_transaction(checkpoint_note);
    KF_CUT("front.ledger.reconcile.before-commit");
    transaction.commit();
    return dropped > 0;
  });
}

void Ledger::finalize_covered(std::uint64_t covered) {
  guarded("ledger: make log leaves final", [&] {
    if (covered > log_size()) {
      throw Error{Code::Rollback,
                  fmt::format("ledger: it has {} log leaves, the HSM has {}", log_size(), covered),
                  "this ledger is an older copy: put the newest one back"};
    }
    SQLite::Statement query{database_,
                            "SELECT first_index, count, registry, action, action_data "
                            "FROM log_block WHERE state = 'pending' AND first_index < :covered"};
    query.bind(":covered", sql_number(covered));
    if (!query.executeStep()) return;
    const std::uint64_t first = natural(query.getColumn(0));
    if (first + natural(query.getColumn(1)) > covered) {
      throw Error{Code::Storage,
                  fmt::format("ledger: the HSM's log ends at {}, inside the pending "
                              "block that begins at {}",
                              covered,
                              first)};
    }
    const bool has_registry = !query.getColumn(2).isNull();
    const Bytes registry = store::column_blob(query, 2);
    std::optional<Action> action;
    if (!query.getColumn(3).isNull()) {
      action = Action{query.getColumn(3).getString(), store::column_blob(query, 4)};
    }
    query.reset();
    SQLite::Statement update{database_,
                             "UPDATE log_block SET state = 'final', registry = NULL, action = "
                             "NULL, action_data = NULL WHERE first_index = :first"};
    update.bind(":first", sql_number(first));
    update.exec();
    if (has_registry) set_registry(registry);
    if (action) apply_in_transaction(*action);
  });
}

void Ledger::apply_in_transaction(const Action& action) {
  const auto handler = handlers_.find(action.name);
  if (handler == handlers_.end()) {
    throw Error{
        Code::Storage,
        fmt::format("ledger: no part of this program knows the pending step \"{}\"", action.name),
        "use the newest program"};
  }
  handler->second(database_, action.data);
}

// --- registry ------------------------------------------------------------------------------------

std::optional<Bytes> Ledger::registry_octets() {
  return value("registry");
}

std::optional<Bytes> Ledger::pending_registry_octets() {
  return guarded("ledger: read the pending registry", [&]() -> std::optional<Bytes> {
    SQLite::Statement query{database_,
                            "SELECT registry FROM log_block WHERE state = 'pending' AND registry "
                            "IS NOT NULL"};
    if (!query.executeStep()) return std::nullopt;
    return store::column_blob(query, 0);
  });
}

Registry Ledger::registry() {
  const auto octets = registry_octets();
  return octets ? parse_registry(*octets) : Registry{};
}

// The stations are mirrored into a table so that rows about them can be held by foreign keys.
void Ledger::set_registry(ByteView octets) {
  set_value_in_transaction("registry", octets);
  SQLite::Statement mirror{
      database_,
      "INSERT INTO station (station_id, name, site, signing_key, agreement_key, retired) "
      "VALUES (:id, :name, :site, :signing, :agreement, :retired) ON CONFLICT (station_id) DO "
      "UPDATE SET name = excluded.name, site = excluded.site, signing_key = "
      "excluded.signing_key, agreement_key = excluded.agreement_key, retired = excluded.retired"};
  for (const KnownStation& station : parse_registry(octets).stations) {
    store::bind_blob(mirror, ":id", station.id.bytes());
    mirror.bind(":name", station.name);
    mirror.bind(":site", station.site);
    store::bind_blob(mirror, ":signing", station.signing_key);
    store::bind_blob(mirror, ":agreement", station.agreement_key);
    mirror.bind(":retired", station.retired ? 1 : 0);
    mirror.exec();
    mirror.reset();
  }
}

// --- small things by name ------------------------------------------------------------------------

std::optional<Bytes> Ledger::value(std::string_view key) {
  return guarded("ledger: read a setting", [&]() -> std::optional<Bytes> {
    SQLite::Statement query{database_, "SELECT value FROM meta WHERE key = :key"};
    query.bind(":key", std::string{key});
    if (!query.executeStep()) return std::nullopt;
    return store::column_blob(query, 0);
  });
}

std::optional<std::string> Ledger::text_value(std::string_view key) {
  const auto octets = value(key);
  return octets ? std::optional{to_string(*octets)} : std::nullopt;
}

void Ledger::set_value(std::string_view key, ByteView value) {
  guarded("ledger: keep a setting", [&] {
    store::WriteTransaction transaction{database_};
    set_value_in_transaction(key, value);
    transaction.commit();
  });
}

void Ledger::set_value_in_transaction(std::string_view key, ByteView value) {
  guarded("ledger: keep a setting", [&] {
    SQLite::Statement insert{database_,
                             "INSERT OR REPLACE INTO meta (key, value) VALUES (:key, :value)"};
    insert.bind(":key", std::string{key});
    store::bind_blob(insert, ":value", value);
    insert.exec();
  });
}

}  // namespace keyferry::appliance
