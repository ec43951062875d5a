#include <utility>

#include "station-agent/store.h"
#include "station-agent/store_rows.h"
#include "wrap/base/cut.h"

namespace keyferry::station {

using store::bind_blob;
using store::column_blob;
using store::WriteTransaction;

LogState Store::log_state() const {
  return locked("station store: read the log's state", [&] {
    SQLite::Statement query{database_, "SELECT generation, frontier FROM log_state"};
    if (!query.executeStep())
      throw Error{Code::Storage, "the station's log was never opened", "run init again"};
    return LogState{u32_column(query, 0), sound(audit::Frontier::parse(column_blob(query, 1)))};
  });
}

/// Inside the caller's transaction: a leaf is there with what it tells, or neither is.
std::uint64_t Store::append_leaf(const token::StationLeaf& leaf) {
  LogState log = log_state();
  const std::uint64_t position = log.frontier.size();
  const Bytes octets = token::serialise_leaf(leaf);
  const Digest hash = audit::leaf_hash(octets);
  SQLite::Statement insert{
      database_, "INSERT INTO leaf (position, leaf, leaf_hash) VALUES (:position, :leaf, :hash)"};
  insert.bind(":position", static_cast<std::int64_t>(position));
  bind_blob(insert, ":leaf", octets);
  bind_blob(insert, ":hash", hash.bytes());
  insert.exec();
  log.frontier.append(hash);
  const Bytes frontier = log.frontier.serialise();
  SQLite::Statement update{database_, "UPDATE log_state SET frontier = :frontier"};
  bind_blob(update, ":frontier", frontier);
  update.exec();
  return position;
}

void Store::append_event(const std::string& text) {
  append_leaf(token::StationLeaf{clock_.now(), token::EventLeaf{text}});
}

std::optional<Digest> Store::root_at(std::uint64_t size) const {
  return locked("station store: hash the log", [&]() -> std::optional<Digest> {
    const LogState log = log_state();
    if (size > log.frontier.size()) return std::nullopt;
    if (size == log.frontier.size()) return log.frontier.root();
    SQLite::Statement query{database_,
                            "SELECT leaf_hash FROM leaf WHERE position < :size ORDER BY position"};
    query.bind(":size", static_cast<std::int64_t>(size));
    audit::Frontier frontier;
    while (query.executeStep()) frontier.append(id_column<Digest>(query, 0));
    return frontier.root();
  });
}

std::vector<token::ReceiptEntry> Store::entries(std::uint64_t from, std::uint64_t limit) const {
  return locked("station store: read the log", [&] {
    SQLite::Statement query{
        database_,
        "SELECT leaf, signature, attestation FROM leaf WHERE position >= :from ORDER BY position "
        "LIMIT :limit"};
    query.bind(":from", static_cast<std::int64_t>(from));
    query.bind(":limit", static_cast<std::int64_t>(limit));
    std::vector<token::ReceiptEntry> found;
    const auto blob_or_none = [&](int column) {
      return query.getColumn(column).isNull() ? Bytes{} : column_blob(query, column);
    };
    while (query.executeStep())
      found.push_back({column_blob(query, 0), blob_or_none(1), blob_or_none(2)});
    return found;
  });
}

std::uint64_t Store::acknowledged() const {
  return locked("station store: read what the appliance has", [&] {
    SQLite::Statement query{database_, "SELECT coalesce(max(acknowledged), 0) FROM batch"};
    query.executeStep();
    return unsigned_column(query, 0);
  });
}

std::optional<UnloadedRange> Store::unloaded(std::uint64_t from, std::uint64_t to) const {
  return locked("station store: read what was unloaded", [&]() -> std::optional<UnloadedRange> {
    SQLite::Statement query{
        database_,
        "SELECT generation, container_id, digest FROM unloaded WHERE from_size = :from AND to_size "
        "= :to ORDER BY generation DESC LIMIT 1"};
    query.bind(":from", static_cast<std::int64_t>(from));
    query.bind(":to", static_cast<std::int64_t>(to));
    if (!query.executeStep()) return std::nullopt;
    return UnloadedRange{u32_column(query, 0),
                         from,
                         to,
                         id_column<ContainerId>(query, 1),
                         id_column<Digest>(query, 2)};
  });
}

void Store::set_unloaded(const UnloadedRange& range) {
  locked("station store: note what is unloaded", [&] {
    WriteTransaction transaction{database_};
    SQLite::Statement insert{database_,
                             "INSERT OR REPLACE INTO unloaded VALUES (:generation, :from, :to, "
                             ":container, :digest, :now)"};
    insert.bind(":generation", range.generation);
    insert.bind(":from", static_cast<std::int64_t>(range.from_size));
    insert.bind(":to", static_cast<std::int64_t>(range.to_size));
    bind_blob(insert, ":container", range.container_id.bytes());
    bind_blob(insert, ":digest", range.digest.bytes());
    insert.bind(":now", static_cast<std::int64_t>(clock_.now().value));
    insert.exec();
    transaction.commit();
  });
}

}  // namespace keyferry::station
