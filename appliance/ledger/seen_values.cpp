#include "appliance/ledger/seen_values.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <span>
#include <string>

#include "wrap/base/error.h"
#include "wrap/crypto/hash.h"

namespace keyferry::appliance {
namespace {

constexpr const char* kPublicKeys = "seen_public_key";
constexpr const char* kSerials = "seen_serial";
/// Records in runs before they move: each page of a large table is then written once for many of them.
constexpr std::size_t kRecordsInRuns = 131'072;
/// Measured: 1.6 us an id one by one, 0.6 us by 64, and no less by more.
constexpr std::size_t kSearchedAtOnce = 64;

ByteView octets_of(const std::vector<SeenId>& ids) {
  return {ids.front().data(), ids.size() * sizeof(SeenId)};
}

void append_run(ByteView run, std::vector<SeenId>& ids) {
  for (; !run.empty(); run = run.subspan(sizeof(SeenId))) {
    std::ranges::copy(run.first(sizeof(SeenId)), ids.emplace_back().begin());
  }
}

/// Looks in `table` for `count` ids at a time.
SQLite::Statement search(store::Database& database, const char* table, std::size_t count) {
  std::string sql = "SELECT 1 FROM (VALUES (?)";
  for (std::size_t i = 1; i < count; ++i) sql += ", (?)";
  return {database, fmt::format("{}) AS added JOIN {} AS seen ON seen.id = added.column1 LIMIT 1", sql, table)};
}

void refuse_known(store::Database& database,
                  const char* table,
                  const std::vector<SeenId>& recent,
                  const std::vector<SeenId>& added) {
  if (std::ranges::adjacent_find(added) != added.end()) throw SeenBefore{table};
  for (const SeenId& id : added) {
    if (std::ranges::binary_search(recent, id)) throw SeenBefore{table};
  }
  std::optional<SQLite::Statement> known;
  for (std::span<const SeenId> left{added}; !left.empty();) {
    const auto some = left.first(std::min(left.size(), kSearchedAtOnce));
    if (!known || some.size() != kSearchedAtOnce) known.emplace(search(database, table, some.size()));
    for (std::size_t i = 0; i < some.size(); ++i)
      known->bindNoCopy(static_cast<int>(i + 1), some[i].data(), static_cast<int>(some[i].size()));
    if (known->executeStep()) throw SeenBefore{table};
    known->reset();
    left = left.subspan(some.size());
  }
}

void merge(std::vector<SeenId>& all, const std::vector<SeenId>& added) {
  const auto middle = static_cast<std::ptrdiff_t>(all.size());
  all.insert(all.end(), added.begin(), added.end());
  std::inplace_merge(all.begin(), all.begin() + middle, all.end());
}

void insert_all(store::Database& database, const char* table, const std::vector<SeenId>& ids) {
  SQLite::Statement insert{database, fmt::format("INSERT INTO {} (id) VALUES (?)", table)};
  for (const SeenId& id : ids) {
    insert.bindNoCopy(1, id.data(), static_cast<int>(id.size()));
    insert.exec();
    insert.reset();
  }
}

}  // namespace

SeenId seen_public_key(ByteView point) {
  SeenId id;
  std::ranges::copy(crypto::sha256(point).bytes().first(id.size()), id.begin());
  return id;
}

SeenValues::SeenValues(store::Database& database) : database_{database} {
  SQLite::Statement query{database_, "SELECT public_keys, serials FROM seen_run"};
  while (query.executeStep()) {
    append_run(store::column_blob(query, 0), public_keys_);
    append_run(store::column_blob(query, 1), serials_);
  }
  std::ranges::sort(public_keys_);
  std::ranges::sort(serials_);
}

void SeenValues::add(std::vector<SeenId> public_keys, std::vector<SeenId> serials) {
  if (public_keys.empty() || public_keys.size() != serials.size()) {
    throw Error{Code::Internal, "ledger: keys and serials of a segment do not correspond"};
  }
  std::ranges::sort(public_keys);
  std::ranges::sort(serials);
  refuse_known(database_, kPublicKeys, public_keys_, public_keys);
  refuse_known(database_, kSerials, serials_, serials);
  SQLite::Statement insert{database_, "INSERT INTO seen_run (public_keys, serials) VALUES (:keys, :serials)"};
  store::bind_blob(insert, ":keys", octets_of(public_keys));
  store::bind_blob(insert, ":serials", octets_of(serials));
  insert.exec();
  merge(public_keys_, public_keys);
  merge(serials_, serials);
  if (public_keys_.size() >= kRecordsInRuns) move_runs();
}

void SeenValues::move_runs() {
  insert_all(database_, kPublicKeys, public_keys_);
  insert_all(database_, kSerials, serials_);
  database_.exec("DELETE FROM seen_run");
  public_keys_.clear();
  serials_.clear();
}

}  // namespace keyferry::appliance
