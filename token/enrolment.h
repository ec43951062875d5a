// What precedes pinned keys: signed, not sealed (design.md section 7). Each of these is the payload
// of a SignedBytes. parse_* refuse wrong lengths, unknown versions or enum values, points not on
// the curve and text outside its pattern (Refusal.reason is "size", "protobuf", "version" or the
// field's name); serialise_* throw Error{InvalidArgument} for what parse_* would refuse.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>

#include "token/signed_bytes.h"
#include "token/types.h"
#include "wrap/base/clock.h"
#include "wrap/base/ids.h"
#include "wrap/crypto/signing.h"

namespace keyferry::token {

inline constexpr std::size_t kMaxEnrolmentBytes = 16'384;  // of a payload

/// Kind appliance-card, signed by log_key. People compare the words of appliance_id.
struct ApplianceCard {
  ApplianceId appliance_id;  // SHA-256 of log_key's SPKI: checked
  Environment environment = Environment::Development;
  std::string name;
  crypto::PublicKey log_key;
  crypto::PublicKey export_key;  // signs what leaves
  crypto::PublicKey inbox_key;   // what comes back is sealed to it

  friend bool operator==(const ApplianceCard&, const ApplianceCard&) = default;
};

/// Kind enrolment-request, signed by signing_key. The two keys differ. People compare the words of
/// SHA-256 over the payload.
struct EnrolmentRequest {
  std::string name;
  std::string site;
  Environment environment = Environment::Development;
  crypto::PublicKey signing_key;
  crypto::PublicKey agreement_key;
  Bytes nonce;  // 16
  UtcMillis time;

  friend bool operator==(const EnrolmentRequest&, const EnrolmentRequest&) = default;
};

/// The station's certificate. Kind enrolment-answer, signed by kf-export.
struct EnrolmentAnswer {
  StationId station_id;  // first 16 octets of SHA-256 of signing_key's SPKI: checked
  std::string name;
  std::string site;
  Environment environment = Environment::Development;
  crypto::PublicKey signing_key;
  crypto::PublicKey agreement_key;
  Digest request_sha256;        // of the request's payload
  SignedBytes card;             // of an ApplianceCard
  std::string checkpoint = {};  // signed note, at most 4096 octets; may be empty
  UtcMillis time;

  friend bool operator==(const EnrolmentAnswer&, const EnrolmentAnswer&) = default;
};

/// On every token that leaves. Kind token-card, signed by kf-export.
struct TokenCard {
  TokenId token_id;
  ApplianceId appliance_id;
  Environment environment = Environment::Development;
  std::optional<BatchId> batch_id = {};  // nothing on a token that carries no batch
  StationId station_id;
  std::string checkpoint = {};            // last one out; may be empty
  std::string checkpoint_seen_back = {};  // highest one that a token brought home; may be empty
  UtcMillis time;
  std::uint64_t revocation_number = 0;  // of the list that goes with it; 0: there was none yet

  friend bool operator==(const TokenCard&, const TokenCard&) = default;
};

/// First 16 octets of SHA-256 of the key's SPKI.
[[nodiscard]] StationId station_id_of(const crypto::PublicKey& signing_key);
/// SHA-256 of the key's SPKI.
[[nodiscard]] ApplianceId appliance_id_of(const crypto::PublicKey& log_key);

[[nodiscard]] Bytes serialise(const ApplianceCard& card);
[[nodiscard]] Bytes serialise(const EnrolmentRequest& request);
[[nodiscard]] Bytes serialise(const EnrolmentAnswer& answer);
[[nodiscard]] Bytes serialise(const TokenCard& card);

[[nodiscard]] std::variant<ApplianceCard, Refusal> parse_appliance_card(ByteView octets);
[[nodiscard]] std::variant<EnrolmentRequest, Refusal> parse_enrolment_request(ByteView octets);
[[nodiscard]] std::variant<EnrolmentAnswer, Refusal> parse_enrolment_answer(ByteView octets);
[[nodiscard]] std::variant<TokenCard, Refusal> parse_token_card(ByteView octets);

/// Verifies and parses what signs itself: the card by its own log key, the request by its own
/// signing key. This shows that the sender holds the key, never who the sender is: people compare
/// the words. Refusal "signature".
[[nodiscard]] std::variant<ApplianceCard, Refusal> open_appliance_card(
    const SignedBytes& signed_card);
[[nodiscard]] std::variant<EnrolmentRequest, Refusal> open_enrolment_request(
    const SignedBytes& signed_request);

}  // namespace keyferry::token
