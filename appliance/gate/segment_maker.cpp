#include "appliance/gate/segment_maker.h"

#include <fmt/format.h>

#include <utility>

#include "appliance/gate/internal/segment_parts.h"
#include "appliance/plan/line_checks_of.h"
#include "appliance/plan/product_declaration.h"
#include "keyferry/v1/worker.pb.h"
#include "token/items.h"
#include "wrap/base/cut.h"
#include "wrap/crypto/aead.h"
#include "wrap/crypto/hash.h"
#include "wrap/p11/hsm_keys.h"
#include "wrap/se/entry.h"

namespace keyferry::appliance {

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
  if (request.outside()) {
    return request.waiting().empty() ? make_waiting(plan, request, sink, made) : make_certified(plan, request, sink, made);
  }
  const std::vector<se::Entry> entries = checked_entries(request, batch);
  const RecordNo first{request.index() * batch.segment_size};
  RecordLine line{hsm_, random_, RecordLine::Order{batch, request, entries, first, threads_}, recover_};
  const crypto::PublicKey recipient = point_of(request.station_agreement_key(), "station's key");

  const token::Header header =
      header_of(token::ContainerType::Segment, plan, request, entries.size(),
                kRecordOverheadBytes + token::kMaxCertificateBytes + issuers_bytes(request),
                {random_.id<ContainerId>(), export_key().key_id(), recipient.key_id()});
  token::Sealer sealer{header, recipient, sink.body};
  token::ItemWriter items{[&sealer](ByteView octets) { sealer.write(octets); }};
  items.write(token::opening_for(header));

  Bytes certificates;
  IssuedLines issued{sink};
  for (const se::Entry& entry : entries) {
    const MadeRecord made_record = line.next();
    const token::Record& record = made_record.record;
    items.write(record);
    append_u16be_prefixed(certificates, record.certificate);
    describe(plan.batch_id(), entry, made_record, UtcMillis{request.now_ms()}, issued.next());
    ++keys_made_;
  }
  issued.finish();
  KF_CUT("worker.segment.made");
  token::Sealed sealed = sealer.finish();

  SecretBytes certificates_key = seal_certificates(header.container_id, certificates, random_, sink);
  tell_made(header, sealed, entries, made);
  made.set_plaintext(line.plaintext());
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
  manifest.certification_declaration = to_bytes(as_bytes(request.certification_declaration()));
  manifest.declaration_signer = to_bytes(as_bytes(request.declaration_signer()));
  // Which PAA it authorizes, the plan's check knew.
  if (auto refusal = check_declaration(batch.device_template(), manifest.certification_declaration, manifest.declaration_signer, {}))
    throw to_error(*refusal);
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
