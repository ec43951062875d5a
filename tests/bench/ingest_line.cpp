#include "tests/bench/ingest_line.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <utility>

#include "appliance/front/receipts_check.h"
#include "appliance/ledger/batch_store.h"
#include "appliance/ledger/ledger.h"
#include "appliance/ledger/receipt_store.h"
#include "keyferry/v1/governance.pb.h"
#include "tests/bench/report.h"
#include "token/audit/merkle.h"
#include "token/container.h"
#include "token/items.h"
#include "token/line_checks.h"
#include "token/receipt.h"
#include "wrap/base/durable_file.h"
#include "wrap/base/error.h"
#include "wrap/crypto/hash.h"

namespace keyferry::bench {
namespace {

namespace fs = std::filesystem;
using appliance::Ledger;
using appliance::ReceiptStore;

constexpr UtcMillis kNow{1'800'000'000'000};
constexpr UtcMillis kDue{1'900'000'000'000};
constexpr std::uint32_t kSegmentSize = 4096;
/// As carry_out_staged of the front end reports them.
constexpr std::size_t kEntriesPerReport = 1536;
/// A serialised v1.LogLeaf of an accepted receipt has about so many octets.
constexpr std::size_t kLogLeafBytes = 120;
constexpr std::size_t kMaxSignatures = 20'000;
constexpr const char* kApply = "bench-apply";
constexpr std::string_view kAuthority = "certificate of the authority";

appliance::Plan batch_plan(const StationId& station, std::uint32_t count) {
  appliance::Plan plan;
  plan.operation = appliance::Operation::Batch;
  plan.number = 1;
  plan.expires = kDue;
  appliance::BatchPlan batch;
  batch.site = "plant";
  batch.station = station;
  batch.key_name = "dac";
  batch.se_count = batch.target_count = count;
  batch.segment_size = kSegmentSize;
  batch.certificate_authority = "ca";
  batch.certificate_template = "device";
  batch.certificate_subject = "CN={se_serial}";
  batch.not_before = kNow;
  batch.not_after = batch.due = kDue;
  batch.verify = appliance::VerifyPlan{};
  plan.detail = batch;
  auto parsed = appliance::parse_plan(as_bytes(appliance::plan_text(plan)));
  if (const auto* refusal = std::get_if<Refusal>(&parsed)) throw to_error(*refusal);
  return std::get<appliance::Plan>(std::move(parsed));
}

std::string note(std::uint64_t size) {
  return fmt::format("appliance\n{}\nAAAA\n\nsignature\n", size);
}

Bytes serial_of(std::uint32_t record) {
  return to_bytes(as_bytes(fmt::format("serial{:08}", record)));
}

template <typename T>
T must(std::variant<T, appliance::RefusedReceipts> answer) {
  if (const auto* no = std::get_if<appliance::RefusedReceipts>(&answer)) {
    throw Error{Code::Internal,
                "the benchmark's own receipts are refused: " + no->refusal.text,
                no->refusal.hint};
  }
  return std::get<T>(std::move(answer));
}

void copy_ledger(const fs::path& from, const fs::path& to) {
  for (const char* part : {"-wal", "-shm"}) fs::remove(fs::path{to.string() + part});
  fs::copy_file(from, to, fs::copy_options::overwrite_existing);
  sync_file(open_regular_file(to, Code::Storage), to.string());
}

}  // namespace

struct IngestLine::Receipts {
  std::vector<appliance::RecordRow> records;
  std::vector<token::ReceiptEntry> entries;
};

IngestLine::IngestLine(fs::path folder, std::uint32_t count, unsigned threads)
    : folder_{std::move(folder)},
      count_{count},
      card_{.appliance_id = token::appliance_id_of(log_.public_key()),
            .environment = token::Environment::Development,
            .name = "bench",
            .log_key = log_.public_key(),
            .export_key = export_.public_key(),
            .inbox_key = inbox_.public_key()},
      station_id_{token::station_id_of(station_.public_key())},
      plan_{batch_plan(station_id_, count)},
      batch_{plan_.batch_id()},
      manifest_digest_{random_.id<Digest>()} {
  Receipts receipts{std::vector<appliance::RecordRow>(count),
                    std::vector<token::ReceiptEntry>(count)};
  signatures_.resize(std::min<std::size_t>(count, kMaxSignatures));
  const Digest authority = crypto::sha256(as_bytes(kAuthority));
  Progress progress{"keys and receipts", count};
  std::atomic<std::uint32_t> next{0};
  on_threads(threads, [&](unsigned thread) {
    SystemRandom random;
    for (std::uint32_t i = next++; i < count; i = next++) {
      crypto::SoftKey se = crypto::SoftKey::generate();
      appliance::RecordRow& record = receipts.records[i];
      record = {.record_no = RecordNo{i},
                .se = appliance::SeId{i + 1},
                .public_key = to_bytes(se.public_key().point()),
                .certificate_serial = random.bytes(16),
                .certificate_sha256 = random.id<Digest>(),
                .challenge = random.id<Digest>()};
      const Bytes core = token::serialise_core(token::ReceiptCore{
          .record_no = record.record_no,
          .batch_id = batch_,
          .manifest_digest = manifest_digest_,
          .certificate_sha256 = record.certificate_sha256,
          .challenge = record.challenge,
          .family = token::Family::Pkcs11,
          .se_serial = *SeSerial::from_bytes(serial_of(i)),
          .key_name = "dac",
          .device_serial = fmt::format("device-{:08}", i),
          .station_id = station_id_,
          .lane = LaneNo{1},
          .person_number = 7,
          .start = kNow,
          .end = kNow,
          .verdicts = {token::Verdict::Pass, token::Verdict::Pass, token::Verdict::Pass},
          .proof = token::LineProof{.chain_sha256 = {record.certificate_sha256, authority},
                                    .from_se = 2,
                                    .anchor_sha256 = authority,
                                    .verified_at = kNow,
                                    .challenge_signature = crypto::sign(
                                        se,
                                        crypto::SignatureKind::Challenge,
                                        token::challenge_message(
                                            batch_, record.record_no, record.challenge)),
                                    .certificate_serial = record.certificate_serial},
          .evidence_kind = token::EvidenceKind::Possession,
          .outcome = token::Outcome::Injected});
      const Digest digest = crypto::signing_digest(crypto::SignatureKind::Receipt, core);
      receipts.entries[i] = {token::serialise_leaf({kNow, token::CoreLeaf{core}}),
                             se.sign_digest(digest)};
      if (i < signatures_.size())
        signatures_[i] = {record.public_key, to_bytes(digest.bytes()), receipts.entries[i].signature};
      if (thread == 0) progress.at(i);
    }
  });
  fill_ledger(receipts);
  seal(receipts);
}

void IngestLine::fill_ledger(const Receipts& receipts) {
  Ledger ledger{folder_ / "base.db", store::Role::Writer};
  store::Database& database = ledger.database();
  v1::Registry registry;
  registry.set_version(1);
  registry.set_epoch(1);
  v1::Station& station = *registry.add_stations();
  station.set_station_id(station_id_.str());
  station.set_name("line1");
  station.set_site("plant");
  station.set_signing_key(to_string(station_.public_key().point()));
  station.set_agreement_key(to_string(station_.public_key().point()));
  v1::CertificateAuthority& authority = *registry.add_authorities();
  authority.set_name("ca");
  authority.set_certificate(to_string(as_bytes(kAuthority)));
  ledger.store_pending(0, {to_bytes(as_bytes("leaf"))}, as_bytes(registry.SerializeAsString()));
  ledger.settle(note(1));
  {
    store::WriteTransaction transaction{database};
    database.exec(fmt::format(
        "INSERT INTO import (import_id, source, file_sha256, file_name, rows, state, "
        "imported_ms) VALUES (1, 'acme', zeroblob(32), 'a.csv', {}, 'final', 0)",
        count_));
    database.exec(fmt::format("INSERT INTO se_list (list_id, root, count) VALUES (1, zeroblob(32), {})", count_));
    SQLite::Statement se{database,
                         "INSERT INTO se (se_id, family, se_serial, part, lot, device_serial, "
                         "transport_kind, transport_name, transport_data, import_id, line) VALUES "
                         "(:id, 'pkcs11', :serial, '', '', '', 'derived', 'm1', x'', 1, :id)"};
    SQLite::Statement entry{database,
                            "INSERT INTO se_list_entry (list_id, idx, se_id, leaf_hash) VALUES "
                            "(1, :idx, :id, zeroblob(32))"};
    for (std::uint32_t i = 0; i < count_; ++i) {
      const Bytes serial = serial_of(i);
      se.bind(":id", i + 1);
      store::bind_blob(se, ":serial", serial);
      se.exec();
      se.reset();
      entry.bind(":idx", i);
      entry.bind(":id", i + 1);
      entry.exec();
      entry.reset();
    }
    SQLite::Statement plan{
        database,
        "INSERT INTO plan (digest, number, operation, octets, state, expires_ms, made_ms) VALUES "
        "(:digest, 1, 'batch', :octets, 'run', 0, 0)"};
    store::bind_blob(plan, ":digest", plan_.digest.bytes());
    store::bind_blob(plan, ":octets", plan_.octets);
    plan.exec();
    const std::uint32_t segments = (count_ + kSegmentSize - 1) / kSegmentSize;
    SQLite::Statement batch{
        database,
        fmt::format("INSERT INTO batch (batch_id, plan_digest, state, list_id, site, customer, "
                    "station_id, authority, se_count, target_count, segment_count, segment_size, "
                    "due_ms, expires_ms, made_ms, started_ms) VALUES (:batch, :digest, 'out', "
                    "1, 'plant', '', :station, 'ca', {0}, {0}, {1}, {2}, {3}, 0, 0, 0)",
                    count_,
                    segments,
                    kSegmentSize,
                    kDue.value)};
    store::bind_blob(batch, ":batch", batch_.bytes());
    store::bind_blob(batch, ":digest", plan_.digest.bytes());
    store::bind_blob(batch, ":station", station_id_.bytes());
    batch.exec();
    transaction.commit();
  }
  appliance::BatchStore store{ledger};
  const Bytes leaf = to_bytes(as_bytes("issued"));
  std::uint64_t size = 1;
  Progress progress{"records in the ledger", count_};
  for (std::uint32_t first = 0; first < count_; first += kSegmentSize) {
    const std::uint32_t part = std::min(kSegmentSize, count_ - first);
    const appliance::SealedPart segment{.index = SegmentIndex{first / kSegmentSize},
                                        .count = part,
                                        .container = random_.id<ContainerId>(),
                                        .digest = random_.id<Digest>(),
                                        .body_size_bytes = 1};
    const auto from = receipts.records.begin() + first;
    store.prepare(batch_, segment, {from, from + part}, {leaf});
    store.seal(batch_, segment, leaf, note(++size));
    progress.at(first);
  }
  const appliance::SealedPart manifest{
      .container = random_.id<ContainerId>(), .digest = manifest_digest_, .body_size_bytes = 1};
  store.prepare(batch_, manifest, {}, {leaf});
  store.seal(batch_, manifest, leaf, note(++size));
  database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
}

void IngestLine::seal(const Receipts& receipts) {
  audit::Frontier frontier;
  std::uint64_t body = 4096;
  for (const token::ReceiptEntry& entry : receipts.entries) {
    frontier.append(audit::leaf_hash(entry.leaf));
    body += entry.leaf.size() + entry.signature.size() + 64;
  }
  const token::StationLogHead head{.station_id = station_id_,
                                   .generation = 1,
                                   .size = count_,
                                   .root = frontier.root(),
                                   .time = kNow};
  const token::Header header{.type = token::ContainerType::Receipts,
                             .environment = token::Environment::Development,
                             .container_id = random_.id<ContainerId>(),
                             .batch_id = BatchId{},
                             .index = 1,
                             .count = count_,
                             .body_bound_bytes = body,
                             .sender = station_.public_key().key_id(),
                             .recipient = inbox_.public_key().key_id()};
  DurableWriter writer{folder_ / "receipts.kf"};
  token::Sealer sealer{
      header, inbox_.public_key(), [&](ByteView octets) { writer.write(octets); }};
  token::ItemWriter items{[&](ByteView octets) { sealer.write(octets); }};
  items.write(token::opening_for(header));
  items.write(token::ReceiptsOpening{
      .head = token::sign_payload(
          station_, crypto::SignatureKind::StationLogHead, token::serialise_head(head)),
      .from_size = 0,
      .to_size = count_,
      .highest_checkpoint = {}});
  for (const token::ReceiptEntry& entry : receipts.entries) items.write(entry);
  const token::Sealed sealed = sealer.finish();
  writer.write(token::make_trailer(
      sealed, crypto::sign(station_, crypto::SignatureKind::Container, sealed.digest.bytes())));
  writer.commit();
}

double IngestLine::import_seconds() {
  const fs::path path = folder_ / "ledger.db";
  copy_ledger(folder_ / "base.db", path);
  Ledger ledger{path, store::Role::Writer};
  ledger.on_action(kApply, [&ledger](store::Database&, ByteView data) {
    ReceiptStore::apply_in(
        ledger, static_cast<std::int64_t>(read_u64be(data)), read_u64be(data.subspan(8)), kNow);
  });
  std::uint32_t accepted = 0;
  const double seconds = seconds_of([&] {
    const Fd file = open_regular_file(folder_ / "receipts.kf", Code::Storage);
    const auto receipts = must(appliance::outline_receipts(ledger, file, card_));
    const auto key = token::open_content_key(
        receipts.outline.trailer.enc, receipts.outline.header_bytes, inbox_);
    if (!key) throw Error{Code::Internal, "the benchmark's own container does not open"};
    if (auto refused = appliance::stage_receipts(ledger, file, receipts, *key, card_, kNow))
      must(std::variant<int, appliance::RefusedReceipts>{std::move(*refused)});
    while (const auto import = ReceiptStore{ledger}.staged_import()) {
      accepted = import->accepted;
      const auto entries = ReceiptStore{ledger}.next_entries(*import, kEntriesPerReport);
      Bytes action;
      append_u64be(action, static_cast<std::uint64_t>(import->id));
      append_u64be(action, import->next_position + entries.size());
      const std::vector<Bytes> leaves(entries.size(), Bytes(kLogLeafBytes, 0x55));
      const std::uint64_t size = ledger.final_log_size();
      ledger.store_pending(size, leaves, {}, appliance::Action{kApply, action});
      ledger.settle(note(size + leaves.size()));
    }
  });
  if (accepted != count_)
    throw Error{Code::Internal, fmt::format("{} of {} receipts were accepted", accepted, count_)};
  return seconds;
}

}  // namespace keyferry::bench
