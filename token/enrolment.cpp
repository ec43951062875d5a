#include "token/enrolment.h"

#include <utility>

#include "keyferry/v1/enrolment.pb.h"
#include "token/convert.h"
#include "wrap/base/text.h"

namespace keyferry::token {
namespace {

namespace pb = keyferry::v1;

constexpr std::size_t kNonceBytes = 16;

Environment environment(Fields& fields, pb::Environment value) {
  return fields.known(environment_from_number(static_cast<std::uint32_t>(value)), "environment");
}

std::optional<ApplianceCard> from_message(Fields& fields, const pb::ApplianceCard& message) {
  fields.check(message.version() == kMessageVersion, "version");
  const auto log_key = fields.point(message.log_key(), "log-key");
  const auto export_key = fields.point(message.export_key(), "export-key");
  const auto inbox_key = fields.point(message.inbox_key(), "inbox-key");
  if (fields.bad()) return std::nullopt;
  ApplianceCard out{
      .appliance_id = fields.id<ApplianceId>(message.appliance_id(), "appliance-id"),
      .environment = environment(fields, message.environment()),
      .name = fields.text(message.name(), is_name, "name"),
      .log_key = *log_key,
      .export_key = *export_key,
      .inbox_key = *inbox_key,
  };
  fields.check(out.appliance_id == appliance_id_of(out.log_key), "appliance-id");
  if (fields.bad()) return std::nullopt;
  return out;
}

std::optional<EnrolmentRequest> from_message(Fields& fields, const pb::EnrolmentRequest& message) {
  fields.check(message.version() == kMessageVersion, "version");
  const auto signing_key = fields.point(message.signing_key(), "signing-key");
  const auto agreement_key = fields.point(message.agreement_key(), "agreement-key");
  fields.check(signing_key != agreement_key, "agreement-key");  // one key, one use
  if (fields.bad()) return std::nullopt;
  EnrolmentRequest out{
      .name = fields.text(message.name(), is_name, "name"),
      .site = fields.text(message.site(), is_name, "site"),
      .environment = environment(fields, message.environment()),
      .signing_key = *signing_key,
      .agreement_key = *agreement_key,
      .nonce = fields.octets(message.nonce(), kNonceBytes, kNonceBytes, "nonce"),
      .time = fields.time(message.time_ms(), "time-ms"),
  };
  if (fields.bad()) return std::nullopt;
  return out;
}

std::optional<EnrolmentAnswer> from_message(Fields& fields, const pb::EnrolmentAnswer& message) {
  fields.check(message.version() == kMessageVersion, "version");
  const auto signing_key = fields.point(message.signing_key(), "signing-key");
  const auto agreement_key = fields.point(message.agreement_key(), "agreement-key");
  if (fields.bad()) return std::nullopt;
  EnrolmentAnswer out{
      .station_id = fields.id<StationId>(message.station_id(), "station-id"),
      .name = fields.text(message.name(), is_name, "name"),
      .site = fields.text(message.site(), is_name, "site"),
      .environment = environment(fields, message.environment()),
      .signing_key = *signing_key,
      .agreement_key = *agreement_key,
      .request_sha256 = fields.id<Digest>(message.request_sha256(), "request-sha256"),
      .card = from_message(fields, message.card()),
      .checkpoint = fields.text(message.checkpoint(), is_note_or_empty, "checkpoint"),
      .time = fields.time(message.time_ms(), "time-ms"),
  };
  fields.check(out.station_id == station_id_of(out.signing_key), "station-id");
  if (fields.bad()) return std::nullopt;
  return out;
}

std::optional<TokenCard> from_message(Fields& fields, const pb::TokenCard& message) {
  fields.check(message.version() == kMessageVersion, "version");
  TokenCard out{
      .token_id = fields.id<TokenId>(message.token_id(), "token-id"),
      .appliance_id = fields.id<ApplianceId>(message.appliance_id(), "appliance-id"),
      .environment = environment(fields, message.environment()),
      .batch_id = std::nullopt,
      .station_id = fields.id<StationId>(message.station_id(), "station-id"),
      .checkpoint = fields.text(message.checkpoint(), is_note_or_empty, "checkpoint"),
      .checkpoint_seen_back =
          fields.text(message.checkpoint_seen_back(), is_note_or_empty, "checkpoint-seen-back"),
      .time = fields.time(message.time_ms(), "time-ms"),
      .revocation_number = message.revocation_number(),
  };
  if (!message.batch_id().empty())
    out.batch_id = fields.id<BatchId>(message.batch_id(), "batch-id");
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
  if (octets.size() > kMaxEnrolmentBytes) {
    throw Error{Code::InvalidArgument, std::string{what} + ": longer than its reader takes"};
  }
  return octets;
}

template <typename Value, typename Message>
std::variant<Value, Refusal> parse_checked(const char* what, ByteView octets) {
  Message message;
  if (auto no = parse_message(octets, kMaxEnrolmentBytes, message)) return std::move(*no);
  Fields fields{what};
  auto value = from_message(fields, message);
  if (!value) return fields.refusal();
  return std::move(*value);
}

Refusal signature_refusal(const char* what) {
  return Refusal{"signature",
                 std::string{what} + ": not signed by the key that it brings",
                 "it was changed on its way: have it made again"};
}

}  // namespace

StationId station_id_of(const crypto::PublicKey& signing_key) {
  return *StationId::from_bytes(signing_key.key_id().bytes().first(StationId::kSizeBytes));
}

ApplianceId appliance_id_of(const crypto::PublicKey& log_key) {
  return *ApplianceId::from_bytes(log_key.key_id().bytes());
}

Bytes serialise(const ApplianceCard& card) {
  pb::ApplianceCard message;
  message.set_version(kMessageVersion);
  message.set_appliance_id(card.appliance_id.str());
  message.set_environment(static_cast<pb::Environment>(card.environment));
  message.set_name(card.name);
  message.set_log_key(to_string(card.log_key.point()));
  message.set_export_key(to_string(card.export_key.point()));
  message.set_inbox_key(to_string(card.inbox_key.point()));
  return checked_octets("appliance card", message);
}

Bytes serialise(const EnrolmentRequest& request) {
  pb::EnrolmentRequest message;
  message.set_version(kMessageVersion);
  message.set_name(request.name);
  message.set_site(request.site);
  message.set_environment(static_cast<pb::Environment>(request.environment));
  message.set_signing_key(to_string(request.signing_key.point()));
  message.set_agreement_key(to_string(request.agreement_key.point()));
  message.set_nonce(to_string(request.nonce));
  message.set_time_ms(request.time.value);
  return checked_octets("enrolment request", message);
}

Bytes serialise(const EnrolmentAnswer& answer) {
  pb::EnrolmentAnswer message;
  message.set_version(kMessageVersion);
  message.set_station_id(answer.station_id.str());
  message.set_name(answer.name);
  message.set_site(answer.site);
  message.set_environment(static_cast<pb::Environment>(answer.environment));
  message.set_signing_key(to_string(answer.signing_key.point()));
  message.set_agreement_key(to_string(answer.agreement_key.point()));
  message.set_request_sha256(answer.request_sha256.str());
  to_message(answer.card, *message.mutable_card());
  message.set_checkpoint(answer.checkpoint);
  message.set_time_ms(answer.time.value);
  return checked_octets("enrolment answer", message);
}

Bytes serialise(const TokenCard& card) {
  pb::TokenCard message;
  message.set_version(kMessageVersion);
  message.set_token_id(card.token_id.str());
  message.set_appliance_id(card.appliance_id.str());
  message.set_environment(static_cast<pb::Environment>(card.environment));
  if (card.batch_id) message.set_batch_id(card.batch_id->str());
  message.set_station_id(card.station_id.str());
  message.set_checkpoint(card.checkpoint);
  message.set_checkpoint_seen_back(card.checkpoint_seen_back);
  message.set_time_ms(card.time.value);
  message.set_revocation_number(card.revocation_number);
  return checked_octets("token card", message);
}

std::variant<ApplianceCard, Refusal> parse_appliance_card(ByteView octets) {
  return parse_checked<ApplianceCard, pb::ApplianceCard>("appliance card", octets);
}

std::variant<EnrolmentRequest, Refusal> parse_enrolment_request(ByteView octets) {
  return parse_checked<EnrolmentRequest, pb::EnrolmentRequest>("enrolment request", octets);
}

std::variant<EnrolmentAnswer, Refusal> parse_enrolment_answer(ByteView octets) {
  return parse_checked<EnrolmentAnswer, pb::EnrolmentAnswer>("enrolment answer", octets);
}

std::variant<TokenCard, Refusal> parse_token_card(ByteView octets) {
  return parse_checked<TokenCard, pb::TokenCard>("token card", octets);
}

// Parsing comes first here, and only here: the key to verify with is inside. Nothing is believed
// before it has verified.
std::variant<ApplianceCard, Refusal> open_appliance_card(const SignedBytes& signed_card) {
  auto card = parse_appliance_card(signed_card.payload);
  if (const auto* value = std::get_if<ApplianceCard>(&card);
      value != nullptr &&
      !verify_signed(signed_card, crypto::SignatureKind::ApplianceCard, value->log_key)) {
    return signature_refusal("appliance card");
  }
  return card;
}

std::variant<EnrolmentRequest, Refusal> open_enrolment_request(const SignedBytes& signed_request) {
  auto request = parse_enrolment_request(signed_request.payload);
  if (const auto* value = std::get_if<EnrolmentRequest>(&request);
      value != nullptr &&
      !verify_signed(signed_request, crypto::SignatureKind::EnrolmentRequest, value->signing_key)) {
    return signature_refusal("enrolment request");
  }
  return request;
}

}  // namespace keyferry::token
