#include "tests/station-agent/soft_appliance.h"

#include <array>
#include <fstream>
#include <iterator>
#include <stdexcept>

#include "token/audit/merkle.h"
#include "token/container_open.h"
#include "token/layout.h"
#include "token/line_checks.h"
#include "token/transfer.h"
#include "wrap/base/durable_file.h"
#include "wrap/base/words.h"
#include "wrap/crypto/hash.h"
#include "wrap/crypto/kwp.h"
#include "wrap/evidence/possession.h"
#include "wrap/se/atecc608_builder.h"
#include "wrap/x509/certificate.h"

namespace keyferry::station::test {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kDayMs = 86'400'000;

template <typename T>
T must(std::variant<T, Refusal> result) {
  if (const auto* refusal = std::get_if<Refusal>(&result)) {
    throw std::runtime_error(refusal->reason + ": " + refusal->text);
  }
  return std::move(std::get<T>(result));
}

void check(bool good, const char* what) {
  if (!good) throw std::runtime_error(what);
}

Bytes sign_certificate(const Bytes& tbs, crypto::Signer& signer) {
  return x509::assemble(tbs, signer.sign_digest(crypto::sha256(tbs)));
}

/// By turns 17, 16 and fewer octets in DER: what reads them back may not count on one length.
x509::CertificateSerial any_shape_of_serial(std::uint32_t number, RandomSource& random) {
  constexpr std::array<std::uint8_t, 3> kFirst{0xc5, 0x45, 0x00};
  Bytes octets = random.bytes(x509::CertificateSerial::kSizeBytes);
  octets[0] = kFirst.at(number % kFirst.size());
  octets[1] |= 0x01U;
  return *x509::CertificateSerial::from_bytes(octets);
}

/// PKCS#8 of a P-256 key as a module wraps it: 67 octets, no public key.
SecretBytes pkcs8_of(ByteView scalar) {
  Bytes der = *from_hex("3041020100301306072a8648ce3d020106082a8648ce3d030107042730250201010420");
  append(der, scalar);
  return SecretBytes::copy_of(der);
}

void write_file(const fs::path& root, const std::string& name, ByteView octets) {
  fs::create_directories((root / name).parent_path());
  std::ofstream out{root / name, std::ios::binary | std::ios::trunc};
  out.write(as_chars(octets).data(), static_cast<std::streamsize>(octets.size()));
}

}  // namespace

crypto::SoftKey open_payload(const SeStore& se, const token::Record& record) {
  const auto pkcs8 = crypto::unwrap_kwp(SecretBytes::copy_of(se.transport_key), record.payload);
  check(pkcs8 && pkcs8->size() == 67, "the payload does not open under this SE's transport key");
  return *crypto::SoftKey::from_scalar(SecretBytes::copy_of(pkcs8->expose().last(32)));
}

SoftAppliance::SoftAppliance() : id_{token::appliance_id_of(log_key.public_key())} {
  const UtcMillis now = clock_.now();
  const x509::CaSpec spec{"CN=Test CA,O=ACME,C=DE",
                          UtcMillis{now.value - 10 * kDayMs},
                          UtcMillis{now.value + 3650 * kDayMs},
                          0};
  ca_certificate = sign_certificate(
      x509::ca_to_be_signed(spec, x509::make_serial(random_), ca_key.public_key()), ca_key);
}

std::string SoftAppliance::words() const {
  return key_words(id_.bytes());
}

void SoftAppliance::answer_enrolment(const fs::path& token) {
  token::FolderMedium medium{token};
  for (const token::TokenFile& file : token::list_token(medium).files) {
    if (!std::holds_alternative<token::RequestName>(file.parsed)) continue;
    const auto signed_request =
        must(token::parse_signed_bytes(must(token::read_in(medium, file.name))));
    station_ = std::make_unique<token::EnrolmentRequest>(
        must(token::open_enrolment_request(signed_request)));
    request_sha256_ = crypto::sha256(signed_request.payload);
  }
  check(station_ != nullptr, "no enrolment request on the token");
  const token::ApplianceCard card{id_,
                                  station_->environment,
                                  "test-appliance",
                                  log_key.public_key(),
                                  export_key.public_key(),
                                  inbox_key.public_key()};
  const StationId station_id = token::station_id_of(station_->signing_key);
  const token::EnrolmentAnswer answer{
      .station_id = station_id,
      .name = station_->name,
      .site = station_->site,
      .environment = station_->environment,
      .signing_key = station_->signing_key,
      .agreement_key = station_->agreement_key,
      .request_sha256 = request_sha256_,
      .card = token::sign_payload(
          log_key, crypto::SignatureKind::ApplianceCard, token::serialise(card)),
      .time = clock_.now()};
  const auto signed_answer = token::sign_payload(
      export_key, crypto::SignatureKind::EnrolmentAnswer, token::serialise(answer));
  write_file(token, token::answer_name(station_id), token::encode(signed_answer));
}

token::Record SoftAppliance::make_record(const SeSerial& serial,
                                         std::uint32_t number,
                                         const std::function<Bytes(ByteView)>& seal) {
  const Bytes scalar = random_.bytes(32);
  scalars.insert_or_assign(number, scalar);
  const auto key = crypto::SoftKey::from_scalar(SecretBytes::copy_of(scalar));
  const auto ca = must(x509::parse_certificate(ca_certificate));
  // On whole hours and for whole years, as a compressed certificate wants it.
  const x509::CertificateBuilder builder{
      x509::DeviceTemplate{.subject = "CN={key_name},O=ACME,serialNumber={se_serial}",
                           .not_before = *from_rfc3339("2024-03-01T05:00:00Z"),
                           .not_after = *from_rfc3339("2050-03-01T05:00:00Z"),
                           .issuer_name = ca.subject_name,
                           .issuer_key_identifier = ca.subject_key_identifier}};
  const x509::SubjectFields fields{std::nullopt, serial, "dac", "", ""};
  const x509::CertificateSerial certificate_serial = any_shape_of_serial(number, random_);
  const Bytes certificate =
      sign_certificate(builder.to_be_signed(certificate_serial, fields, key->public_key()), ca_key);
  issued_.insert_or_assign(to_bytes(crypto::sha256(certificate).bytes()),
                           Issued{key->public_key(), to_bytes(certificate_serial.bytes())});
  return {.record_no = RecordNo{number},
          .family = token::Family::Pkcs11,
          .se_serial = serial,
          .key_name = "dac",
          .payload = seal(scalar),
          .public_key = key->public_key(),
          .certificate = certificate,
          .issuers = {ca_certificate},
          .challenge = random_.id<Digest>()};
}

SealedFile SoftAppliance::seal(token::Header header, const std::vector<token::Item>& items) {
  header.environment = station_->environment;
  header.body_bound_bytes = 1U << 22;
  crypto::Signer& sender = seal_by != nullptr ? *seal_by : export_key;
  const crypto::PublicKey recipient = seal_to ? *seal_to : station_->agreement_key;
  header.sender = sender.public_key().key_id();
  header.recipient = recipient.key_id();
  SealedFile file;
  file.id = header.container_id;
  token::Sealer sealer{header, recipient, [&](ByteView octets) { append(file.octets, octets); }};
  token::ItemWriter writer{[&](ByteView octets) { sealer.write(octets); }};
  writer.write(token::opening_for(header));
  for (const token::Item& item : items) writer.write(item);
  const token::Sealed sealed = sealer.finish();
  file.digest = sealed.digest;
  append(
      file.octets,
      token::make_trailer(
          sealed, crypto::sign(sender, crypto::SignatureKind::Container, sealed.digest.bytes())));
  return file;
}

SealedFile SoftAppliance::seal_segment(const SoftBatch& batch,
                                       std::uint32_t index,
                                       const std::vector<token::Record>& records,
                                       std::optional<ContainerId> id) {
  token::Header header;
  header.type = token::ContainerType::Segment;
  header.container_id = id ? *id : random_.id<ContainerId>();
  header.batch_id = batch.manifest.batch_id;
  header.index = index;
  header.count = static_cast<std::uint32_t>(records.size());
  return seal(header, {records.begin(), records.end()});
}

SealedFile SoftAppliance::seal_manifest(const token::Manifest& manifest,
                                        std::optional<ContainerId> id) {
  token::Header header;
  header.type = token::ContainerType::Manifest;
  header.container_id = id ? *id : random_.id<ContainerId>();
  header.batch_id = manifest.batch_id;
  header.count = static_cast<std::uint32_t>(manifest.segments.size());
  return seal(header, {token::Item{manifest}});
}

SoftBatch SoftAppliance::make_batch(const std::vector<SeStore>& ses, std::uint32_t segment_size) {
  const auto record = [&](std::uint32_t number) {
    const SeStore& se = ses.at(number);
    return make_record(se.serial, number, [&](ByteView scalar) {
      return crypto::wrap_kwp(SecretBytes::copy_of(se.transport_key), pkcs8_of(scalar));
    });
  };
  return make_batch(static_cast<std::uint32_t>(ses.size()), segment_size, token::Family::Pkcs11,
                    std::nullopt, record);
}

SoftBatch SoftAppliance::make_batch(const std::vector<AteccChip>& chips,
                                    const se::Atecc608Profile& profile,
                                    std::uint32_t segment_size,
                                    std::optional<Digest> firmware_sha256) {
  const auto record = [&](std::uint32_t number) {
    const AteccChip& chip = chips.at(number);
    if (chip.attestation_key) attestors_.insert_or_assign(chip.serial, *chip.attestation_key);
    token::Record made = make_record(chip.serial, number, [&](ByteView scalar) {
      const SecretBytes transport_key = SecretBytes::copy_of(chip.transport_key);
      se::Atecc608Fresh fresh;
      random_.fill(fresh.nonce);
      random_.fill(fresh.challenge);
      auto payload = se::seal_scalar(se::software_hash(transport_key), chip.serial, profile, fresh,
                                     SecretBytes::copy_of(scalar));
      payload.attestation_key = chip.attestation_key;
      return se::serialise_payload(payload);
    });
    made.family = token::Family::Atecc608;
    return made;
  };
  return make_batch(static_cast<std::uint32_t>(chips.size()), segment_size,
                    token::Family::Atecc608, firmware_sha256, record);
}

SoftBatch SoftAppliance::make_batch(std::uint32_t count,
                                    std::uint32_t segment_size,
                                    token::Family family,
                                    std::optional<Digest> firmware_sha256,
                                    const std::function<token::Record(std::uint32_t)>& next) {
  const Digest plan = random_.id<Digest>();
  SoftBatch batch{
      .manifest = token::Manifest{.batch_id = *BatchId::from_bytes(plan.bytes().first(16)),
                                  .plan_digest = plan,
                                  .appliance_id = id_,
                                  .environment = station_->environment,
                                  .station_id = token::station_id_of(station_->signing_key),
                                  .site = station_->site,
                                  .family = family,
                                  .key_name = "dac",
                                  .se_count = count,
                                  .target_count = count,
                                  .se_list_root = random_.id<Digest>(),
                                  .anchors = {ca_certificate},
                                  .firmware_sha256 = firmware_sha256,
                                  .line_checks = token::LineChecks{}},
      .segments = {},
      .sealed = {}};
  for (std::uint32_t number = 0; number < count; ++number) {
    if (number % segment_size == 0) batch.segments.emplace_back();
    batch.segments.back().push_back(next(number));
  }
  for (std::uint32_t index = 0; index < batch.segments.size(); ++index) {
    const auto& records = batch.segments[index];
    batch.sealed.push_back(seal_segment(batch, index, records));
    batch.manifest.segments.push_back({SegmentIndex{index},
                                       batch.sealed.back().id,
                                       batch.sealed.back().digest,
                                       static_cast<std::uint32_t>(records.size()),
                                       records.front().record_no,
                                       records.front().se_serial,
                                       records.back().se_serial});
  }
  manifests.insert_or_assign(batch.manifest.batch_id, batch.manifest);
  return batch;
}

void SoftAppliance::write_card(const fs::path& token, const SoftBatch& batch) {
  const token::TokenCard card{.token_id = random_.id<TokenId>(),
                              .appliance_id = id_,
                              .environment = station_->environment,
                              .batch_id = batch.manifest.batch_id,
                              .station_id = batch.manifest.station_id,
                              .time = clock_.now()};
  write_file(token,
             std::string{token::kTokenCardName},
             token::encode(token::sign_payload(
                 export_key, crypto::SignatureKind::TokenCard, token::serialise(card))));
}

void SoftAppliance::write_token(const fs::path& token,
                                const SoftBatch& batch,
                                const std::optional<SealedFile>& manifest) {
  write_card(token, batch);
  const SealedFile own = manifest ? *manifest : seal_manifest(batch.manifest);
  write_file(token, token::manifest_name(batch.manifest.batch_id), own.octets);
  for (std::uint32_t index = 0; index < batch.sealed.size(); ++index) {
    write_file(token,
               token::segment_name(batch.manifest.batch_id, SegmentIndex{index}),
               batch.sealed[index].octets);
  }
}

OpenedReceipts SoftAppliance::open_receipts(const fs::path& token) {
  token::FolderMedium medium{token};
  std::optional<token::TokenFile> newest;
  for (const token::TokenFile& file : token::list_token(medium).files) {
    const auto* name = std::get_if<token::ReceiptsName>(&file.parsed);
    if (name == nullptr) continue;
    if (!newest || std::get<token::ReceiptsName>(newest->parsed).to_size < name->to_size)
      newest = file;
  }
  check(newest.has_value(), "no receipts on the token");
  const Fd file = open_regular_file(token / newest->name, Code::Storage);
  token::Expectation expected{.type = token::ContainerType::Receipts,
                              .environment = station_->environment,
                              .recipient = inbox_key.public_key().key_id(),
                              .max_body_bytes = 1U << 30};
  expected.sender = station_->signing_key.key_id();
  const token::Outline outline = must(token::outline(file, expected));
  must(token::check_signature(outline, station_->signing_key));
  crypto::SoftDhKey inbox{*crypto::SoftKey::from_encrypted_pem(
      inbox_key.to_encrypted_pem(SecretBytes::copy_of(as_bytes("test"))),
      SecretBytes::copy_of(as_bytes("test")))};
  const auto key = token::open_content_key(outline.trailer.enc, outline.header_bytes, inbox);
  check(key.has_value(), "no content key");
  OpenedReceipts receipts;
  must(token::read_items(file, outline, *key, [&](token::Item&& item) -> token::Checked {
    if (auto* opening = std::get_if<token::ReceiptsOpening>(&item)) {
      check(token::verify_signed(
                opening->head, crypto::SignatureKind::StationLogHead, station_->signing_key),
            "the head is not signed by the station");
      receipts.head = must(token::parse_head(opening->head.payload));
      receipts.from = opening->from_size;
      receipts.to = opening->to_size;
    }
    if (auto* entry = std::get_if<token::ReceiptEntry>(&item))
      receipts.entries.push_back(std::move(*entry));
    return {};
  }));
  check(receipts.entries.size() == receipts.to - receipts.from, "entries are missing");
  audit::Frontier frontier;
  if (receipts.from == 0) {
    for (const token::ReceiptEntry& entry : receipts.entries)
      frontier.append(audit::leaf_hash(entry.leaf));
    check(frontier.root() == receipts.head.root && frontier.size() == receipts.head.size,
          "the head is of another log");
  }
  return receipts;
}

void SoftAppliance::check_line(const token::ReceiptCore& core, const Issued& issued) const {
  const token::Manifest& manifest = manifests.at(core.batch_id);
  const std::vector<Digest> chain{core.certificate_sha256, crypto::sha256(ca_certificate)};
  const auto lacking = token::check_line(core,
                                         {.key = issued.key,
                                          .certificate_serial = issued.serial,
                                          .chain_sha256 = chain,
                                          .firmware_sha256 = manifest.firmware_sha256,
                                          .checks = manifest.line_checks});
  if (lacking) throw std::runtime_error("an injected receipt's verdicts: " + lacking->text);
}

Sums SoftAppliance::sums(const OpenedReceipts& receipts) const {
  Sums sums;
  std::map<std::uint64_t, bool> waiting;  // position of an unsigned injected core
  std::map<std::uint32_t, int> final_cores;
  std::uint64_t position = receipts.from;
  for (const token::ReceiptEntry& entry : receipts.entries) {
    const auto leaf = must(token::parse_leaf(entry.leaf));
    if (const auto* voided = std::get_if<token::VoidLeaf>(&leaf.leaf)) {
      check(waiting.erase(voided->position) == 1, "a void leaf names no waiting core");
      ++sums.voided;
    }
    if (const auto* octets = std::get_if<token::CoreLeaf>(&leaf.leaf)) {
      const auto core = must(token::parse_core(octets->core));
      const auto issued = issued_.find(to_bytes(core.certificate_sha256.bytes()));
      check(issued != issued_.end(), "a receipt for a certificate that was never issued");
      if (core.outcome == token::Outcome::Injected && entry.signature.empty()) {
        waiting[position] = true;
      } else {
        ++final_cores[core.record_no.value];
        check(final_cores[core.record_no.value] == 1, "two receipts for one record");
        if (core.outcome == token::Outcome::Injected) {
          check(crypto::verify(issued->second.key,
                               crypto::SignatureKind::Receipt,
                               octets->core,
                               entry.signature),
                "an injected receipt is not signed by the injected key");
          check_line(core, issued->second);
          ++sums.injected;
          if (core.evidence_kind == token::EvidenceKind::Attested) {
            const auto refusal = evidence::verify_evidence(
                evidence::Evidence{.family = token::name_of(core.family),
                                   .kind = evidence::EvidenceKind::Attested,
                                   .key = issued->second.key,
                                   .core = octets->core,
                                   .signature = entry.signature,
                                   .attestation = entry.attestation,
                                   .attestation_key = attestors_.at(core.se_serial),
                                   .se_serial = core.se_serial.bytes()});
            check(!refusal, "an attested receipt does not verify");
            ++sums.attested;
          }
        } else if (core.outcome == token::Outcome::Quarantined) {
          ++sums.quarantined;
        } else {
          ++sums.returned;
        }
      }
    }
    ++position;
  }
  check(waiting.empty(), "a core has neither signature nor void leaf");
  return sums;
}

}  // namespace keyferry::station::test
