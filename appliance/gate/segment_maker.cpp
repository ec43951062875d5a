#include "appliance/gate/segment_maker.h"

#include <fmt/format.h>

#include <utility>

#include "appliance/gate/internal/entry_block.h"
#include "appliance/plan/line_checks_of.h"
#include "keyferry/v1/worker.pb.h"
#include "token/items.h"
#include "wrap/base/cut.h"
#include "wrap/crypto/aead.h"
#include "wrap/crypto/hash.h"
#include "wrap/p11/hsm_keys.h"
#include "wrap/se/entry.h"

namespace keyferry::appliance {
namespace {

constexpr int kRecordsPerMessage = 128;
constexpr std::uint64_t kRecordsBetweenLooks = 8;  // at other requests
constexpr std::size_t kCertificatePieceBytes = 256 * 1024;
/// Upper bound of one Record item beside its certificates and payload.
constexpr std::uint64_t kRecordOverheadBytes = 1024;

[[noreturn]] void refuse(const std::string& text) { throw Error{Code::Refused, text}; }

Plan batch_plan(std::string_view octets) {
  auto parsed = parse_plan(as_bytes(octets));
  if (const auto* refusal = std::get_if<Refusal>(&parsed)) throw to_error(*refusal);
  Plan plan = std::get<Plan>(std::move(parsed));
  if (plan.operation != Operation::Batch) refuse("the plan is not one of a batch");
  return plan;
}

crypto::PublicKey point_of(const std::string& octets, const char* what) {
  const auto key = crypto::PublicKey::from_point(as_bytes(octets));
  if (!key) refuse(fmt::format("the {} is no P-256 point", what));
  return *key;
}

token::Environment token_environment(Environment environment) {
  switch (environment) {
    case Environment::Development: return token::Environment::Development;
    case Environment::Rehearsal: return token::Environment::Rehearsal;
    case Environment::Production: return token::Environment::Production;
  }
  return token::Environment::Development;
}

v1::Family message_family(se::Family family) { return static_cast<v1::Family>(token_family(family)); }

token::Mode token_mode(BatchMode mode) {
  switch (mode) {
    case BatchMode::Inject: return token::Mode::Inject;
    case BatchMode::OnDevice: return token::Mode::OnDevice;
    case BatchMode::PreProvisioned: return token::Mode::PreProvisioned;
  }
  return token::Mode::Inject;
}

/// The segment's entries, checked to be exactly those of the plan at this index.
std::vector<se::Entry> checked_entries(const v1::MakeSegment& request, const BatchPlan& batch) {
  std::vector<se::Entry> entries =
      checked_block(request.entries(), request.path(),
                    EntryBlock{"segment", request.index(), batch.segment_size, batch.se_count, batch.se_list_root});
  for (const se::Entry& entry : entries) {
    if (const auto refusal = se::unsupported(entry.family)) throw to_error(*refusal);
    if (entry.family != batch.family || entry.key_name != batch.key_name) {
      refuse("an entry has another family or key name than its batch");
    }
  }
  return entries;
}

/// What the front end learns of a record: public data, hashes, and the leaf that will stand in the log.
void describe(const BatchId& batch, const se::Entry& entry, const MadeRecord& made, UtcMillis now, v1::IssuedRecord& line) {
  const token::Record& record = made.record;
  const x509::CertificateSerial& serial = made.serial;
  line.set_record_no(record.record_no.value);
  line.set_public_key(to_string(record.public_key.point()));
  line.set_certificate_serial(serial.str());
  line.set_certificate_sha256(crypto::sha256(record.certificate).str());
  line.set_challenge(record.challenge.str());
  line.set_nonce_id(to_string(made.nonce_id));
  v1::LogLeaf leaf;
  leaf.set_version(1);
  leaf.set_origin(v1::LEAF_ORIGIN_DONE);
  leaf.set_time_ms(now.value);
  v1::KeyIssuedLeaf& key = *leaf.mutable_key_issued();
  key.set_batch_id(batch.str());
  key.set_record_no(record.record_no.value);
  key.set_family(message_family(entry.family));
  key.set_se_serial(to_string(entry.serial.bytes()));
  key.set_key_name(entry.key_name);
  key.set_public_key_sha256(crypto::sha256(record.public_key.point()).str());
  key.set_certificate_serial(serial.str());
  key.set_certificate_sha256(line.certificate_sha256());
  line.set_leaf(leaf.SerializeAsString());
}

/// Seals the certificates under a key of their own that is released with the trailer: issued means signed, not before.
SecretBytes seal_certificates(const ContainerId& container, ByteView certificates, RandomSource& random, const SegmentSink& sink) {
  SecretBytes key{32};
  random.fill(key.expose_writable());
  Bytes sealed;
  crypto::AesGcm{key}.seal(Bytes(crypto::kGcmNonceBytes), container.bytes(), certificates, sealed);
  for (ByteView rest = sealed; !rest.empty();) {
    const ByteView piece = rest.first(std::min(rest.size(), kCertificatePieceBytes));
    sink.sealed_certificates(piece);
    rest = rest.subspan(piece.size());
  }
  return key;
}

}  // namespace

struct SegmentMaker::Pending {
  token::Sealed sealed;
  SecretBytes certificates_key;
};

SegmentMaker::SegmentMaker(Hsm& hsm, RandomSource& random, unsigned max_pending, unsigned threads, RecoverHsm recover)
    : hsm_{hsm}, random_{random}, max_pending_{max_pending}, threads_{threads}, recover_{std::move(recover)} {}

SegmentMaker::~SegmentMaker() = default;

const crypto::PublicKey& SegmentMaker::export_key() {
  if (!export_key_) export_key_ = lasting_role_point(hsm_.session(), KeyRole::Export, "");
  return *export_key_;
}

void SegmentMaker::keep(const ContainerId& container, token::Sealed sealed, SecretBytes certificates_key) {
  pending_.emplace(container, Pending{std::move(sealed), std::move(certificates_key)});
}

void SegmentMaker::make_segment(const v1::MakeSegment& request, const SegmentSink& sink, v1::SegmentMade& made) {
  if (pending_.size() >= max_pending_) refuse("too many segments wait for their signature");
  const Plan plan = batch_plan(request.plan());
  const BatchPlan& batch = plan.batch();
  if (batch.mode != BatchMode::Inject) {
    throw to_error(Refusal{"mode-unsupported", "only mode \"inject\" is supported yet"});
  }
  const std::vector<se::Entry> entries = checked_entries(request, batch);
  const RecordNo first{request.index() * batch.segment_size};
  RecordLine line{hsm_, random_, RecordLine::Order{batch, request, entries, first, threads_}, recover_};
  const crypto::PublicKey recipient = point_of(request.station_agreement_key(), "station's key");

  std::uint64_t record_bound = kRecordOverheadBytes + token::kMaxCertificateBytes + request.ca_certificate().size();
  for (const std::string& issuer : request.ca_issuers()) record_bound += issuer.size();
  const token::Header header{.type = token::ContainerType::Segment,
                             .environment = token_environment(plan.environment),
                             .container_id = random_.id<ContainerId>(),
                             .batch_id = plan.batch_id(),
                             .index = request.index(),
                             .count = static_cast<std::uint32_t>(entries.size()),
                             .body_bound_bytes = (entries.size() + 1) * record_bound,
                             .sender = export_key().key_id(),
                             .recipient = recipient.key_id()};
  token::Sealer sealer{header, recipient, sink.body};
  token::ItemWriter items{[&sealer](ByteView octets) { sealer.write(octets); }};
  items.write(token::opening_for(header));

  Bytes certificates;
  v1::IssuedRecords issued;
  for (const se::Entry& entry : entries) {
    const MadeRecord made_record = line.next();
    const token::Record& record = made_record.record;
    items.write(record);
    append_u16be_prefixed(certificates, record.certificate);
    describe(plan.batch_id(), entry, made_record, UtcMillis{request.now_ms()}, *issued.add_records());
    if (issued.records_size() == kRecordsPerMessage) {
      sink.records(issued);
      issued.Clear();
    }
    if (++keys_made_ % kRecordsBetweenLooks == 0) sink.between_records();
  }
  if (issued.records_size() != 0) sink.records(issued);
  KF_CUT("worker.segment.made");
  token::Sealed sealed = sealer.finish();

  SecretBytes certificates_key = seal_certificates(header.container_id, certificates, random_, sink);
  made.set_container_id(header.container_id.str());
  made.set_digest(sealed.digest.str());
  made.set_chunk_count(sealed.chunk_count);
  made.set_count(header.count);
  made.set_plaintext(line.plaintext());
  made.set_first_se_serial(to_string(entries.front().serial.bytes()));
  made.set_last_se_serial(to_string(entries.back().serial.bytes()));
  keep(header.container_id, std::move(sealed), std::move(certificates_key));
}

void SegmentMaker::make_manifest(const v1::MakeManifest& request, const SegmentSink& sink, v1::SegmentMade& made) {
  if (pending_.size() >= max_pending_) refuse("too many segments wait for their signature");
  const Plan plan = batch_plan(request.plan());
  const BatchPlan& batch = plan.batch();
  if (static_cast<std::uint32_t>(request.trailers_size()) != batch.segment_count()) {
    refuse(fmt::format("{} of {} segments are sealed: no manifest yet", request.trailers_size(), batch.segment_count()));
  }
  const crypto::PublicKey recipient = point_of(request.station_agreement_key(), "station's key");
  const auto station = StationId::from_bytes(as_bytes(request.station_id()));
  const auto appliance = ApplianceId::from_bytes(as_bytes(request.appliance_id()));
  if (!station || *station != batch.station || !appliance || *appliance != plan.appliance) {
    refuse("station or appliance is not the plan's");
  }
  token::Manifest manifest{.batch_id = plan.batch_id(),
                           .plan_digest = plan.digest,
                           .appliance_id = *appliance,
                           .environment = token_environment(plan.environment),
                           .station_id = *station,
                           .site = batch.site,
                           .customer = batch.customer,
                           .family = token_family(batch.family),
                           .mode = token_mode(batch.mode),
                           .key_name = batch.key_name,
                           .se_count = batch.se_count,
                           .target_count = batch.target_count,
                           .se_list_root = batch.se_list_root,
                           .firmware_sha256 = batch.firmware_sha256,
                           .checkpoint = request.checkpoint(),
                           .line_checks = line_checks_of(batch)};
  for (const v1::StoredTrailer& trailer : request.trailers()) {
    const auto container = ContainerId::from_bytes(as_bytes(trailer.container_id()));
    const auto digest = Digest::from_bytes(as_bytes(trailer.digest()));
    const auto first = SeSerial::from_bytes(as_bytes(trailer.first_se_serial()));
    const auto last = SeSerial::from_bytes(as_bytes(trailer.last_se_serial()));
    if (!container || !digest || !first || !last) throw Error{Code::Internal, "a stored trailer is malformed"};
    manifest.segments.push_back({SegmentIndex{trailer.index()}, *container, *digest, trailer.count(),
                                 RecordNo{trailer.index() * batch.segment_size}, *first, *last});
  }
  for (const std::string& anchor : request.anchors()) manifest.anchors.push_back(to_bytes(as_bytes(anchor)));
  if (!request.station_log_root().empty()) {
    const auto root = Digest::from_bytes(as_bytes(request.station_log_root()));
    if (!root) refuse("the station log's root is not 32 octets");
    manifest.station_log = token::StationLogSeen{request.station_log_generation(), request.station_log_size(), *root};
  }
  const token::Header header{.type = token::ContainerType::Manifest,
                             .environment = manifest.environment,
                             .container_id = random_.id<ContainerId>(),
                             .batch_id = plan.batch_id(),
                             .index = 0,
                             .count = static_cast<std::uint32_t>(manifest.segments.size()),
                             .body_bound_bytes = token::kMaxManifestItemBytes + kRecordOverheadBytes,
                             .sender = export_key().key_id(),
                             .recipient = recipient.key_id()};
  token::Sealer sealer{header, recipient, sink.body};
  token::ItemWriter items{[&sealer](ByteView octets) { sealer.write(octets); }};
  items.write(token::opening_for(header));
  items.write(manifest);
  token::Sealed sealed = sealer.finish();
  made.set_container_id(header.container_id.str());
  made.set_digest(sealed.digest.str());
  made.set_chunk_count(sealed.chunk_count);
  made.set_count(header.count);
  keep(header.container_id, std::move(sealed), SecretBytes{});
  KF_CUT("worker.manifest.made");
}

SignedTrailer SegmentMaker::sign(const ContainerId& container) {
  const auto found = pending_.find(container);
  if (found == pending_.end()) throw Error{Code::NotFound, "nothing waits for a signature under this container id"};
  p11::HsmSigner signer{hsm_.session(), lasting_role_key(hsm_.session(), KeyRole::Export, ""), export_key()};
  KF_CUT("worker.trailer.before-sign");
  SignedTrailer signed_trailer{
      token::make_trailer(found->second.sealed,
                          crypto::sign(signer, crypto::SignatureKind::Container, found->second.sealed.digest.bytes())),
      std::move(found->second.certificates_key)};
  pending_.erase(found);
  KF_CUT("worker.trailer.signed");
  return signed_trailer;
}

void SegmentMaker::drop(const ContainerId& container) { pending_.erase(container); }

}  // namespace keyferry::appliance
