// A batch under an outside CA has two halves. First each key is made, signs its PKCS#10 in the HSM, is wrapped, and waits in
// a container that kf-export signs and that is sealed to kf-inbox of the same HSM. When the certificates have come and
// officers have approved them, the worker opens that container, and no other one: it is the one that kf-state names, with
// our own signature. Wrapped keys and content keys never leave the worker.
#include <fmt/format.h>

#include <utility>

#include "appliance/gate/internal/segment_parts.h"
#include "appliance/plan/outside_certificate.h"
#include "token/audit/merkle.h"
#include "token/container_octets.h"
#include "token/items.h"
#include "wrap/base/cut.h"
#include "wrap/crypto/hash.h"
#include "wrap/p11/hsm_keys.h"

namespace keyferry::appliance {
namespace {

template <typename T>
T parsed_or_throw(std::variant<T, Refusal> parsed) {
  if (const auto* refusal = std::get_if<Refusal>(&parsed)) throw to_error(*refusal);
  return std::get<T>(std::move(parsed));
}

void need(const token::Checked& checked) {
  if (const auto* refusal = std::get_if<Refusal>(&checked)) throw to_error(*refusal);
}

void describe_request(const BatchId& batch, const se::Entry& entry, const MadeRecord& made, UtcMillis now,
                      v1::IssuedRecord& line) {
  const token::Record& record = made.record;
  line.set_record_no(record.record_no.value);
  line.set_public_key(to_string(record.public_key.point()));
  line.set_nonce_id(to_string(made.nonce_id));
  line.set_request_sha256(crypto::sha256(made.request).str());
  v1::LogLeaf leaf = record_leaf(now);
  v1::KeyRequestedLeaf& key = *leaf.mutable_key_requested();
  name_record(key, batch, entry, record);
  key.set_request_sha256(line.request_sha256());
  line.set_leaf(leaf.SerializeAsString());
}

void describe_certified(const BatchId& batch, const se::Entry& entry, const token::Record& record,
                        const x509::CertificateFacts& certificate, UtcMillis now, v1::IssuedRecord& line) {
  line.set_record_no(record.record_no.value);
  line.set_public_key(to_string(record.public_key.point()));
  line.set_certificate_serial(to_string(outside_serial_id(certificate)));
  line.set_outside_serial(to_string(certificate.serial));
  line.set_certificate_sha256(certificate.sha256.str());
  line.set_challenge(record.challenge.str());
  v1::LogLeaf leaf = record_leaf(now);
  v1::KeyIssuedLeaf& key = *leaf.mutable_key_issued();
  name_record(key, batch, entry, record);
  key.set_certificate_serial(line.outside_serial());
  key.set_certificate_sha256(line.certificate_sha256());
  line.set_leaf(leaf.SerializeAsString());
}

/// The certificates are the approved ones, in the place of each record.
void check_certificates(const v1::MakeSegment& request, const BatchPlan& batch, std::size_t count) {
  if (static_cast<std::size_t>(request.certificates_size()) != count) {
    refuse(fmt::format("segment {} has {} records, {} certificates were given", request.index(), count,
                       request.certificates_size()));
  }
  std::vector<Digest> leaves;
  for (const std::string& certificate : request.certificates()) leaves.push_back(audit::leaf_hash(as_bytes(certificate)));
  std::vector<Digest> path;
  for (const std::string& hash : request.certificates_path()) {
    const auto digest = Digest::from_bytes(as_bytes(hash));
    if (!digest) refuse("a hash of the certificates' audit path is not 32 octets");
    path.push_back(*digest);
  }
  const auto root = Digest::from_bytes(as_bytes(request.certificates_root()));
  if (!root || !audit::verify_subtree(audit::tree_root(leaves), request.index(), batch.segment_size, batch.se_count, path,
                                      *root)) {
    refuse(fmt::format("the certificates of segment {} are not those that the officers approved", request.index()));
  }
}

token::Record certified_record(const se::Entry& entry, token::WaitingRecord&& waiting, const v1::MakeSegment& request,
                               ByteView certificate, RandomSource& random) {
  return token::Record{.record_no = waiting.record_no,
                       .family = token_family(entry.family),
                       .se_serial = entry.serial,
                       .key_name = entry.key_name,
                       .device_serial = entry.device_serial,
                       .generation = entry.generation,
                       .payload = std::move(waiting.payload),
                       .public_key = waiting.public_key,
                       .certificate = to_bytes(certificate),
                       .issuers = issuers_of(request),
                       .challenge = random.id<Digest>()};
}

/// Each certificate is for the key and the SE in its place, and what plan and CA say.
std::vector<x509::CertificateFacts> checked_facts(const BatchPlan& batch, const v1::MakeSegment& request,
                                                  const std::vector<se::Entry>& entries,
                                                  const std::vector<token::WaitingRecord>& waiting) {
  if (waiting.size() != entries.size()) refuse("the waiting container has another number of records than its segment");
  const OutsideCertificates outside{batch, issuers_of(request)};
  std::vector<x509::CertificateFacts> facts;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const std::uint32_t number = request.index() * batch.segment_size + static_cast<std::uint32_t>(i);
    if (waiting[i].record_no.value != number || waiting[i].se_serial != entries[i].serial) {
      refuse(fmt::format("the waiting container has another SE in the place of record {}", number));
    }
    auto checked = outside.check(as_bytes(request.certificates(static_cast<int>(i))), subject_fields(entries[i]),
                                 waiting[i].public_key, UtcMillis{request.now_ms()});
    if (auto* no = std::get_if<Refusal>(&checked)) {
      no->text = fmt::format("record {}: {}", number, no->text);
      throw to_error(*no);
    }
    facts.push_back(std::get<x509::CertificateFacts>(std::move(checked)));
  }
  return facts;
}

}  // namespace

void SegmentMaker::make_waiting(const Plan& plan, const v1::MakeSegment& request, const SegmentSink& sink,
                                v1::SegmentMade& made) {
  const BatchPlan& batch = plan.batch();
  if (batch.segment_size > kMaxOutsideSegmentRecords) {
    refuse(fmt::format("segments under an outside CA have at most {} records", kMaxOutsideSegmentRecords));
  }
  const std::vector<se::Entry> entries = checked_entries(request, batch);
  const RecordNo first{request.index() * batch.segment_size};
  RecordLine line{hsm_, random_, RecordLine::Order{batch, request, entries, first, threads_}, recover_};
  const crypto::PublicKey inbox = lasting_role_point(hsm_.session(), KeyRole::Inbox, "");
  const token::Header header = header_of(token::ContainerType::Waiting, plan, request, entries.size(),
                                         kRecordOverheadBytes + token::kMaxPayloadBytes,
                                         {random_.id<ContainerId>(), export_key().key_id(), inbox.key_id()});
  token::Sealer sealer{header, inbox, sink.body};
  token::ItemWriter items{[&sealer](ByteView octets) { sealer.write(octets); }};
  items.write(token::opening_for(header));
  Bytes requests;
  IssuedLines issued{sink};
  for (const se::Entry& entry : entries) {
    const MadeRecord record = line.next();
    items.write(token::WaitingRecord{.record_no = record.record.record_no,
                                     .se_serial = entry.serial,
                                     .payload = record.record.payload,
                                     .public_key = record.record.public_key,
                                     .request_sha256 = crypto::sha256(record.request)});
    append_u16be_prefixed(requests, record.request);
    describe_request(plan.batch_id(), entry, record, UtcMillis{request.now_ms()}, issued.next());
    ++keys_made_;
  }
  issued.finish();
  KF_CUT("worker.waiting.made");
  token::Sealed sealed = sealer.finish();
  SecretBytes requests_key = seal_certificates(header.container_id, requests, random_, sink);
  tell_made(header, sealed, entries, made);
  made.set_plaintext(line.plaintext());
  keep(header.container_id, std::move(sealed), std::move(requests_key));
}

/// Only what this HSM's kf-export signed and kf-state names is opened, and only for an approved plan: the gate gives the
/// digest and the root of approved certificates to nobody else.
std::vector<token::WaitingRecord> SegmentMaker::open_waiting(const Plan& plan, const v1::MakeSegment& request) {
  p11::Session& session = hsm_.session();
  p11::HsmDhKey inbox{session, lasting_role_key(session, KeyRole::Inbox, ""), lasting_role_point(session, KeyRole::Inbox, "")};
  const ByteView container = as_bytes(request.waiting());
  const auto outline = parsed_or_throw(
      token::outline_octets(container, {.type = token::ContainerType::Waiting,
                                        .environment = token_environment(plan.environment),
                                        .recipient = inbox.public_key().key_id(),
                                        .max_body_bytes = token::kMaxBodyBytes,
                                        .sender = export_key().key_id(),
                                        .batch_id = plan.batch_id(),
                                        .index = request.index()}));
  need(token::check_signature(outline, export_key()));
  if (outline.digest.str() != request.waiting_digest()) {
    refuse(fmt::format("the waiting container {} is not the one that the HSM's state names", request.index()));
  }
  const auto key = token::open_content_key(outline.trailer.enc, outline.header_bytes, inbox);
  if (!key) refuse("the waiting container's encapsulated key is no point of the curve");
  std::vector<token::WaitingRecord> records;
  need(token::read_items_of(container, outline, *key, [&](token::Item&& item) -> token::Checked {
    if (auto* record = std::get_if<token::WaitingRecord>(&item)) records.push_back(std::move(*record));
    return std::monostate{};
  }));
  return records;
}

void SegmentMaker::make_certified(const Plan& plan, const v1::MakeSegment& request, const SegmentSink& sink,
                                  v1::SegmentMade& made) {
  const BatchPlan& batch = plan.batch();
  const std::vector<se::Entry> entries = checked_entries(request, batch);
  check_certificates(request, batch, entries.size());
  const crypto::PublicKey recipient = point_of(request.station_agreement_key(), "station's key");
  std::vector<token::WaitingRecord> waiting = open_waiting(plan, request);
  const std::vector<x509::CertificateFacts> facts = checked_facts(batch, request, entries, waiting);  // before any is sealed

  const std::uint64_t record_bytes =
      kRecordOverheadBytes + token::kMaxPayloadBytes + token::kMaxCertificateBytes + issuers_bytes(request);
  const token::Header header = header_of(token::ContainerType::Segment, plan, request, entries.size(), record_bytes,
                                         {random_.id<ContainerId>(), export_key().key_id(), recipient.key_id()});
  token::Sealer sealer{header, recipient, sink.body};
  token::ItemWriter items{[&sealer](ByteView octets) { sealer.write(octets); }};
  items.write(token::opening_for(header));
  Bytes certificates;
  IssuedLines issued{sink};
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const ByteView certificate = as_bytes(request.certificates(static_cast<int>(i)));
    const token::Record record = certified_record(entries[i], std::move(waiting[i]), request, certificate, random_);
    items.write(record);
    append_u16be_prefixed(certificates, certificate);
    describe_certified(plan.batch_id(), entries[i], record, facts[i], UtcMillis{request.now_ms()}, issued.next());
  }
  issued.finish();
  KF_CUT("worker.certified.made");
  token::Sealed sealed = sealer.finish();
  SecretBytes certificates_key = seal_certificates(header.container_id, certificates, random_, sink);
  tell_made(header, sealed, entries, made);
  keep(header.container_id, std::move(sealed), std::move(certificates_key));
}

}  // namespace keyferry::appliance
