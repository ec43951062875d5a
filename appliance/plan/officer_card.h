// Officer cards: how a person of any role brings a key to the appliance. The card signs itself, which shows that the
// key is held; people compare its words, which shows by whom. The name travels beside it and never enters a log: the
// card has its salted hash only.
#pragma once

#include <string>
#include <variant>

#include "appliance/plan/plan.h"
#include "appliance/plan/policy.h"
#include "token/signed_bytes.h"
#include "wrap/base/random.h"
#include "wrap/crypto/signing.h"

namespace keyferry::appliance {

inline constexpr std::size_t kNameSaltBytes = 16;
inline constexpr std::size_t kMaxPersonNameChars = 100;
inline constexpr std::size_t kMaxCardFileBytes = 4096;

struct OfficerCard {
  PersonRole role = PersonRole::Officer;
  Digest name_hash;  // SHA-256(salt || name)
  crypto::PublicKey public_key;
  Environment environment = Environment::Development;
  UtcMillis time;
  Digest sha256;  // of the signed payload: what the words are made of
};

/// The card with what lies beside it in its file.
struct OfficerCardFile {
  token::SignedBytes signed_card;
  OfficerCard card;
  Bytes salt;  // kNameSaltBytes
  std::string name;
};

[[nodiscard]] Digest name_hash_of(ByteView salt, const std::string& name);

/// 1 to kMaxPersonNameChars printable ASCII characters.
[[nodiscard]] bool is_person_name(const std::string& name);

/// Signs a new card with `key`; the salt is random. Error{Usage}: the name is not is_person_name.
[[nodiscard]] OfficerCardFile make_officer_card(crypto::Signer& key,
                                                PersonRole role,
                                                const std::string& name,
                                                Environment environment,
                                                UtcMillis now,
                                                RandomSource& random);

/// Verifies and parses. Refusals: card-signature, card-malformed.
[[nodiscard]] std::variant<OfficerCard, Refusal> open_officer_card(const token::SignedBytes& signed_card);

[[nodiscard]] Bytes encode(const OfficerCardFile& file);

/// Refusals: those of open_officer_card, and card-name (the name beside the card is not the one that it was made for).
[[nodiscard]] std::variant<OfficerCardFile, Refusal> parse_officer_card_file(ByteView octets);

}  // namespace keyferry::appliance
