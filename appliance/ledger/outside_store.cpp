#include "appliance/ledger/outside_store.h"

#include <fmt/format.h>

#include <algorithm>

#include "appliance/ledger/part_rows.h"
#include "wrap/base/cut.h"
#include "wrap/base/error.h"
#include "wrap/crypto/hash.h"

namespace keyferry::appliance {
namespace {

using store::guarded;

void run_for(store::Database& database, const BatchId& batch, const std::string& sql) {
  SQLite::Statement statement{database, sql};
  store::bind_blob(statement, ":batch", batch.bytes());
  statement.exec();
}

/// A run holds as many of the one as of the other; a request's hash, never seen before as well, stands in for a serial.
void add_seen(SeenValues& seen, const std::vector<RequestRow>& requests) {
  std::vector<SeenId> keys(requests.size());
  std::vector<SeenId> hashes(requests.size());
  for (std::size_t i = 0; i < requests.size(); ++i) {
    keys[i] = seen_public_key(requests[i].public_key);
    std::ranges::copy(requests[i].request_sha256.bytes().first(hashes[i].size()), hashes[i].begin());
  }
  seen.add(std::move(keys), std::move(hashes));
}

void insert_requests(store::Database& database, const BatchId& batch, SegmentIndex segment,
                     const std::vector<RequestRow>& requests) {
  SQLite::Statement insert{database,
                           "INSERT INTO key_request (batch_id, record_no, segment_idx, se_id, generation, public_key, "
                           "request_sha256) VALUES (:batch, :no, :segment, :se, :generation, :key, :request)"};
  SQLite::Statement nonce{database, "INSERT INTO seen_nonce (id) VALUES (:id) ON CONFLICT DO NOTHING"};
  for (const RequestRow& row : requests) {
    store::bind_blob(insert, ":batch", batch.bytes());
    insert.bind(":no", row.record_no.value);
    insert.bind(":segment", segment.value);
    insert.bind(":se", row.se.value);
    insert.bind(":generation", row.generation);
    store::bind_blob(insert, ":key", row.public_key);
    store::bind_blob(insert, ":request", row.request_sha256.bytes());
    insert.exec();
    insert.reset();
    if (row.nonce_id.empty()) continue;
    store::bind_blob(nonce, ":id", row.nonce_id);
    if (nonce.exec() == 0) throw SeenBefore{"seen_nonce"};
    nonce.reset();
  }
}

}  // namespace

std::vector<SealedPart> OutsideStore::segments(const BatchId& batch) {
  return guarded("ledger: read a batch's waiting containers", [&] {
    std::vector<SealedPart> parts;
    SQLite::Statement query{ledger_.database(),
                            "SELECT state, count, container_id, digest, body_size_bytes, first_leaf, idx FROM "
                            "waiting_segment WHERE batch_id = :batch ORDER BY idx"};
    store::bind_blob(query, ":batch", batch.bytes());
    while (query.executeStep()) {
      parts.push_back(part_at(query, SegmentIndex{small_at(query, 6)}));
      parts.back().waiting = true;
    }
    return parts;
  });
}

std::uint64_t OutsideStore::prepare(const BatchId& batch,
                                    const SealedPart& part,
                                    const std::vector<RequestRow>& requests,
                                    const std::vector<Bytes>& leaves) {
  const std::string what = fmt::format("ledger: prepare keys of batch {}", batch.hex());
  const auto body = [&] {
    store::WriteTransaction transaction{ledger_.database()};
    const std::uint64_t first_leaf = ledger_.add_pending(leaves, std::nullopt);
    SQLite::Statement insert{ledger_.database(),
                             "INSERT INTO waiting_segment (batch_id, idx, state, count, container_id, digest, "
                             "body_size_bytes, first_leaf) VALUES (:batch, :idx, 'prepared', :count, :container, :digest, "
                             ":size, :first)"};
    store::bind_blob(insert, ":batch", batch.bytes());
    insert.bind(":idx", part.index->value);
    insert.bind(":count", part.count);
    store::bind_blob(insert, ":container", part.container.bytes());
    store::bind_blob(insert, ":digest", part.digest.bytes());
    insert.bind(":size", static_cast<std::int64_t>(part.body_size_bytes));
    insert.bind(":first", static_cast<std::int64_t>(first_leaf));
    insert.exec();
    insert_requests(ledger_.database(), batch, *part.index, requests);
    if (!seen_) seen_.emplace(ledger_.database());
    add_seen(*seen_, requests);
    KF_CUT("front.requests.before-commit");
    transaction.commit();
    return first_leaf;
  };
  const auto refuse = [&](const std::string& why) {
    return Error{Code::Refused, fmt::format("{}: a key or nonce was there before ({})", what, why),
                 "the HSM's random numbers repeat: stop using it"};
  };
  return prepare_part(seen_, what, body, refuse);
}

void OutsideStore::seal(const BatchId& batch, const SealedPart& part, ByteView trailer, const std::string& checkpoint) {
  guarded("ledger: seal a waiting container", [&] {
    store::WriteTransaction transaction{ledger_.database()};
    ledger_.settle_in_transaction(checkpoint);
    SQLite::Statement update{
        ledger_.database(),
        "UPDATE waiting_segment SET state = 'sealed', trailer = :trailer WHERE batch_id = :batch AND idx = :idx"};
    store::bind_blob(update, ":trailer", trailer);
    store::bind_blob(update, ":batch", batch.bytes());
    update.bind(":idx", part.index->value);
    update.exec();
    KF_CUT("front.waiting.before-commit");
    transaction.commit();
  });
}

void OutsideStore::drop_prepared(const BatchId& batch, const SealedPart& part) {
  guarded("ledger: drop keys that were never sealed", [&] {
    store::WriteTransaction transaction{ledger_.database()};
    for (const char* sql :
         {"DELETE FROM key_request WHERE batch_id = :batch AND segment_idx = :idx AND EXISTS (SELECT 1 FROM "
          "waiting_segment WHERE batch_id = :batch AND idx = :idx AND state = 'prepared')",
          "DELETE FROM waiting_segment WHERE batch_id = :batch AND idx = :idx AND state = 'prepared'"}) {
      SQLite::Statement remove{ledger_.database(), sql};
      store::bind_blob(remove, ":batch", batch.bytes());
      remove.bind(":idx", part.index->value);
      remove.exec();
    }
    transaction.commit();
  });
}

OutsideStore::Counts OutsideStore::counts(const BatchId& batch) {
  return guarded("ledger: count a batch's requests", [&] {
    SQLite::Statement query{ledger_.database(),
                            "SELECT count(*), count(certificate) FROM key_request JOIN waiting_segment AS s ON "
                            "s.batch_id = key_request.batch_id AND s.idx = segment_idx WHERE key_request.batch_id = :batch "
                            "AND s.state = 'sealed'"};
    store::bind_blob(query, ":batch", batch.bytes());
    query.executeStep();
    return Counts{static_cast<std::uint64_t>(query.getColumn(0).getInt64()),
                  static_cast<std::uint64_t>(query.getColumn(1).getInt64())};
  });
}

std::vector<Digest> OutsideStore::request_hashes(const BatchId& batch, SegmentIndex segment) {
  return guarded("ledger: read hashes of requests", [&] {
    std::vector<Digest> hashes;
    SQLite::Statement query{ledger_.database(),
                            "SELECT request_sha256 FROM key_request WHERE batch_id = :batch AND segment_idx = :idx AND "
                            "record_no >= :idx * (SELECT segment_size FROM batch WHERE batch_id = :batch) ORDER BY "
                            "record_no LIMIT (SELECT segment_size FROM batch WHERE batch_id = :batch)"};
    store::bind_blob(query, ":batch", batch.bytes());
    query.bind(":idx", segment.value);
    while (query.executeStep()) hashes.push_back(id_at<Digest>(query, 0));
    return hashes;
  });
}

std::optional<WaitingKey> OutsideStore::find_key(const BatchId& batch, ByteView public_key) {
  return guarded("ledger: look for a key that waits", [&]() -> std::optional<WaitingKey> {
    SQLite::Statement query{ledger_.database(),
                            "SELECT record_no, segment_idx, public_key, request_sha256, certificate IS NOT NULL FROM "
                            "key_request WHERE batch_id = :batch AND public_key = :key"};
    store::bind_blob(query, ":batch", batch.bytes());
    store::bind_blob(query, ":key", public_key);
    if (!query.executeStep()) return std::nullopt;
    return WaitingKey{.record_no = RecordNo{small_at(query, 0)},
                      .segment = SegmentIndex{small_at(query, 1)},
                      .public_key = store::column_blob(query, 2),
                      .request_sha256 = id_at<Digest>(query, 3),
                      .has_certificate = query.getColumn(4).getInt() != 0};
  });
}

std::optional<Bytes> OutsideStore::certificate(const BatchId& batch, RecordNo record) {
  return guarded("ledger: read a certificate", [&]() -> std::optional<Bytes> {
    SQLite::Statement query{
        ledger_.database(),
        "SELECT certificate FROM key_request WHERE batch_id = :batch AND record_no = :no AND certificate IS NOT NULL"};
    store::bind_blob(query, ":batch", batch.bytes());
    query.bind(":no", record.value);
    if (!query.executeStep()) return std::nullopt;
    return store::column_blob(query, 0);
  });
}

std::optional<std::string> OutsideStore::serial_taken(ByteView serial_id) {
  return guarded("ledger: look for a serial", [&]() -> std::optional<std::string> {
    SQLite::Statement query{ledger_.database(), "SELECT batch_id, record_no FROM key_request WHERE serial_id = :serial"};
    store::bind_blob(query, ":serial", serial_id);
    if (!query.executeStep()) return std::nullopt;
    return fmt::format("record {} of batch {}", small_at(query, 1), id_at<BatchId>(query, 0).hex());
  });
}

void OutsideStore::in_transaction(const std::function<bool()>& work) {
  guarded("ledger: take certificates in", [&] {
    store::WriteTransaction transaction{ledger_.database()};
    if (!work()) return;
    KF_CUT("front.certificates.before-commit");
    transaction.commit();
  });
  KF_CUT("front.certificates.taken");
}

void OutsideStore::take_in(const BatchId& batch, const TakenCertificate& certificate) {
  SQLite::Statement update{ledger_.database(),
                           "UPDATE key_request SET certificate = :der, serial_id = :serial WHERE batch_id = :batch AND "
                           "record_no = :no AND certificate IS NULL"};
  store::bind_blob(update, ":der", certificate.der);
  store::bind_blob(update, ":serial", certificate.serial_id);
  store::bind_blob(update, ":batch", batch.bytes());
  update.bind(":no", certificate.record_no.value);
  if (update.exec() != 1) throw Error{Code::Internal, "ledger: a certificate was taken in for a record that has one"};
}

std::vector<Bytes> OutsideStore::certificates(const BatchId& batch, SegmentIndex segment) {
  return guarded("ledger: read certificates", [&] {
    std::vector<Bytes> found;
    SQLite::Statement query{ledger_.database(),
                            "SELECT certificate FROM key_request WHERE batch_id = :batch AND segment_idx = :idx AND "
                            "record_no >= :idx * (SELECT segment_size FROM batch WHERE batch_id = :batch) ORDER BY "
                            "record_no LIMIT (SELECT segment_size FROM batch WHERE batch_id = :batch)"};
    store::bind_blob(query, ":batch", batch.bytes());
    query.bind(":idx", segment.value);
    while (query.executeStep()) {
      if (query.getColumn(0).isNull()) throw damaged("a certificate that officers approved");
      found.push_back(store::column_blob(query, 0));
    }
    return found;
  });
}

void OutsideStore::visit_missing(const BatchId& batch, const std::function<void(RecordNo)>& visit) {
  guarded("ledger: list missing certificates", [&] {
    SQLite::Statement query{
        ledger_.database(),
        "SELECT record_no FROM key_request WHERE batch_id = :batch AND certificate IS NULL ORDER BY record_no"};
    store::bind_blob(query, ":batch", batch.bytes());
    while (query.executeStep()) visit(RecordNo{small_at(query, 0)});
  });
}

void drop_prepared_waiting_in(store::Database& database, const BatchId& batch) {
  run_for(database, batch,
          "DELETE FROM key_request WHERE batch_id = :batch AND segment_idx IN (SELECT idx FROM waiting_segment WHERE "
          "waiting_segment.batch_id = :batch AND waiting_segment.state = 'prepared')");
  run_for(database, batch, "DELETE FROM waiting_segment WHERE batch_id = :batch AND state = 'prepared'");
}

}  // namespace keyferry::appliance
