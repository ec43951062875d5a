#include "appliance/gate/signed_acts.h"

#include <fmt/format.h>

#include "keyferry/v1/worker.pb.h"
#include "token/container_open.h"
#include "token/enrolment.h"
#include "wrap/crypto/hash.h"
#include "wrap/p11/hsm_keys.h"

namespace keyferry::appliance {
namespace {

std::optional<Bytes> octets_of(const v1::SignedBytes& message) {
  Bytes octets(message.ByteSizeLong());
  if (!message.SerializeToArray(octets.data(), static_cast<int>(octets.size()))) return std::nullopt;
  return octets;
}

token::SignedBytes from_message(const v1::SignedBytes& message) {
  auto parsed = token::parse_signed_bytes(octets_of(message).value());
  if (const auto* refusal = std::get_if<Refusal>(&parsed)) throw to_error(*refusal);
  return std::get<token::SignedBytes>(std::move(parsed));
}

void to_message(const token::SignedBytes& value, v1::SignedBytes& message) {
  const Bytes octets = token::encode(value);
  if (!message.ParseFromArray(octets.data(), static_cast<int>(octets.size()))) {
    throw Error{Code::Internal, "a signed value that does not parse"};
  }
}

template <typename Id>
Id id_of(const std::string& octets, const char* what) {
  const auto id = Id::from_bytes(as_bytes(octets));
  if (!id) throw Error{Code::Refused, fmt::format("{} has a wrong length", what)};
  return *id;
}

template <typename T>
T parsed_or_throw(std::variant<T, Refusal> parsed) {
  if (const auto* refusal = std::get_if<Refusal>(&parsed)) throw to_error(*refusal);
  return std::get<T>(std::move(parsed));
}

token::Environment environment_of(v1::Environment environment) {
  const auto known = token::environment_from_number(static_cast<std::uint32_t>(environment));
  if (!known) throw Error{Code::Refused, "the environment is unknown"};
  return *known;
}

p11::HsmSigner signer(p11::Session& session, KeyRole role) {
  return {session, find_role_key(session, role, ""), find_role_point(session, role, "")};
}

}  // namespace

void make_card(Hsm& hsm, const v1::MakeCard& request, v1::SignedBytes& out) {
  p11::Session& session = hsm.session();
  const crypto::PublicKey log_key = find_role_point(session, KeyRole::Log, "");
  const token::ApplianceCard card{.appliance_id = token::appliance_id_of(log_key),
                                  .environment = environment_of(request.environment()),
                                  .name = request.name(),
                                  .log_key = log_key,
                                  .export_key = find_role_point(session, KeyRole::Export, ""),
                                  .inbox_key = find_role_point(session, KeyRole::Inbox, "")};
  p11::HsmSigner log_signer = signer(session, KeyRole::Log);
  to_message(token::sign_payload(log_signer, crypto::SignatureKind::ApplianceCard, token::serialise(card)), out);
}

void make_answer(Hsm& hsm, const v1::MakeAnswer& request, v1::SignedBytes& out) {
  const token::SignedBytes asked = from_message(request.request());
  const auto station = parsed_or_throw(token::open_enrolment_request(asked));
  const token::SignedBytes card = from_message(request.card());
  const auto known_card = parsed_or_throw(token::open_appliance_card(card));
  if (station.environment != known_card.environment) {
    throw Error{Code::Refused, "the station was made for another environment than this appliance"};
  }
  const token::EnrolmentAnswer answer{.station_id = token::station_id_of(station.signing_key),
                                      .name = station.name,
                                      .site = station.site,
                                      .environment = station.environment,
                                      .signing_key = station.signing_key,
                                      .agreement_key = station.agreement_key,
                                      .request_sha256 = crypto::sha256(asked.payload),
                                      .card = card,
                                      .checkpoint = request.checkpoint(),
                                      .time = UtcMillis{request.now_ms()}};
  p11::HsmSigner export_signer = signer(hsm.session(), KeyRole::Export);
  to_message(token::sign_payload(export_signer, crypto::SignatureKind::EnrolmentAnswer, token::serialise(answer)), out);
}

void make_token_card(Hsm& hsm, const v1::MakeTokenCard& request, v1::SignedBytes& out) {
  token::TokenCard card{.token_id = id_of<TokenId>(request.token_id(), "token id"),
                        .appliance_id = id_of<ApplianceId>(request.appliance_id(), "appliance id"),
                        .environment = environment_of(request.environment()),
                        .station_id = id_of<StationId>(request.station_id(), "station id"),
                        .checkpoint = request.checkpoint(),
                        .checkpoint_seen_back = request.checkpoint_seen_back(),
                        .time = UtcMillis{request.now_ms()},
                        .revocation_number = request.revocation_number()};
  if (!request.batch_id().empty()) card.batch_id = id_of<BatchId>(request.batch_id(), "batch id");
  p11::HsmSigner export_signer = signer(hsm.session(), KeyRole::Export);
  to_message(token::sign_payload(export_signer, crypto::SignatureKind::TokenCard, token::serialise(card)), out);
}

/// The container is taken apart here and an enrolled sender's trailer checked, before kf-inbox agrees on anything.
void open_inbox(Hsm& hsm, const v1::OpenInbox& request, v1::InboxKey& out) {
  const Bytes header_octets = to_bytes(as_bytes(request.header()));
  const auto header = parsed_or_throw(token::parse_header(header_octets));
  const auto trailer = parsed_or_throw(token::parse_trailer(as_bytes(request.trailer())));
  std::vector<Digest> hashes;
  for (const std::string& hash : request.chunk_hashes()) hashes.push_back(id_of<Digest>(hash, "chunk hash"));
  if (hashes.size() != trailer.chunk_count) throw Error{Code::Refused, "the number of chunks is not the trailer's"};
  if (header.type != token::ContainerType::Receipts) throw Error{Code::Refused, "kf-inbox opens receipts only"};
  p11::Session& session = hsm.session();
  p11::HsmDhKey inbox{session, find_role_key(session, KeyRole::Inbox, ""), find_role_point(session, KeyRole::Inbox, "")};
  if (header.recipient != inbox.public_key().key_id()) {
    throw Error{Code::Refused, "the container is sealed to another appliance"};
  }
  const v1::Station* sender = nullptr;
  std::optional<crypto::PublicKey> sender_key;
  for (const v1::Station& station : request.stations()) {
    const auto key = crypto::PublicKey::from_point(as_bytes(station.signing_key()));
    if (key && key->key_id() == header.sender && !station.retired()) {
      sender = &station;
      sender_key = key;
    }
  }
  if (sender == nullptr) throw Error{Code::Refused, "the container's sender is no enrolled station"};
  const Digest digest = token::recompute_digest(header_octets, trailer.enc, hashes);
  const auto checked = token::check_signature(header, digest, trailer.signature, *sender_key);
  if (const auto* refusal = std::get_if<Refusal>(&checked)) throw to_error(*refusal);
  const auto key = token::open_content_key(trailer.enc, header_octets, inbox);
  if (!key) throw Error{Code::Refused, "the container's encapsulated key is no point of the curve"};
  // The receipts of one container are the front end's to read: their content key leaves, kf-inbox does not.
  out.set_content_key(to_string(key->key.expose()));
  out.set_nonce_prefix(to_string(key->nonce_prefix));
  out.set_station_id(sender->station_id());
}

}  // namespace keyferry::appliance
