#include "station-agent/store.h"

#include <utility>

#include "station-agent/schema.h"
#include "station-agent/store_rows.h"

namespace keyferry::station {

using store::bind_blob;
using store::column_blob;
using store::WriteTransaction;

std::uint64_t StateCounts::of(RecordState state) const {
  const auto found = by_state.find(state);
  return found == by_state.end() ? 0 : found->second;
}

std::uint64_t StateCounts::total() const {
  std::uint64_t sum = 0;
  for (const auto& [state, count] : by_state) sum += count;
  return sum;
}

Store::Store(const std::filesystem::path& path, store::Role role, const Clock& clock)
    : clock_{clock},
      database_{store::open_database(path, kApplicationId, station_migrations(), role)} {}

std::optional<StationFacts> Store::station() const {
  return locked("station store: read the identity", [&]() -> std::optional<StationFacts> {
    SQLite::Statement query{
        database_,
        "SELECT station_id, name, site, environment, signing_key, agreement_key FROM station"};
    if (!query.executeStep()) return std::nullopt;
    return StationFacts{id_column<StationId>(query, 0),
                        query.getColumn(1).getString(),
                        query.getColumn(2).getString(),
                        sound(token::environment_from_name(query.getColumn(3).getString())),
                        key_column(query, 4),
                        key_column(query, 5)};
  });
}

void Store::set_station(const StationFacts& facts) {
  locked("station store: write the identity", [&] {
    WriteTransaction transaction{database_};
    SQLite::Statement insert{database_,
                             "INSERT INTO station VALUES (1, :id, :name, :site, :environment, "
                             ":signing, :agreement, :now)"};
    bind_blob(insert, ":id", facts.station_id.bytes());
    insert.bind(":name", facts.name);
    insert.bind(":site", facts.site);
    insert.bind(":environment", std::string{token::name_of(facts.environment)});
    bind_blob(insert, ":signing", facts.signing_key.point());
    bind_blob(insert, ":agreement", facts.agreement_key.point());
    insert.bind(":now", static_cast<std::int64_t>(clock_.now().value));
    insert.exec();
    SQLite::Statement log{database_, "INSERT INTO log_state VALUES (1, 1, :frontier)"};
    const Bytes empty = audit::Frontier{}.serialise();
    bind_blob(log, ":frontier", empty);
    log.exec();
    append_event("log.opened");
    transaction.commit();
  });
}

std::optional<StoredRequest> Store::request() const {
  return locked(
      "station store: read the enrolment request", [&]() -> std::optional<StoredRequest> {
        SQLite::Statement query{database_, "SELECT request, request_sha256 FROM enrolment_request"};
        if (!query.executeStep()) return std::nullopt;
        return StoredRequest{column_blob(query, 0), id_column<Digest>(query, 1)};
      });
}

void Store::set_request(const StoredRequest& request) {
  locked("station store: write the enrolment request", [&] {
    WriteTransaction transaction{database_};
    SQLite::Statement insert{database_,
                             "INSERT INTO enrolment_request VALUES (1, :request, :sha256)"};
    bind_blob(insert, ":request", request.request);
    bind_blob(insert, ":sha256", request.sha256.bytes());
    insert.exec();
    transaction.commit();
  });
}

std::optional<PinnedAppliance> Store::appliance() const {
  return locked("station store: read the appliance", [&]() -> std::optional<PinnedAppliance> {
    SQLite::Statement query{
        database_, "SELECT appliance_id, name, log_key, export_key, inbox_key FROM appliance"};
    if (!query.executeStep()) return std::nullopt;
    return PinnedAppliance{id_column<ApplianceId>(query, 0),
                           query.getColumn(1).getString(),
                           key_column(query, 2),
                           key_column(query, 3),
                           key_column(query, 4)};
  });
}

void Store::pin_appliance(const PinnedAppliance& appliance, ByteView answer) {
  locked("station store: pin the appliance", [&] {
    WriteTransaction transaction{database_};
    if (const auto pinned = this->appliance()) {
      const bool same = pinned->appliance_id == appliance.appliance_id &&
                        pinned->export_key == appliance.export_key &&
                        pinned->inbox_key == appliance.inbox_key;
      if (same) return;
      throw Error{Code::Refused,
                  "another appliance is pinned: " + pinned->appliance_id.hex(),
                  "a station belongs to one appliance; make a new home for another one"};
    }
    SQLite::Statement insert{
        database_,
        "INSERT INTO appliance VALUES (1, :id, :name, :log, :export, :inbox, :answer, :now)"};
    bind_blob(insert, ":id", appliance.appliance_id.bytes());
    insert.bind(":name", appliance.name);
    bind_blob(insert, ":log", appliance.log_key.point());
    bind_blob(insert, ":export", appliance.export_key.point());
    bind_blob(insert, ":inbox", appliance.inbox_key.point());
    bind_blob(insert, ":answer", answer);
    insert.bind(":now", static_cast<std::int64_t>(clock_.now().value));
    insert.exec();
    append_event("station.enrolled " + appliance.appliance_id.hex());
    transaction.commit();
  });
}

std::optional<SeenCheckpoint> Store::checkpoint() const {
  return locked("station store: read the checkpoint", [&]() -> std::optional<SeenCheckpoint> {
    SQLite::Statement query{database_, "SELECT size, root, note FROM appliance_checkpoint"};
    if (!query.executeStep()) return std::nullopt;
    return SeenCheckpoint{
        unsigned_column(query, 0), id_column<Digest>(query, 1), query.getColumn(2).getString()};
  });
}

void Store::set_checkpoint(const SeenCheckpoint& checkpoint) {
  locked("station store: write the checkpoint", [&] {
    WriteTransaction transaction{database_};
    SQLite::Statement upsert{
        database_,
        "INSERT INTO appliance_checkpoint VALUES (1, :size, :root, :note) ON CONFLICT (one) DO "
        "UPDATE SET size = :size, root = :root, note = :note WHERE :size > size"};
    upsert.bind(":size", static_cast<std::int64_t>(checkpoint.size));
    bind_blob(upsert, ":root", checkpoint.root.bytes());
    upsert.bind(":note", checkpoint.note);
    upsert.exec();
    transaction.commit();
  });
}

void Store::note_incident(const std::string& kind, const std::string& subject) {
  locked("station store: note an incident", [&] {
    WriteTransaction transaction{database_};
    SQLite::Statement insert{
        database_,
        "INSERT OR IGNORE INTO incident (time_ms, kind, subject) VALUES (:now, :kind, :subject)"};
    insert.bind(":now", static_cast<std::int64_t>(clock_.now().value));
    insert.bind(":kind", kind);
    insert.bind(":subject", subject);
    if (insert.exec() == 0) return;
    append_event("incident." + kind + " " + subject);
    transaction.commit();
  });
}

std::vector<Incident> Store::incidents() const {
  return locked("station store: read the incidents", [&] {
    SQLite::Statement query{database_, "SELECT time_ms, kind, subject FROM incident ORDER BY seq"};
    std::vector<Incident> found;
    while (query.executeStep()) {
      found.push_back({UtcMillis{query.getColumn(0).getInt64()},
                       query.getColumn(1).getString(),
                       query.getColumn(2).getString()});
    }
    return found;
  });
}

void Store::note_refusal(const std::string& what, const std::string& reason) {
  locked("station store: note a refusal", [&] {
    WriteTransaction transaction{database_};
    SQLite::Statement insert{
        database_, "INSERT INTO refusal (time_ms, what, reason) VALUES (:now, :what, :reason)"};
    insert.bind(":now", static_cast<std::int64_t>(clock_.now().value));
    insert.bind(":what", what);
    insert.bind(":reason", reason);
    insert.exec();
    database_.exec("DELETE FROM refusal WHERE seq <= (SELECT max(seq) FROM refusal) - 1000");
    transaction.commit();
  });
}

std::uint64_t Store::refusals() const {
  return locked("station store: count the refusals", [&] {
    SQLite::Statement query{database_, "SELECT count(*) FROM refusal"};
    query.executeStep();
    return unsigned_column(query, 0);
  });
}

}  // namespace keyferry::station
