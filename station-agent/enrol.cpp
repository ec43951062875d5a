#include "station-agent/enrol.h"

#include "station-agent/checkpoints.h"
#include "token/layout.h"
#include "token/transfer.h"
#include "wrap/base/cut.h"
#include "wrap/base/words.h"
#include "wrap/crypto/hash.h"

namespace keyferry::station {
namespace {

constexpr std::size_t kNonceBytes = 16;
constexpr std::size_t kWordsBytes = 16;  // 128 bits: what people compare for keys

StoredRequest make_request(const StationFacts& station,
                           crypto::Signer& signer,
                           RandomSource& random,
                           const Clock& clock) {
  const token::EnrolmentRequest request{station.name,
                                        station.site,
                                        station.environment,
                                        station.signing_key,
                                        station.agreement_key,
                                        random.bytes(kNonceBytes),
                                        clock.now()};
  Bytes payload = token::serialise(request);
  const Digest sha256 = crypto::sha256(payload);
  const token::SignedBytes signed_request =
      token::sign_payload(signer, crypto::SignatureKind::EnrolmentRequest, std::move(payload));
  return {token::encode(signed_request), sha256};
}

Refusal no(std::string reason, std::string text) {
  return {std::move(reason),
          std::move(text),
          "ask the appliance's officers for the answer to this station's request"};
}

}  // namespace

RequestOut write_request(Store& store,
                         const StationFacts& station,
                         crypto::Signer& signer,
                         RandomSource& random,
                         const Clock& clock,
                         token::Medium& medium) {
  auto request = store.request();
  if (!request) {
    request = make_request(station, signer, random, clock);
    KF_CUT("station.request-before");
    store.set_request(*request);
    KF_CUT("station.request-after");
  }
  const std::string name = token::request_name(request->sha256);
  token::write_out(medium, name, request->request, Overwrite::Replace);
  return {name, request->sha256};
}

std::variant<Offer, Refusal> read_answer(const Store& store,
                                         const StationFacts& station,
                                         token::Medium& medium) {
  const auto request = store.request();
  if (!request) return no("request", "this station never asked to be enrolled");
  auto octets = token::read_in(medium, token::answer_name(station.station_id));
  if (const auto* refusal = std::get_if<Refusal>(&octets)) return *refusal;
  const auto signed_answer = token::parse_signed_bytes(std::get<Bytes>(octets));
  if (const auto* refusal = std::get_if<Refusal>(&signed_answer)) return *refusal;
  const auto& answer_bytes = std::get<token::SignedBytes>(signed_answer);
  // The key that signed the answer stands in the card inside it. So the card is looked at first,
  // which proves nothing yet; then the signature over the whole answer; whose card it is, is for
  // people to compare.
  const auto unproved = token::parse_enrolment_answer(answer_bytes.payload);
  if (const auto* refusal = std::get_if<Refusal>(&unproved)) return *refusal;
  const auto& answer = std::get<token::EnrolmentAnswer>(unproved);
  const auto opened_card = token::open_appliance_card(answer.card);
  if (const auto* refusal = std::get_if<Refusal>(&opened_card)) return *refusal;
  const auto& card = std::get<token::ApplianceCard>(opened_card);
  if (!token::verify_signed(
          answer_bytes, crypto::SignatureKind::EnrolmentAnswer, card.export_key)) {
    return no("signature",
              "the answer is not signed by the export key of the appliance card in it");
  }
  if (answer.station_id != station.station_id)
    return no("station", "the answer is for another station");
  if (answer.signing_key != station.signing_key || answer.agreement_key != station.agreement_key) {
    return no("keys", "the answer names other keys than this station's");
  }
  if (answer.environment != station.environment || card.environment != station.environment) {
    return no("environment", "the answer is from another environment");
  }
  if (answer.name != station.name || answer.site != station.site) {
    return no("station", "the answer gives this station another name or site");
  }
  if (answer.request_sha256 != request->sha256)
    return no("request", "the answer is to another request");
  return Offer{{card.appliance_id, card.name, card.log_key, card.export_key, card.inbox_key},
               std::get<Bytes>(octets),
               answer.checkpoint};
}

bool fingerprint_fits(const std::string& words, const ApplianceId& appliance_id) {
  const auto octets = from_words(words);
  if (!octets || (octets->size() != kWordsBytes && octets->size() != ApplianceId::kSizeBytes))
    return false;
  return equal(*octets, appliance_id.bytes().first(octets->size()));
}

std::optional<Refusal> accept_offer(Store& store, const Offer& offer) {
  KF_CUT("station.pin-before");
  store.pin_appliance(offer.appliance, offer.answer);
  KF_CUT("station.pin-after");
  return see_checkpoint(store, offer.checkpoint, offer.appliance.log_key);
}

}  // namespace keyferry::station
