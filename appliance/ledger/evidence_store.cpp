#include "appliance/ledger/evidence_store.h"

#include "wrap/base/error.h"

namespace keyferry::appliance {
namespace {

using store::column_blob;
using store::guarded;

template <typename Id>
Id id_at(SQLite::Statement& row, int index) {
  const auto id = Id::from_bytes(column_blob(row, index));
  if (!id)
    throw Error{
        Code::Storage, "ledger: an id is damaged", "restore the ledger from its newest backup"};
  return *id;
}

std::uint32_t small_at(SQLite::Statement& row, int index) {
  return static_cast<std::uint32_t>(row.getColumn(index).getInt64());
}

/// One signature of two for the same core: a receipt is its core, and a bundle has one form.
Bytes low_s(Bytes signature) {
  return signature.empty() ? signature : crypto::to_low_s(signature);
}

/// Each u32be length and octets: leaf and signature in turn.
void visit_entries(ByteView block, const std::function<void(ByteView)>& visit) {
  for (bool leaf = true; !block.empty(); leaf = !leaf) {
    const std::size_t size = block.size() < 4 ? block.size() : read_u32be(block);
    if (size > block.size() - 4 || block.size() < 4) {
      throw Error{Code::Storage,
                  "ledger: a block of a station's log is damaged",
                  "restore the ledger from its newest backup"};
    }
    if (leaf) visit(block.subspan(4, size));
    block = block.subspan(4 + size);
  }
}

}  // namespace

std::vector<CheckpointNote> EvidenceStore::checkpoints() {
  return guarded("ledger: list checkpoints", [&] {
    std::vector<CheckpointNote> notes;
    SQLite::Statement query{ledger_.database(), "SELECT size, note FROM checkpoint ORDER BY size"};
    while (query.executeStep()) {
      notes.push_back({static_cast<std::uint64_t>(query.getColumn(0).getInt64()),
                       query.getColumn(1).getString()});
    }
    return notes;
  });
}

std::vector<EvidenceBatch> EvidenceStore::batches() {
  return guarded("ledger: list batches", [&] {
    std::vector<EvidenceBatch> all;
    SQLite::Statement query{ledger_.database(),
                            "SELECT batch_id, site, customer, authority, station_id, made_ms, "
                            "hsm_epoch FROM batch ORDER BY batch_id"};
    while (query.executeStep()) {
      all.push_back({.id = id_at<BatchId>(query, 0),
                     .site = query.getColumn(1).getString(),
                     .customer = query.getColumn(2).getString(),
                     .authority = query.getColumn(3).getString(),
                     .station = id_at<StationId>(query, 4),
                     .made_ms = query.getColumn(5).getInt64(),
                     .hsm_epoch = small_at(query, 6)});
    }
    return all;
  });
}

std::vector<StationLogFacts> EvidenceStore::station_logs() {
  return guarded("ledger: list the logs of stations", [&] {
    std::vector<StationLogFacts> logs;
    SQLite::Statement query{
        ledger_.database(),
        "SELECT station_id, generation, size, root FROM station_log ORDER BY station_id"};
    while (query.executeStep()) {
      logs.push_back({id_at<StationId>(query, 0),
                      small_at(query, 1),
                      static_cast<std::uint64_t>(query.getColumn(2).getInt64()),
                      id_at<Digest>(query, 3)});
    }
    return logs;
  });
}

void EvidenceStore::visit_station_log(const StationLogFacts& log,
                                      const std::function<void(ByteView)>& visit) {
  guarded("ledger: read a station's log", [&] {
    SQLite::Statement query{
        ledger_.database(),
        "SELECT entries FROM station_log_block WHERE station_id = :station AND generation = "
        ":generation ORDER BY first_position"};
    store::bind_blob(query, ":station", log.station.bytes());
    query.bind(":generation", log.generation);
    while (query.executeStep()) visit_entries(column_blob(query, 0), visit);
  });
}

void EvidenceStore::visit_receipts(const BatchId& batch,
                                   std::uint32_t from,
                                   std::uint32_t to,
                                   const std::function<void(bundle::ReceiptItem&&)>& visit) {
  guarded("ledger: read receipts", [&] {
    SQLite::Statement query{ledger_.database(),
                            "SELECT record_no, station_id, receipt.generation, position, core, "
                            "signature, attestation, attestation_key "
                            "FROM receipt JOIN record USING (batch_id, record_no) JOIN se USING "
                            "(se_id) WHERE batch_id = :batch AND "
                            "record_no >= :from AND record_no < :to ORDER BY record_no"};
    store::bind_blob(query, ":batch", batch.bytes());
    query.bind(":from", from);
    query.bind(":to", to);
    while (query.executeStep()) {
      Bytes attestation = column_blob(query, 6);
      const bool attested = !attestation.empty() && !query.getColumn(7).isNull();
      visit({.record_no = RecordNo{small_at(query, 0)},
             .station = id_at<StationId>(query, 1),
             .generation = small_at(query, 2),
             .position = static_cast<std::uint64_t>(query.getColumn(3).getInt64()),
             .core = column_blob(query, 4),
             .signature = low_s(column_blob(query, 5)),
             .attestation = std::move(attestation),
             .attestation_key = attested ? column_blob(query, 7) : Bytes{}});
    }
  });
}

std::optional<Bytes> EvidenceStore::crl(const std::string& authority, std::uint64_t number) {
  return guarded("ledger: read a CRL", [&]() -> std::optional<Bytes> {
    SQLite::Statement query{
        ledger_.database(),
        "SELECT der FROM crl WHERE authority = :authority AND number = :number"};
    query.bind(":authority", authority);
    query.bind(":number", static_cast<std::int64_t>(number));
    if (!query.executeStep()) return std::nullopt;
    return column_blob(query, 0);
  });
}

std::vector<Bytes> EvidenceStore::custody(const TokenId& token) {
  return guarded("ledger: read custody", [&] {
    std::vector<Bytes> statements;
    SQLite::Statement query{ledger_.database(),
                            "SELECT statement FROM custody WHERE token_id = :token ORDER BY seq"};
    store::bind_blob(query, ":token", token.bytes());
    while (query.executeStep()) statements.push_back(column_blob(query, 0));
    return statements;
  });
}

}  // namespace keyferry::appliance
