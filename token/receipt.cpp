#include "token/receipt.h"

#include <utility>

#include "keyferry/v1/batch.pb.h"
#include "token/convert.h"
#include "wrap/base/text.h"

namespace keyferry::token {
namespace {

namespace pb = keyferry::v1;

/// Of an enum whose values are 1 to `last`.
template <typename Enum>
std::optional<Enum> numbered(int number, Enum last) {
  if (number < 1 || number > static_cast<int>(last)) return std::nullopt;
  return static_cast<Enum>(number);
}

FirmwareProof from_message(Fields& fields, const pb::FirmwareProof& message) {
  FirmwareProof proof{
      .image_sha256 = fields.id<Digest>(message.image_sha256(), "proof-firmware"),
      .signature_sha256 = fields.id<Digest>(message.signature_sha256(), "proof-firmware"),
      .check =
          fields.known(numbered(message.check(), FirmwareCheck::SecureBoot), "proof-firmware")};
  if (!message.key_sha256().empty())
    proof.key_sha256 = fields.id<Digest>(message.key_sha256(), "proof-firmware");
  return proof;
}

LineProof from_message(Fields& fields, const pb::LineProof& message) {
  LineProof proof;
  const auto count = static_cast<std::size_t>(message.chain_sha256_size());
  fields.check(count <= kMaxProofChain && message.from_se() <= count, "proof-chain");
  if (fields.bad()) return proof;
  for (const std::string& sha256 : message.chain_sha256())
    proof.chain_sha256.push_back(fields.id<Digest>(sha256, "proof-chain"));
  proof.from_se = message.from_se();
  if (!message.anchor_sha256().empty())
    proof.anchor_sha256 = fields.id<Digest>(message.anchor_sha256(), "proof-anchor");
  proof.verified_at = fields.time(message.verified_at_ms(), "proof-time");
  if (!message.challenge_signature().empty()) {
    proof.challenge_signature = fields.octets(message.challenge_signature(),
                                              crypto::kSignatureBytes,
                                              crypto::kSignatureBytes,
                                              "proof-challenge");
  }
  proof.certificate_serial =
      fields.octets(message.certificate_serial(), 0, kMaxSerialBytes, "proof-serial");
  if (message.has_firmware()) proof.firmware = from_message(fields, message.firmware());
  return proof;
}

void to_message(const LineProof& proof, pb::LineProof& message) {
  for (const Digest& sha256 : proof.chain_sha256) message.add_chain_sha256(sha256.str());
  message.set_from_se(proof.from_se);
  if (proof.anchor_sha256) message.set_anchor_sha256(proof.anchor_sha256->str());
  message.set_verified_at_ms(proof.verified_at.value);
  message.set_challenge_signature(to_string(proof.challenge_signature));
  message.set_certificate_serial(to_string(proof.certificate_serial));
  if (!proof.firmware) return;
  auto& firmware = *message.mutable_firmware();
  firmware.set_image_sha256(proof.firmware->image_sha256.str());
  firmware.set_signature_sha256(proof.firmware->signature_sha256.str());
  firmware.set_check(static_cast<pb::FirmwareCheck>(proof.firmware->check));
  if (proof.firmware->key_sha256) firmware.set_key_sha256(proof.firmware->key_sha256->str());
}

std::optional<ReceiptCore> from_message(Fields& fields, const pb::ReceiptCore& message) {
  fields.check(message.kind() == kReceiptKind, "kind");
  const auto serial = fields.serial(message.se_serial(), "se-serial");
  if (fields.bad()) return std::nullopt;
  const auto verdict = [&](pb::Verdict value) {
    return fields.known(numbered(value, Verdict::NotRun), "verdicts");
  };
  ReceiptCore core{
      .record_no = {message.record_no()},
      .batch_id = fields.id<BatchId>(message.batch_id(), "batch-id"),
      .manifest_digest = fields.id<Digest>(message.manifest_digest(), "manifest-digest"),
      .certificate_sha256 = fields.id<Digest>(message.certificate_sha256(), "certificate-sha256"),
      .challenge = fields.id<Digest>(message.challenge(), "challenge"),
      .family =
          fields.known(family_from_number(static_cast<std::uint32_t>(message.family())), "family"),
      .se_serial = *serial,
      .key_name = fields.text(message.key_name(), is_name, "key-name"),
      .device_serial =
          fields.text(message.device_serial(), is_device_serial_or_empty, "device-serial"),
      .station_id = fields.id<StationId>(message.station_id(), "station-id"),
      .lane = {message.lane()},
      .person_number = message.person_number(),
      .start = fields.time(message.start_ms(), "start-ms"),
      .end = fields.time(message.end_ms(), "end-ms"),
      .verdicts = {.chain = verdict(message.verdicts().chain()),
                   .challenge = verdict(message.verdicts().challenge()),
                   .serial_registered = verdict(message.verdicts().serial_registered()),
                   .firmware = verdict(message.verdicts().firmware())},
      .evidence_kind =
          fields.known(numbered(message.evidence_kind(), EvidenceKind::None), "evidence-kind"),
      .outcome = fields.known(numbered(message.outcome(), Outcome::Returned), "outcome"),
      .reason = message.reason(),
  };
  if (message.has_proof()) core.proof = from_message(fields, message.proof());
  const bool injected = core.outcome == Outcome::Injected;
  fields.check(injected == (core.evidence_kind != EvidenceKind::None), "evidence-kind");
  fields.check(core.outcome == Outcome::Quarantined ? is_reason(core.reason) : core.reason.empty(),
               "reason");
  if (fields.bad()) return std::nullopt;
  return core;
}

std::optional<StationLeaf> from_message(Fields& fields, const pb::StationLeaf& message) {
  fields.check(message.version() == kMessageVersion, "version");
  StationLeaf out;
  out.time = fields.time(message.time_ms(), "time-ms");
  switch (message.leaf_case()) {
    case pb::StationLeaf::kCore:
      out.leaf = CoreLeaf{fields.octets(message.core(), 1, kMaxLeafBytes, "core")};
      break;
    case pb::StationLeaf::kVoidLeaf:
      out.leaf = VoidLeaf{message.void_leaf().position(),
                          fields.text(message.void_leaf().reason(), is_reason, "reason")};
      break;
    case pb::StationLeaf::kEvent:
      out.leaf = EventLeaf{fields.text(message.event(), is_event, "event")};
      break;
    case pb::StationLeaf::LEAF_NOT_SET:
      fields.check(false, "leaf");
      break;
  }
  if (fields.bad()) return std::nullopt;
  return out;
}

std::optional<StationLogHead> from_message(Fields& fields, const pb::StationLogHead& message) {
  fields.check(message.generation() >= 1, "generation");
  const StationLogHead out{
      .station_id = fields.id<StationId>(message.station_id(), "station-id"),
      .generation = message.generation(),
      .size = message.size(),
      .root = fields.id<Digest>(message.root(), "root"),
      .time = fields.time(message.time_ms(), "time-ms"),
  };
  if (fields.bad()) return std::nullopt;
  return out;
}

/// What we make, our own reader must take.
template <typename Message>
Bytes checked_octets(const char* what, const Message& message) {
  Fields fields{what};
  static_cast<void>(from_message(fields, message));
  fields.throw_if_bad();
  Bytes octets = serialise_message(message);
  if (octets.size() > kMaxLeafBytes) {
    throw Error{Code::InvalidArgument, std::string{what} + ": longer than 8192 octets"};
  }
  return octets;
}

template <typename Message>
auto parse_checked(const char* what, ByteView octets)
    -> std::variant<typename decltype(from_message(std::declval<Fields&>(),
                                                   std::declval<Message>()))::value_type,
                    Refusal> {
  Message message;
  if (auto no = parse_message(octets, kMaxLeafBytes, message)) return std::move(*no);
  Fields fields{what};
  auto value = from_message(fields, message);
  if (!value) return fields.refusal();
  return std::move(*value);
}

}  // namespace

std::string_view name_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::Pass:
      return "pass";
    case Verdict::Fail:
      return "fail";
    case Verdict::NotApplicable:
      return "not-applicable";
    case Verdict::NotRun:
      return "not-run";
  }
  return "unknown";
}

std::string_view name_of(Outcome outcome) {
  switch (outcome) {
    case Outcome::Injected:
      return "injected";
    case Outcome::Quarantined:
      return "quarantined";
    case Outcome::Returned:
      return "returned";
  }
  return "unknown";
}

std::string_view name_of(EvidenceKind kind) {
  switch (kind) {
    case EvidenceKind::Possession:
      return "possession";
    case EvidenceKind::Attested:
      return "attested";
    case EvidenceKind::None:
      return "none";
  }
  return "unknown";
}

Bytes serialise_core(const ReceiptCore& core) {
  pb::ReceiptCore message;
  message.set_kind(std::string{kReceiptKind});
  message.set_record_no(core.record_no.value);
  message.set_batch_id(core.batch_id.str());
  message.set_manifest_digest(core.manifest_digest.str());
  message.set_certificate_sha256(core.certificate_sha256.str());
  message.set_challenge(core.challenge.str());
  message.set_family(static_cast<pb::Family>(core.family));
  message.set_se_serial(to_string(core.se_serial.bytes()));
  message.set_key_name(core.key_name);
  message.set_device_serial(core.device_serial);
  message.set_station_id(core.station_id.str());
  message.set_lane(core.lane.value);
  message.set_person_number(core.person_number);
  message.set_start_ms(core.start.value);
  message.set_end_ms(core.end.value);
  auto& verdicts = *message.mutable_verdicts();
  verdicts.set_chain(static_cast<pb::Verdict>(core.verdicts.chain));
  verdicts.set_challenge(static_cast<pb::Verdict>(core.verdicts.challenge));
  verdicts.set_serial_registered(static_cast<pb::Verdict>(core.verdicts.serial_registered));
  verdicts.set_firmware(static_cast<pb::Verdict>(core.verdicts.firmware));
  if (core.proof) to_message(*core.proof, *message.mutable_proof());
  message.set_evidence_kind(static_cast<pb::EvidenceKind>(core.evidence_kind));
  message.set_outcome(static_cast<pb::Outcome>(core.outcome));
  message.set_reason(core.reason);
  return checked_octets("receipt core", message);
}

std::variant<ReceiptCore, Refusal> parse_core(ByteView octets) {
  return parse_checked<pb::ReceiptCore>("receipt core", octets);
}

Bytes serialise_leaf(const StationLeaf& leaf) {
  pb::StationLeaf message;
  message.set_version(kMessageVersion);
  message.set_time_ms(leaf.time.value);
  if (const auto* core = std::get_if<CoreLeaf>(&leaf.leaf)) {
    message.set_core(to_string(core->core));
  } else if (const auto* void_leaf = std::get_if<VoidLeaf>(&leaf.leaf)) {
    message.mutable_void_leaf()->set_position(void_leaf->position);
    message.mutable_void_leaf()->set_reason(void_leaf->reason);
  } else {
    message.set_event(std::get<EventLeaf>(leaf.leaf).text);
  }
  return checked_octets("station leaf", message);
}

std::variant<StationLeaf, Refusal> parse_leaf(ByteView octets) {
  return parse_checked<pb::StationLeaf>("station leaf", octets);
}

Bytes serialise_head(const StationLogHead& head) {
  pb::StationLogHead message;
  message.set_station_id(head.station_id.str());
  message.set_generation(head.generation);
  message.set_size(head.size);
  message.set_root(head.root.str());
  message.set_time_ms(head.time.value);
  return checked_octets("station log head", message);
}

std::variant<StationLogHead, Refusal> parse_head(ByteView octets) {
  return parse_checked<pb::StationLogHead>("station log head", octets);
}

}  // namespace keyferry::token
