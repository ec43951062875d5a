#include "appliance/plan/officer_card.h"

#include <algorithm>

#include "keyferry/v1/governance.pb.h"
#include "wrap/crypto/hash.h"

namespace keyferry::appliance {
namespace {

constexpr const char* kKind = "keyferry/v1/officer-card";

Refusal malformed(std::string text) {
  return Refusal{
      "card-malformed", "the officer card " + std::move(text), "make it anew: keyferry-appliance officer request"};
}

v1::OfficerRole wire_role(PersonRole role) {
  return static_cast<v1::OfficerRole>(static_cast<int>(role) + 1);  // in one order
}

}  // namespace

Digest name_hash_of(ByteView salt, const std::string& name) {
  return crypto::sha256_of({salt, as_bytes(name)});
}

bool is_person_name(const std::string& name) {
  return !name.empty() && name.size() <= kMaxPersonNameChars &&
         std::ranges::all_of(name, [](char c) { return c >= 0x20 && c < 0x7f; });
}

OfficerCardFile make_officer_card(crypto::Signer& key,
                                  PersonRole role,
                                  const std::string& name,
                                  Environment environment,
                                  UtcMillis now,
                                  RandomSource& random) {
  if (!is_person_name(name)) throw Error{Code::Usage, "a person's name has 1 to 100 printable ASCII characters"};
  Bytes salt = random.bytes(kNameSaltBytes);
  v1::OfficerCard card;
  card.set_version(1);
  card.set_kind(kKind);
  card.set_role(wire_role(role));
  card.set_name_hash(name_hash_of(salt, name).str());
  card.set_public_key(to_string(key.public_key().point()));
  card.set_environment(static_cast<v1::Environment>(static_cast<int>(environment) + 1));
  card.set_time_ms(now.value);
  token::SignedBytes signed_card =
      token::sign_payload(key, crypto::SignatureKind::OfficerCard, to_bytes(as_bytes(card.SerializeAsString())));
  auto opened = open_officer_card(signed_card);
  if (const auto* refusal = std::get_if<Refusal>(&opened)) throw to_error(*refusal);
  return {std::move(signed_card), std::get<OfficerCard>(std::move(opened)), std::move(salt), name};
}

std::variant<OfficerCard, Refusal> open_officer_card(const token::SignedBytes& signed_card) {
  v1::OfficerCard content;
  if (!content.ParseFromArray(signed_card.payload.data(), static_cast<int>(signed_card.payload.size()))) {
    return malformed("does not parse");
  }
  const auto key = crypto::PublicKey::from_point(as_bytes(content.public_key()));
  if (!key) return malformed("has no P-256 key");
  if (signed_card.signatures.size() != 1 || signed_card.signatures.front().key_id != key->key_id() ||
      !token::verify_signed(signed_card, crypto::SignatureKind::OfficerCard, *key)) {
    return Refusal{"card-signature",
                   "the officer card is not signed by the key that it is about",
                   "make it anew where the key is: keyferry-appliance officer request"};
  }
  const auto name_hash = Digest::from_bytes(as_bytes(content.name_hash()));
  const bool known_role = content.role() > v1::OFFICER_ROLE_UNSPECIFIED && content.role() <= v1::OFFICER_ROLE_WITNESS;
  const bool known_environment =
      content.environment() >= v1::ENVIRONMENT_DEVELOPMENT && content.environment() <= v1::ENVIRONMENT_PRODUCTION;
  if (content.version() != 1 || content.kind() != kKind) return malformed("is of another program version");
  if (!name_hash || !known_role || !known_environment) return malformed("lacks role, environment or name hash");
  return OfficerCard{.role = static_cast<PersonRole>(content.role() - 1),
                     .name_hash = *name_hash,
                     .public_key = *key,
                     .environment = static_cast<Environment>(content.environment() - 1),
                     .time = UtcMillis{content.time_ms()},
                     .sha256 = crypto::sha256(signed_card.payload)};
}

Bytes encode(const OfficerCardFile& file) {
  v1::OfficerCardFile message;
  const Bytes card = token::encode(file.signed_card);
  static_cast<void>(message.mutable_card()->ParseFromArray(card.data(), static_cast<int>(card.size())));
  message.set_salt(to_string(file.salt));
  message.set_name(file.name);
  return to_bytes(as_bytes(message.SerializeAsString()));
}

std::variant<OfficerCardFile, Refusal> parse_officer_card_file(ByteView octets) {
  v1::OfficerCardFile message;
  if (octets.size() > kMaxCardFileBytes || !message.ParseFromArray(octets.data(), static_cast<int>(octets.size()))) {
    return malformed("file does not parse");
  }
  const std::string card = message.card().SerializeAsString();
  auto signed_card = token::parse_signed_bytes(as_bytes(card));
  if (std::holds_alternative<Refusal>(signed_card)) return malformed("file holds no card");
  auto opened = open_officer_card(std::get<token::SignedBytes>(signed_card));
  if (const auto* refusal = std::get_if<Refusal>(&opened)) return *refusal;
  OfficerCardFile file{std::get<token::SignedBytes>(std::move(signed_card)),
                       std::get<OfficerCard>(std::move(opened)),
                       to_bytes(as_bytes(message.salt())),
                       message.name()};
  if (file.salt.size() != kNameSaltBytes || !is_person_name(file.name) ||
      name_hash_of(file.salt, file.name) != file.card.name_hash) {
    return Refusal{"card-name",
                   "the name in the file is not the one that the officer card was made for",
                   "somebody changed the file: take it from the person again"};
  }
  return file;
}

}  // namespace keyferry::appliance
