#include "tests/appliance/ferry_fixture.h"

#include <fmt/format.h>

#include <array>
#include <utility>

#include "keyferry/v1/governance.pb.h"
#include "tests/wrap/se/atecc608_example.h"
#include "token/audit/merkle.h"
#include "token/line_checks.h"
#include "wrap/base/durable_file.h"
#include "wrap/crypto/hash.h"
#include "wrap/x509/serial.h"

namespace keyferry::appliance {
namespace {

constexpr std::string_view kAuthority = "certificate of the authority";

std::string note(std::uint64_t size) {
  return fmt::format("appliance\n{}\nAAAA\n\nsignature\n", size);
}

Plan batch_plan(const StationId& station,
                se::Family family,
                bool with_firmware,
                const std::optional<VerifyPlan>& verify) {
  Plan plan;
  plan.operation = Operation::Batch;
  plan.number = 1;
  plan.expires = kDue;
  BatchPlan batch;
  batch.site = "plant";
  batch.station = station;
  batch.family = family;
  batch.key_name = "dac";
  batch.se_count = batch.target_count = batch.segment_size = 4;
  batch.certificate_authority = "ca";
  batch.certificate_template = "device";
  batch.certificate_subject = "CN={se_serial}";
  batch.not_before = kNow;
  batch.not_after = batch.due = kDue;
  if (family == se::Family::Atecc608) batch.atecc608 = se::example_profile();
  if (with_firmware) batch.firmware_sha256 = image_sha256();
  batch.verify = verify;
  plan.detail = batch;
  auto parsed = parse_plan(as_bytes(plan_text(plan)));
  if (const auto* refusal = std::get_if<Refusal>(&parsed)) throw to_error(*refusal);
  return std::get<Plan>(std::move(parsed));
}

/// By turns such as have 17, 16 and 14 octets in a certificate.
Bytes serial_of_certificate(std::uint32_t record, RandomSource& random) {
  Bytes serial = random.bytes(16);
  constexpr std::array<std::uint8_t, 3> kFirst{0xC5, 0x45, 0x00};
  serial[0] = kFirst.at(record % kFirst.size());
  serial[1] = serial[0] == 0 ? 0 : serial[1];
  serial[2] = 0x2A;
  return serial;
}

/// As the station finds it in the certificate.
Bytes as_read_back(const Bytes& certificate_serial) {
  return to_bytes(x509::SerialContent{*x509::CertificateSerial::from_bytes(certificate_serial)}.view());
}

}  // namespace

Digest image_sha256() { return crypto::sha256(as_bytes("image")); }

Bytes FerryTest::serial_of(std::uint32_t record) const {
  if (family_ == se::Family::Pkcs11) return to_bytes(as_bytes(fmt::format("serial{:04}", record)));
  Bytes serial{0x01, 0x23, 0xA5, 0xC7};
  append_u32be(serial, record);
  serial.push_back(0xEE);
  return serial;
}

FerryTest::FerryTest(se::Family family, bool with_firmware, const std::optional<VerifyPlan>& verify)
    : family_{family},
      with_firmware_{with_firmware},
      verify_{verify},
      station_id_{token::station_id_of(station_.public_key())} {
  manifest_digest_ = random_.id<Digest>();
  card_ = token::ApplianceCard{.appliance_id = token::appliance_id_of(log_.public_key()),
                               .environment = token::Environment::Development,
                               .name = "bench",
                               .log_key = log_.public_key(),
                               .export_key = export_.public_key(),
                               .inbox_key = inbox_.public_key()};
  ledger_ = std::make_unique<Ledger>(folder_ / "ledger.db", store::Role::Writer);
  fill_registry();
  fill_batch();
  seal_batch();
}

void FerryTest::fill_registry() {
  v1::Registry registry;
  registry.set_version(1);
  registry.set_epoch(1);
  const auto add = [&](const crypto::SoftKey& key, const std::string& name) {
    v1::Station& station = *registry.add_stations();
    station.set_station_id(token::station_id_of(key.public_key()).str());
    station.set_name(name);
    station.set_site("plant");
    station.set_signing_key(to_string(key.public_key().point()));
    station.set_agreement_key(to_string(station_agreement_.public_key().point()));
  };
  add(station_, "line1");
  add(other_station_, "line2");
  v1::CertificateAuthority& authority = *registry.add_authorities();
  authority.set_name("ca");
  authority.set_certificate(to_string(as_bytes(kAuthority)));
  ledger_->store_pending(0, {to_bytes(as_bytes("leaf"))}, as_bytes(registry.SerializeAsString()));
  ledger_->settle(note(1));
}

void FerryTest::fill_batch() {
  store::Database& database = ledger_->database();
  exec("INSERT INTO import VALUES (1, 'acme', zeroblob(32), 'a.csv', 4, 'final', 0)");
  exec("INSERT INTO se_list VALUES (1, zeroblob(32), 4)");
  for (std::uint32_t i = 0; i < kRecords; ++i) {
    SQLite::Statement se{database,
                         "INSERT INTO se VALUES (:id, :family, :serial, 'dac', '', '', :device, "
                         "1, 'derived', 'm1', x'', "
                         "1, :id, :attestation_key, 0)"};
    se.bind(":id", i + 1);
    se.bind(":family", std::string{se::family_name(family_)});
    attestation_keys_.push_back(crypto::SoftKey::generate());
    if (family_ == se::Family::Atecc608 && i < 2) {
      store::bind_blob(se, ":attestation_key", attestation_keys_.back().public_key().point());
    }
    const Bytes serial = serial_of(i);
    store::bind_blob(se, ":serial", serial);
    se.bind(":device", i == 0 ? "dev-0" : "");  // the others are bound at the line
    se.exec();
    SQLite::Statement entry{database,
                            "INSERT INTO se_list_entry VALUES (1, :idx, :id, zeroblob(32))"};
    entry.bind(":idx", i);
    entry.bind(":id", i + 1);
    entry.exec();
  }
  const Plan made = batch_plan(station_id_, family_, with_firmware_, verify_);
  batch_ = made.batch_id();
  SQLite::Statement plan{database, "INSERT INTO plan VALUES (:digest, 1, 'batch', :octets, 'run', 0, 0)"};
  store::bind_blob(plan, ":digest", made.digest.bytes());
  store::bind_blob(plan, ":octets", made.octets);
  plan.exec();
  SQLite::Statement batch{database,
                          "INSERT INTO batch (batch_id, plan_digest, state, list_id, site, customer, station_id, "
                          "authority, se_count, target_count, segment_count, segment_size, due_ms, expires_ms, "
                          "made_ms, started_ms, closed_ms) VALUES (:batch, :digest, 'out', 1, 'plant', '', "
                          ":station, 'ca', 4, 4, 1, 4, :due, 0, 0, 0, "
                          "NULL)"};
  store::bind_blob(batch, ":batch", batch_.bytes());
  store::bind_blob(batch, ":digest", made.digest.bytes());
  store::bind_blob(batch, ":station", station_id_.bytes());
  batch.bind(":due", kDue.value);
  batch.exec();
}

void FerryTest::seal_batch() {
  for (std::uint32_t i = 0; i < kRecords; ++i) {
    se_keys_.push_back(crypto::SoftKey::generate());
    records_.push_back(RecordRow{.record_no = RecordNo{i},
                                 .se = SeId{i + 1},
                                 .public_key = to_bytes(se_keys_.back().public_key().point()),
                                 .certificate_serial = serial_of_certificate(i, random_),
                                 .certificate_sha256 = random_.id<Digest>(),
                                 .challenge = random_.id<Digest>()});
    if (family_ == se::Family::Atecc608) records_.back().nonce_id = random_.bytes(16);
    answers_.push_back(crypto::sign(
        se_keys_.back(),
        crypto::SignatureKind::Challenge,
        token::challenge_message(batch_, RecordNo{i}, records_.back().challenge)));
  }
  BatchStore store{*ledger_};
  const Bytes leaf = to_bytes(as_bytes("issued"));
  const SealedPart segment{.index = SegmentIndex{0},
                           .count = kRecords,
                           .container = random_.id<ContainerId>(),
                           .digest = random_.id<Digest>(),
                           .body_size_bytes = 1};
  store.prepare(batch_, segment, records_, {leaf});
  store.seal(batch_, segment, leaf, note(2));
  const SealedPart manifest{
      .container = random_.id<ContainerId>(), .digest = manifest_digest_, .body_size_bytes = 1};
  store.prepare(batch_, manifest, {}, {leaf});
  store.seal(batch_, manifest, leaf, note(3));
}

token::ReceiptCore FerryTest::core(std::uint32_t record, token::Outcome outcome) const {
  const bool injected = outcome == token::Outcome::Injected;
  const token::Verdict verdict = injected ? token::Verdict::Pass : token::Verdict::NotRun;
  return token::ReceiptCore{
      .record_no = RecordNo{record},
      .batch_id = batch_,
      .manifest_digest = manifest_digest_,
      .certificate_sha256 = records_[record].certificate_sha256,
      .challenge = records_[record].challenge,
      .family = family_ == se::Family::Pkcs11 ? token::Family::Pkcs11 : token::Family::Atecc608,
      .se_serial = *SeSerial::from_bytes(serial_of(record)),
      .key_name = "dac",
      .device_serial = fmt::format("dev-{}", record),
      .station_id = station_id_,
      .lane = LaneNo{1},
      .person_number = 7,
      .start = kNow,
      .end = kNow,
      .verdicts = {verdict,
                   verdict,
                   verdict,
                   with_firmware_ ? verdict : token::Verdict::NotApplicable},
      .proof = injected ? std::optional{proof(record)} : std::nullopt,
      .evidence_kind = injected ? token::EvidenceKind::Possession : token::EvidenceKind::None,
      .outcome = outcome,
      .reason = outcome == token::Outcome::Quarantined ? "se-refused" : ""};
}

token::LineProof FerryTest::proof(std::uint32_t record) const {
  const Digest authority = crypto::sha256(as_bytes(kAuthority));
  token::LineProof proof{.chain_sha256 = {records_[record].certificate_sha256, authority},
                         .from_se = 1,
                         .anchor_sha256 = authority,
                         .verified_at = kNow,
                         .challenge_signature = answers_[record],
                         .certificate_serial = as_read_back(records_[record].certificate_serial)};
  if (with_firmware_)
    proof.firmware = token::FirmwareProof{.image_sha256 = image_sha256(),
                                          .signature_sha256 = image_sha256(),
                                          .key_sha256 = kBootKey};
  return proof;
}

token::ReceiptEntry FerryTest::signed_entry(std::uint32_t record, ByteView core_octets) {
  const Bytes core = to_bytes(core_octets);
  return {token::serialise_leaf({kNow, token::CoreLeaf{core}}),
          crypto::sign(se_keys_[record], crypto::SignatureKind::Receipt, core)};
}

token::ReceiptEntry FerryTest::unsigned_entry(const token::ReceiptCore& core) const {
  return {token::serialise_leaf({kNow, token::CoreLeaf{token::serialise_core(core)}}), {}};
}

token::ReceiptEntry FerryTest::entry(const token::ReceiptCore& core) {
  if (core.outcome != token::Outcome::Injected) return unsigned_entry(core);
  return signed_entry(core.record_no.value, token::serialise_core(core));
}

token::ReceiptEntry FerryTest::event(const std::string& text) {
  return {token::serialise_leaf({kNow, token::EventLeaf{text}}), {}};
}

token::ReceiptEntry FerryTest::void_of(std::uint64_t position) {
  return {token::serialise_leaf({kNow, token::VoidLeaf{position, "se-lost"}}), {}};
}

std::filesystem::path FerryTest::seal(const HomeComing& home) {
  audit::Frontier frontier;
  for (const token::ReceiptEntry& entry : home.entries)
    frontier.append(audit::leaf_hash(entry.leaf));
  crypto::SoftKey& head_signer = home.head_signer ? *home.head_signer : station_;
  crypto::SoftKey& signer = home.container_signer ? *home.container_signer : station_;
  const crypto::PublicKey& recipient = home.recipient ? *home.recipient : inbox_.public_key();
  const token::StationLogHead head{.station_id = station_id_,
                                   .generation = home.generation,
                                   .size = home.entries.size(),
                                   .root = home.root.value_or(frontier.root()),
                                   .time = home.head_time};
  const token::Header header{
      .type = home.type,
      .environment = home.environment,
      .container_id = home.container ? *home.container : random_.id<ContainerId>(),
      .batch_id = BatchId{},
      .index = home.generation,
      .count = static_cast<std::uint32_t>(home.entries.size() - home.from),
      .body_bound_bytes = 1U << 20,
      .sender = signer.public_key().key_id(),
      .recipient = recipient.key_id()};
  Bytes octets;
  const auto sink = [&octets](ByteView piece) { append(octets, piece); };
  token::Sealer sealer{header, recipient, sink};
  token::ItemWriter items{[&sealer](ByteView piece) { sealer.write(piece); }};
  items.write(token::opening_for(header));
  items.write(token::ReceiptsOpening{
      .head = token::sign_payload(
          head_signer, crypto::SignatureKind::StationLogHead, token::serialise_head(head)),
      .from_size = home.from,
      .to_size = home.entries.size(),
      .highest_checkpoint = home.checkpoint});
  for (std::size_t i = home.from; i < home.entries.size(); ++i) items.write(home.entries[i]);
  const token::Sealed sealed = sealer.finish();
  append(
      octets,
      token::make_trailer(
          sealed, crypto::sign(signer, crypto::SignatureKind::Container, sealed.digest.bytes())));
  const auto path = folder_ / fmt::format("receipts-{}.kf", files_++);
  write_file_durably(path, octets, Overwrite::Refuse);
  return path;
}

std::string FerryTest::stage(const std::filesystem::path& path) {
  refused_.reset();
  const Fd file = open_regular_file(path, Code::Storage);
  auto outlined = outline_receipts(*ledger_, file, *card_);
  if (auto* refused = std::get_if<RefusedReceipts>(&outlined)) {
    refused_ = std::move(*refused);
    return refused_->refusal.reason;
  }
  const auto& receipts = std::get<ReceiptsFile>(outlined);
  if (receipts.known) return "known";
  const auto key =
      token::open_content_key(receipts.outline.trailer.enc, receipts.outline.header_bytes, inbox_);
  if (!key) return "content-key";
  refused_ = stage_receipts(*ledger_, file, receipts, *key, *card_, kNow);
  return refused_ ? refused_->refusal.reason : "";
}

void FerryTest::carry_out(std::uint64_t step) {
  while (const auto import = ReceiptStore{*ledger_}.staged_import()) {
    store::WriteTransaction transaction{ledger_->database()};
    ReceiptStore::apply_in(
        *ledger_, import->id, std::min(import->to_size, import->next_position + step), kNow);
    transaction.commit();
    EXPECT_TRUE(sums().agree());
  }
}

std::string FerryTest::state_of(std::uint32_t record) {
  SQLite::Statement query{ledger_->database(), "SELECT state FROM record WHERE record_no = :no"};
  query.bind(":no", record);
  return query.executeStep() ? query.getColumn(0).getString() : "";
}

std::int64_t FerryTest::count(const std::string& table, const std::string& where) {
  SQLite::Statement query{ledger_->database(),
                          fmt::format("SELECT count(*) FROM {} WHERE {}", table, where)};
  query.executeStep();
  return query.getColumn(0).getInt64();
}

}  // namespace keyferry::appliance
