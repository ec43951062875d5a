#include "token/items.h"

#include <utility>

#include "keyferry/v1/batch.pb.h"
#include "token/convert.h"
#include "wrap/base/text.h"
#include "wrap/x509/declaration.h"

namespace keyferry::token {
namespace {

namespace pb = keyferry::v1;

// --- out
// --------------------------------------------------------------------------------------------------------------

void fill(pb::BodyItem& item, const BodyOpening& value) {
  auto& message = *item.mutable_opening();
  message.set_type(static_cast<pb::ContainerType>(value.type));
  message.set_sender_key_id(value.sender.str());
  message.set_batch_id(value.batch_id.str());
  message.set_index(value.index);
  message.set_count(value.count);
}

void fill(pb::BodyItem& item, const Record& value) {
  auto& message = *item.mutable_record();
  message.set_record_no(value.record_no.value);
  message.set_family(static_cast<pb::Family>(value.family));
  message.set_se_serial(to_string(value.se_serial.bytes()));
  message.set_key_name(value.key_name);
  message.set_device_serial(value.device_serial);
  message.set_generation(value.generation);
  message.set_payload(to_string(value.payload));
  message.set_public_key(to_string(value.public_key.point()));
  message.set_certificate(to_string(value.certificate));
  for (const Bytes& issuer : value.issuers) message.add_issuers(to_string(issuer));
  message.set_challenge(value.challenge.str());
}

void fill(pb::BodyItem& item, const Manifest& value) {
  auto& message = *item.mutable_manifest();
  message.set_version(kMessageVersion);
  message.set_batch_id(value.batch_id.str());
  message.set_plan_digest(value.plan_digest.str());
  message.set_appliance_id(value.appliance_id.str());
  message.set_environment(static_cast<pb::Environment>(value.environment));
  message.set_station_id(value.station_id.str());
  message.set_site(value.site);
  message.set_customer(value.customer);
  message.set_family(static_cast<pb::Family>(value.family));
  message.set_mode(static_cast<pb::Mode>(value.mode));
  message.set_key_name(value.key_name);
  message.set_se_count(value.se_count);
  message.set_target_count(value.target_count);
  message.set_se_list_root(value.se_list_root.str());
  for (const SegmentLine& line : value.segments) {
    auto& out = *message.add_segments();
    out.set_index(line.index.value);
    out.set_container_id(line.container_id.str());
    out.set_digest(line.digest.str());
    out.set_count(line.count);
    out.set_first_record_no(line.first_record_no.value);
    out.set_first_se_serial(to_string(line.first_se_serial.bytes()));
    out.set_last_se_serial(to_string(line.last_se_serial.bytes()));
  }
  for (const Bytes& anchor : value.anchors) message.add_anchors(to_string(anchor));
  if (value.firmware_sha256) message.set_firmware_sha256(value.firmware_sha256->str());
  message.set_checkpoint(value.checkpoint);
  message.set_certification_declaration(to_string(value.certification_declaration));
  message.set_declaration_signer(to_string(value.declaration_signer));
  if (value.station_log) {
    auto& log = *message.mutable_station_log();
    log.set_generation(value.station_log->generation);
    log.set_size(value.station_log->size);
    log.set_root(value.station_log->root.str());
  }
  if (value.line_checks) {
    auto& checks = *message.mutable_line_checks();
    checks.set_chain_time(static_cast<pb::ChainTime>(value.line_checks->chain_time));
    checks.set_issuing_ms(value.line_checks->issuing.value);
    checks.set_clock_skew_s(value.line_checks->clock_skew_s);
    if (value.line_checks->secure_boot_key_sha256)
      checks.set_secure_boot_key_sha256(value.line_checks->secure_boot_key_sha256->str());
  }
}

void fill(pb::BodyItem& item, const ReceiptsOpening& value) {
  auto& message = *item.mutable_receipts_opening();
  to_message(value.head, *message.mutable_head());
  message.set_from_size(value.from_size);
  message.set_to_size(value.to_size);
  message.set_highest_checkpoint(value.highest_checkpoint);
}

void fill(pb::BodyItem& item, const ReceiptEntry& value) {
  item.mutable_receipt()->set_leaf(to_string(value.leaf));
  item.mutable_receipt()->set_signature(to_string(value.signature));
  item.mutable_receipt()->set_attestation(to_string(value.attestation));
}

void fill(pb::BodyItem& item, const WaitingRecord& value) {
  auto& message = *item.mutable_waiting();
  message.set_record_no(value.record_no.value);
  message.set_se_serial(to_string(value.se_serial.bytes()));
  message.set_payload(to_string(value.payload));
  message.set_public_key(to_string(value.public_key.point()));
  message.set_request_sha256(value.request_sha256.str());
}

// --- in
// ---------------------------------------------------------------------------------------------------------------

template <typename T>
std::vector<Bytes> certificates(
    Fields& fields, const T& list, std::size_t min, std::size_t max, const char* field) {
  std::vector<Bytes> out;
  const auto count = static_cast<std::size_t>(list.size());
  fields.check(count >= min && count <= max, field);
  if (fields.bad()) return out;
  for (const std::string& der : list)
    out.push_back(fields.octets(der, 1, kMaxCertificateBytes, field));
  return out;
}

std::optional<Item> from_message(Fields& fields, const pb::BodyOpening& message) {
  return BodyOpening{
      .type = fields.known(container_type_from_number(static_cast<std::uint32_t>(message.type())),
                           "type"),
      .sender = fields.id<KeyId>(message.sender_key_id(), "sender-key-id"),
      .batch_id = fields.id<BatchId>(message.batch_id(), "batch-id"),
      .index = message.index(),
      .count = message.count(),
  };
}

std::optional<Item> from_message(Fields& fields, const pb::Record& message) {
  const auto serial = fields.serial(message.se_serial(), "se-serial");
  const auto key = fields.point(message.public_key(), "public-key");
  fields.check(message.generation() >= 1, "generation");
  if (fields.bad()) return std::nullopt;
  return Record{
      .record_no = {message.record_no()},
      .family =
          fields.known(family_from_number(static_cast<std::uint32_t>(message.family())), "family"),
      .se_serial = *serial,
      .key_name = fields.text(message.key_name(), is_name, "key-name"),
      .device_serial =
          fields.text(message.device_serial(), is_device_serial_or_empty, "device-serial"),
      .generation = message.generation(),
      .payload = fields.octets(message.payload(), 1, kMaxPayloadBytes, "payload"),
      .public_key = *key,
      .certificate = fields.octets(message.certificate(), 1, kMaxCertificateBytes, "certificate"),
      .issuers = certificates(fields, message.issuers(), 1, kMaxIssuers, "issuers"),
      .challenge = fields.id<Digest>(message.challenge(), "challenge"),
  };
}

std::optional<SegmentLine> from_message(Fields& fields, const pb::SegmentLine& message) {
  const auto first = fields.serial(message.first_se_serial(), "first-se-serial");
  const auto last = fields.serial(message.last_se_serial(), "last-se-serial");
  fields.check(message.count() >= 1 && message.count() <= kMaxSegmentRecords, "segment-count");
  if (fields.bad()) return std::nullopt;
  return SegmentLine{
      .index = {message.index()},
      .container_id = fields.id<ContainerId>(message.container_id(), "container-id"),
      .digest = fields.id<Digest>(message.digest(), "digest"),
      .count = message.count(),
      .first_record_no = {message.first_record_no()},
      .first_se_serial = *first,
      .last_se_serial = *last,
  };
}

std::vector<SegmentLine> segments(Fields& fields, const pb::Manifest& message) {
  std::vector<SegmentLine> out;
  fields.check(static_cast<std::size_t>(message.segments_size()) <= kMaxSegments, "segments");
  if (fields.bad()) return out;
  std::uint64_t free_from = 0;  // the first record number that no segment has named yet
  for (const pb::SegmentLine& message_line : message.segments()) {
    auto line = from_message(fields, message_line);
    if (!line) return out;
    fields.check(out.empty() || line->index > out.back().index, "segments");
    fields.check(line->first_record_no.value >= free_from, "segments");
    free_from = std::uint64_t{line->first_record_no.value} + line->count;
    fields.check(free_from <= message.se_count(), "segments");
    out.push_back(std::move(*line));
  }
  return out;
}

LineChecks from_message(Fields& fields, const pb::LineChecks& message) {
  const bool now = message.chain_time() == pb::CHAIN_TIME_NOW;
  fields.check(now || message.chain_time() == pb::CHAIN_TIME_ISSUING, "line-checks");
  fields.check(message.clock_skew_s() <= (now ? kMaxClockSkewSeconds : 0), "line-checks");
  LineChecks checks{now ? ChainTime::Now : ChainTime::Issuing,
                    fields.time(message.issuing_ms(), "line-checks"),
                    message.clock_skew_s()};
  if (!message.secure_boot_key_sha256().empty()) {
    checks.secure_boot_key_sha256 =
        fields.id<Digest>(message.secure_boot_key_sha256(), "line-checks");
  }
  return checks;
}

std::optional<Item> from_message(Fields& fields, const pb::Manifest& message) {
  fields.check(message.version() == kMessageVersion, "version");
  fields.check(message.target_count() <= message.se_count(), "target-count");
  Manifest out{
      .batch_id = fields.id<BatchId>(message.batch_id(), "batch-id"),
      .plan_digest = fields.id<Digest>(message.plan_digest(), "plan-digest"),
      .appliance_id = fields.id<ApplianceId>(message.appliance_id(), "appliance-id"),
      .environment =
          fields.known(environment_from_number(static_cast<std::uint32_t>(message.environment())),
                       "environment"),
      .station_id = fields.id<StationId>(message.station_id(), "station-id"),
      .site = fields.text(message.site(), is_name, "site"),
      .customer = fields.text(message.customer(), is_name_or_empty, "customer"),
      .family =
          fields.known(family_from_number(static_cast<std::uint32_t>(message.family())), "family"),
      .mode = fields.known(mode_from_number(static_cast<std::uint32_t>(message.mode())), "mode"),
      .key_name = fields.text(message.key_name(), is_name, "key-name"),
      .se_count = message.se_count(),
      .target_count = message.target_count(),
      .se_list_root = fields.id<Digest>(message.se_list_root(), "se-list-root"),
      .segments = segments(fields, message),
      .anchors = certificates(fields, message.anchors(), 0, kMaxAnchors, "anchors"),
      .firmware_sha256 = std::nullopt,
      .checkpoint = fields.text(message.checkpoint(), is_note_or_empty, "checkpoint"),
      .station_log = std::nullopt,
      .line_checks = std::nullopt,
  };
  if (message.has_line_checks()) out.line_checks = from_message(fields, message.line_checks());
  out.certification_declaration = fields.octets(message.certification_declaration(),
                                                0,
                                                x509::kMaxDeclarationBytes,
                                                "certification-declaration");
  out.declaration_signer =
      fields.octets(message.declaration_signer(), 0, kMaxCertificateBytes, "declaration-signer");
  fields.check(out.declaration_signer.empty() || !out.certification_declaration.empty(),
               "declaration-signer");
  if (!message.firmware_sha256().empty()) {
    out.firmware_sha256 = fields.id<Digest>(message.firmware_sha256(), "firmware-sha256");
  }
  if (message.has_station_log()) {
    const auto& log = message.station_log();
    fields.check(log.generation() >= 1, "station-log");
    out.station_log =
        StationLogSeen{log.generation(), log.size(), fields.id<Digest>(log.root(), "station-log")};
  }
  return out;
}

std::optional<Item> from_message(Fields& fields, const pb::ReceiptsOpening& message) {
  fields.check(message.from_size() <= message.to_size(), "to-size");
  return ReceiptsOpening{
      .head = from_message(fields, message.head()),
      .from_size = message.from_size(),
      .to_size = message.to_size(),
      .highest_checkpoint =
          fields.text(message.highest_checkpoint(), is_note_or_empty, "highest-checkpoint"),
  };
}

std::optional<Item> from_message(Fields& fields, const pb::ReceiptEntry& message) {
  fields.check(message.signature().empty() || message.signature().size() == crypto::kSignatureBytes,
               "signature");
  return ReceiptEntry{
      .leaf = fields.octets(message.leaf(), 1, kMaxLeafBytes, "leaf"),
      .signature = fields.octets(message.signature(), 0, crypto::kSignatureBytes, "signature"),
      .attestation = fields.octets(message.attestation(), 0, kMaxAttestationBytes, "attestation"),
  };
}

std::optional<Item> from_message(Fields& fields, const pb::WaitingRecord& message) {
  const auto serial = fields.serial(message.se_serial(), "se-serial");
  const auto key = fields.point(message.public_key(), "public-key");
  if (fields.bad()) return std::nullopt;
  return WaitingRecord{
      .record_no = {message.record_no()},
      .se_serial = *serial,
      .payload = fields.octets(message.payload(), 1, kMaxPayloadBytes, "payload"),
      .public_key = *key,
      .request_sha256 = fields.id<Digest>(message.request_sha256(), "request-sha256"),
  };
}

std::optional<Item> from_message(Fields& fields, const pb::BodyItem& item) {
  switch (item.item_case()) {
    case pb::BodyItem::kOpening:
      return from_message(fields, item.opening());
    case pb::BodyItem::kRecord:
      return from_message(fields, item.record());
    case pb::BodyItem::kManifest:
      return from_message(fields, item.manifest());
    case pb::BodyItem::kReceiptsOpening:
      return from_message(fields, item.receipts_opening());
    case pb::BodyItem::kReceipt:
      return from_message(fields, item.receipt());
    case pb::BodyItem::kWaiting:
      return from_message(fields, item.waiting());
    case pb::BodyItem::ITEM_NOT_SET:
      break;
  }
  fields.check(false, "item");  // a kind that came after this version
  return std::nullopt;
}

std::size_t limit_for(bool manifest) {
  return manifest ? kMaxManifestItemBytes : kMaxItemBytes;
}

}  // namespace

BodyOpening opening_for(const Header& header) {
  return BodyOpening{header.type, header.sender, header.batch_id, header.index, header.count};
}

Bytes encode_item(const Item& item) {
  pb::BodyItem message;
  std::visit([&](const auto& value) { fill(message, value); }, item);
  Fields fields{"item"};
  static_cast<void>(from_message(fields, message));
  fields.throw_if_bad();
  const Bytes octets = serialise_message(message);
  if (octets.size() > limit_for(message.has_manifest())) {
    throw Error{Code::InvalidArgument, "item: longer than its reader takes"};
  }
  Bytes out;
  out.reserve(4 + octets.size());
  append_u32be(out, static_cast<std::uint32_t>(octets.size()));
  append(out, octets);
  return out;
}

std::variant<Item, Refusal> parse_item(ByteView octets) {
  pb::BodyItem message;
  constexpr int kManifestField = pb::BodyItem::kManifestFieldNumber;
  if (octets.size() <= kMaxManifestItemBytes &&
      (count_fields(octets, {kManifestField, pb::Manifest::kSegmentsFieldNumber}) > kMaxSegments ||
       count_fields(octets, {kManifestField, pb::Manifest::kAnchorsFieldNumber}) > kMaxAnchors)) {
    return Refusal{"segments", "manifest: more lines than a batch can have"};
  }
  if (auto no = parse_message(octets, kMaxManifestItemBytes, message)) return std::move(*no);
  if (octets.size() > limit_for(message.has_manifest())) {
    return Refusal{"size", "an item of " + std::to_string(octets.size()) + " octets"};
  }
  Fields fields{"item"};
  auto item = from_message(fields, message);
  if (fields.bad() || !item) return fields.refusal();
  return std::move(*item);
}

}  // namespace keyferry::token
