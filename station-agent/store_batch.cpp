#include <utility>

#include "station-agent/store.h"
#include "station-agent/store_rows.h"
#include "wrap/crypto/hash.h"
#include "wrap/x509/path.h"

namespace keyferry::station {

using store::bind_blob;
using store::column_blob;
using store::WriteTransaction;

namespace {

constexpr int kConstraintViolated = 19;  // SQLITE_CONSTRAINT, sqlite.org/rescode.html

void add_container(store::Database& database,
                   const ContainerId& id,
                   const Digest& digest,
                   const char* type,
                   const BatchId& batch_id,
                   UtcMillis now) {
  SQLite::Statement insert{database,
                           "INSERT INTO container VALUES (:id, :digest, :type, :batch, :now)"};
  bind_blob(insert, ":id", id.bytes());
  bind_blob(insert, ":digest", digest.bytes());
  insert.bind(":type", type);
  bind_blob(insert, ":batch", batch_id.bytes());
  insert.bind(":now", static_cast<std::int64_t>(now.value));
  insert.exec();
}

void add_anchors(store::Database& database, const token::Manifest& manifest) {
  SQLite::Statement insert{database, "INSERT INTO batch_anchor VALUES (:batch, :number, :der)"};
  int number = 0;
  for (const Bytes& der : manifest.anchors) {
    bind_blob(insert, ":batch", manifest.batch_id.bytes());
    insert.bind(":number", number++);
    bind_blob(insert, ":der", der);
    insert.exec();
    insert.reset();
  }
}

void add_declaration(store::Database& database, const token::Manifest& manifest) {
  if (manifest.certification_declaration.empty()) return;
  SQLite::Statement insert{database, "INSERT INTO batch_declaration VALUES (:batch, :cms, :signer)"};
  bind_blob(insert, ":batch", manifest.batch_id.bytes());
  bind_blob(insert, ":cms", manifest.certification_declaration);
  if (!manifest.declaration_signer.empty())
    bind_blob(insert, ":signer", manifest.declaration_signer);
  insert.exec();
}

void add_segments(store::Database& database, const token::Manifest& manifest) {
  SQLite::Statement insert{database,
                           "INSERT INTO segment VALUES (:batch, :index, :container, :digest, "
                           ":count, :first_no, :first, :last, NULL)"};
  for (const token::SegmentLine& line : manifest.segments) {
    bind_blob(insert, ":batch", manifest.batch_id.bytes());
    insert.bind(":index", line.index.value);
    bind_blob(insert, ":container", line.container_id.bytes());
    bind_blob(insert, ":digest", line.digest.bytes());
    insert.bind(":count", line.count);
    insert.bind(":first_no", line.first_record_no.value);
    bind_blob(insert, ":first", line.first_se_serial.bytes());
    bind_blob(insert, ":last", line.last_se_serial.bytes());
    insert.exec();
    insert.reset();
  }
}

/// What is not bound is NULL.
void bind_line_checks(SQLite::Statement& insert, const std::optional<token::LineChecks>& checks) {
  if (!checks) return;
  insert.bind(":chain_time", static_cast<std::int64_t>(checks->chain_time));
  insert.bind(":issuing", checks->issuing.value);
  insert.bind(":skew", checks->clock_skew_s);
  if (checks->secure_boot_key_sha256)
    bind_blob(insert, ":boot_key", checks->secure_boot_key_sha256->bytes());
}

/// Columns `first` to `first` + 3.
std::optional<token::LineChecks> line_checks_in(SQLite::Statement& row, int first) {
  if (row.getColumn(first).isNull()) return std::nullopt;
  token::LineChecks checks{
      row.getColumn(first).getInt() == 1 ? token::ChainTime::Now : token::ChainTime::Issuing,
      UtcMillis{row.getColumn(first + 1).getInt64()},
      u32_column(row, first + 2)};
  if (!row.getColumn(first + 3).isNull())
    checks.secure_boot_key_sha256 = id_column<Digest>(row, first + 3);
  return checks;
}

}  // namespace

std::optional<Digest> Store::container_digest(const ContainerId& id) const {
  return locked("station store: look up a container", [&]() -> std::optional<Digest> {
    SQLite::Statement query{database_, "SELECT digest FROM container WHERE container_id = :id"};
    bind_blob(query, ":id", id.bytes());
    if (!query.executeStep()) return std::nullopt;
    return id_column<Digest>(query, 0);
  });
}

void Store::add_manifest(const token::Manifest& manifest,
                         const ContainerId& id,
                         const Digest& digest) {
  locked("station store: add a manifest", [&] {
    WriteTransaction transaction{database_};
    add_container(database_, id, digest, "manifest", manifest.batch_id, clock_.now());
    SQLite::Statement insert{
        database_,
        "INSERT INTO batch VALUES (:batch, :container, :digest, :site, :customer, :family, :mode, "
        ":key_name, :se_count, :target_count, :acknowledged, :now, :firmware, "
        ":chain_time, :issuing, :skew, :boot_key)"};
    bind_blob(insert, ":batch", manifest.batch_id.bytes());
    bind_blob(insert, ":container", id.bytes());
    bind_blob(insert, ":digest", digest.bytes());
    insert.bind(":site", manifest.site);
    insert.bind(":customer", manifest.customer);
    insert.bind(":family", std::string{token::name_of(manifest.family)});
    insert.bind(":mode", std::string{token::name_of(manifest.mode)});
    insert.bind(":key_name", manifest.key_name);
    insert.bind(":se_count", manifest.se_count);
    insert.bind(":target_count",
                manifest.target_count == 0 ? manifest.se_count : manifest.target_count);
    insert.bind(":acknowledged",
                static_cast<std::int64_t>(manifest.station_log ? manifest.station_log->size : 0));
    insert.bind(":now", static_cast<std::int64_t>(clock_.now().value));
    if (manifest.firmware_sha256) {
      bind_blob(insert, ":firmware", manifest.firmware_sha256->bytes());
    } else {
      insert.bind(":firmware");
    }
    bind_line_checks(insert, manifest.line_checks);
    insert.exec();
    add_anchors(database_, manifest);
    add_declaration(database_, manifest);
    add_segments(database_, manifest);
    append_event("batch.manifest " + manifest.batch_id.hex());
    transaction.commit();
  });
}

std::vector<BatchId> Store::batches() const {
  return locked("station store: list the batches", [&] {
    SQLite::Statement query{database_, "SELECT batch_id FROM batch ORDER BY batch_id"};
    std::vector<BatchId> found;
    while (query.executeStep()) found.push_back(id_column<BatchId>(query, 0));
    return found;
  });
}

std::optional<BatchFacts> Store::batch(const BatchId& id) const {
  return locked("station store: read a batch", [&]() -> std::optional<BatchFacts> {
    SQLite::Statement query{database_,
                            "SELECT manifest_digest, site, customer, key_name, se_count, "
                            "target_count, firmware_sha256, "
                            "family, chain_time, issuing_ms, clock_skew_s, secure_boot_key_sha256 "
                            "FROM batch WHERE batch_id = :batch"};
    bind_blob(query, ":batch", id.bytes());
    if (!query.executeStep()) return std::nullopt;
    BatchFacts facts{id,
                     id_column<Digest>(query, 0),
                     query.getColumn(1).getString(),
                     query.getColumn(2).getString(),
                     sound(token::family_from_name(query.getColumn(7).getString())),
                     query.getColumn(3).getString(),
                     u32_column(query, 4),
                     u32_column(query, 5),
                     {}};
    if (!query.getColumn(6).isNull()) facts.firmware_sha256 = id_column<Digest>(query, 6);
    facts.line_checks = line_checks_in(query, 8);
    SQLite::Statement anchors{
        database_, "SELECT der FROM batch_anchor WHERE batch_id = :batch ORDER BY number"};
    bind_blob(anchors, ":batch", id.bytes());
    while (anchors.executeStep()) facts.anchors.push_back(column_blob(anchors, 0));
    return facts;
  });
}

std::optional<BatchDeclaration> Store::declaration(const BatchId& id) const {
  return locked("station store: read a batch's declaration",
                [&]() -> std::optional<BatchDeclaration> {
                  SQLite::Statement query{
                      database_,
                      "SELECT cms, signer FROM batch_declaration WHERE batch_id = :batch"};
                  bind_blob(query, ":batch", id.bytes());
                  if (!query.executeStep()) return std::nullopt;
                  BatchDeclaration found{column_blob(query, 0)};
                  if (!query.getColumn(1).isNull()) found.signer = column_blob(query, 1);
                  return found;
                });
}

std::vector<SegmentFacts> Store::segments(const BatchId& id) const {
  return locked("station store: read the segments", [&] {
    SQLite::Statement query{
        database_,
        "SELECT segment_index, container_id, digest, record_count, first_record_no, "
        "first_se_serial, last_se_serial, loaded_ms FROM segment WHERE batch_id = :batch ORDER BY "
        "segment_index"};
    bind_blob(query, ":batch", id.bytes());
    std::vector<SegmentFacts> found;
    while (query.executeStep()) {
      found.push_back({token::SegmentLine{SegmentIndex{u32_column(query, 0)},
                                          id_column<ContainerId>(query, 1),
                                          id_column<Digest>(query, 2),
                                          u32_column(query, 3),
                                          RecordNo{u32_column(query, 4)},
                                          id_column<SeSerial>(query, 5),
                                          id_column<SeSerial>(query, 6)},
                       !query.getColumn(7).isNull()});
    }
    return found;
  });
}

Store::SegmentLoad::SegmentLoad(Store& store, const BatchId& batch_id, SegmentIndex index)
    : store_{store},
      transaction_{store.database_},
      batch_id_{batch_id},
      index_{index},
      insert_{store.database_,
              "INSERT INTO record (batch_id, record_no, segment_index, family, se_serial, "
              "key_name, device_serial, "
              "generation, payload, public_key, certificate, certificate_serial, chain_sha256, "
              "challenge, state) VALUES "
              "(:batch, :no, :segment, :family, :serial, :key_name, :device, :generation, "
              ":payload, :public_key, "
              ":certificate, :certificate_serial, :chain, :challenge, 'loaded')"} {}

std::optional<Refusal> Store::SegmentLoad::add(const token::Record& record) {
  return store_.locked("station store: add a record", [&]() -> std::optional<Refusal> {
    const auto certificate = x509::parse_certificate(record.certificate);
    if (const auto* refusal = std::get_if<Refusal>(&certificate)) return *refusal;
    const auto& facts = std::get<x509::CertificateFacts>(certificate);
    if (facts.key != record.public_key) {
      return Refusal{"certificate-key",
                     "a record's certificate is for another key than the record's"};
    }
    Bytes chain;
    for (const Bytes& issuer : record.issuers) append_u16be_prefixed(chain, issuer);
    if (chain != last_chain_) {
      last_chain_sha256_ = crypto::sha256(chain);
      SQLite::Statement keep{store_.database_,
                             "INSERT OR IGNORE INTO chain VALUES (:sha256, :chain)"};
      bind_blob(keep, ":sha256", last_chain_sha256_.bytes());
      bind_blob(keep, ":chain", chain);
      keep.exec();
      last_chain_ = chain;
    }
    insert_.reset();
    bind_blob(insert_, ":batch", batch_id_.bytes());
    insert_.bind(":no", record.record_no.value);
    insert_.bind(":segment", index_.value);
    insert_.bind(":family", std::string{token::name_of(record.family)});
    bind_blob(insert_, ":serial", record.se_serial.bytes());
    insert_.bind(":key_name", record.key_name);
    insert_.bind(":device", record.device_serial);
    insert_.bind(":generation", record.generation);
    bind_blob(insert_, ":payload", record.payload);
    bind_blob(insert_, ":public_key", record.public_key.point());
    bind_blob(insert_, ":certificate", record.certificate);
    bind_blob(insert_, ":certificate_serial", facts.serial);
    bind_blob(insert_, ":chain", last_chain_sha256_.bytes());
    bind_blob(insert_, ":challenge", record.challenge.bytes());
    try {
      insert_.exec();
    } catch (const SQLite::Exception& failure) {
      if (failure.getErrorCode() != kConstraintViolated) throw;
      return Refusal{
          "record-twice",
          "record " + std::to_string(record.record_no.value) +
              ": its number, its key, or its SE with key name and generation is here already"};
    }
    return std::nullopt;
  });
}

void Store::SegmentLoad::commit(const ContainerId& id, const Digest& digest) {
  store_.locked("station store: add a segment", [&] {
    add_container(store_.database_, id, digest, "segment", batch_id_, store_.clock_.now());
    SQLite::Statement update{
        store_.database_,
        "UPDATE segment SET loaded_ms = :now WHERE batch_id = :batch AND segment_index = :index"};
    update.bind(":now", static_cast<std::int64_t>(store_.clock_.now().value));
    bind_blob(update, ":batch", batch_id_.bytes());
    update.bind(":index", index_.value);
    update.exec();
    store_.append_event("segment.loaded " + batch_id_.hex() + "-" + std::to_string(index_.value));
    transaction_.commit();
  });
}

}  // namespace keyferry::station
