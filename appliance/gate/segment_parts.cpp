#include "appliance/gate/internal/segment_parts.h"

#include <fmt/format.h>

#include <algorithm>

#include "appliance/gate/internal/entry_block.h"
#include "wrap/crypto/aead.h"
#include "wrap/crypto/hash.h"

namespace keyferry::appliance {
namespace {

constexpr int kRecordsPerMessage = 128;
constexpr std::uint64_t kRecordsBetweenLooks = 8;  // at other requests
constexpr std::size_t kCertificatePieceBytes = 256 * 1024;

}  // namespace

void refuse(const std::string& text) { throw Error{Code::Refused, text}; }

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

std::vector<Bytes> issuers_of(const v1::MakeSegment& request) {
  std::vector<Bytes> issuers{to_bytes(as_bytes(request.ca_certificate()))};
  for (const std::string& issuer : request.ca_issuers()) issuers.push_back(to_bytes(as_bytes(issuer)));
  return issuers;
}

std::uint64_t issuers_bytes(const v1::MakeSegment& request) {
  std::uint64_t bytes = request.ca_certificate().size();
  for (const std::string& issuer : request.ca_issuers()) bytes += issuer.size();
  return bytes;
}

token::Header header_of(token::ContainerType type, const Plan& plan, const v1::MakeSegment& request, std::size_t records,
                        std::uint64_t record_bytes, const ContainerEnds& ends) {
  return {.type = type,
          .environment = token_environment(plan.environment),
          .container_id = ends.container,
          .batch_id = plan.batch_id(),
          .index = request.index(),
          .count = static_cast<std::uint32_t>(records),
          .body_bound_bytes = (records + 1) * record_bytes,
          .sender = ends.sender,
          .recipient = ends.recipient};
}

v1::LogLeaf record_leaf(UtcMillis now) {
  v1::LogLeaf leaf;
  leaf.set_version(1);
  leaf.set_origin(v1::LEAF_ORIGIN_DONE);
  leaf.set_time_ms(now.value);
  return leaf;
}

void describe(const BatchId& batch, const se::Entry& entry, const MadeRecord& made, UtcMillis now, v1::IssuedRecord& line) {
  const token::Record& record = made.record;
  const x509::CertificateSerial& serial = made.serial;
  line.set_record_no(record.record_no.value);
  line.set_public_key(to_string(record.public_key.point()));
  line.set_certificate_serial(serial.str());
  line.set_certificate_sha256(crypto::sha256(record.certificate).str());
  line.set_challenge(record.challenge.str());
  line.set_nonce_id(to_string(made.nonce_id));
  v1::LogLeaf leaf = record_leaf(now);
  v1::KeyIssuedLeaf& key = *leaf.mutable_key_issued();
  name_record(key, batch, entry, record);
  key.set_certificate_serial(serial.str());
  key.set_certificate_sha256(line.certificate_sha256());
  line.set_leaf(leaf.SerializeAsString());
}

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

v1::IssuedRecord& IssuedLines::next() {
  if (lines_.records_size() == kRecordsPerMessage) {
    sink_.records(lines_);
    lines_.Clear();
  }
  if (++count_ % kRecordsBetweenLooks == 0) sink_.between_records();
  return *lines_.add_records();
}

void IssuedLines::finish() {
  if (lines_.records_size() != 0) sink_.records(lines_);
  lines_.Clear();
}

void tell_made(const token::Header& header, const token::Sealed& sealed, const std::vector<se::Entry>& entries,
               v1::SegmentMade& made) {
  made.set_container_id(header.container_id.str());
  made.set_digest(sealed.digest.str());
  made.set_chunk_count(sealed.chunk_count);
  made.set_count(header.count);
  made.set_first_se_serial(to_string(entries.front().serial.bytes()));
  made.set_last_se_serial(to_string(entries.back().serial.bytes()));
}

}  // namespace keyferry::appliance
