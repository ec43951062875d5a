// Enrolment over a token: a signed request goes out, people compare its words with what the
// appliance shows, the answer comes back, people compare the appliance's words, and its keys are
// pinned.
#pragma once

#include <optional>
#include <string>
#include <variant>

#include "station-agent/store.h"
#include "token/medium.h"
#include "wrap/base/random.h"

namespace keyferry::station {

struct RequestOut {
  std::string file;  // name on the token
  Digest sha256;     // of the payload: people compare key_words() of it
};

/// Made once, handed out again byte for byte.
RequestOut write_request(Store& store,
                         const StationFacts& station,
                         crypto::Signer& signer,
                         RandomSource& random,
                         const Clock& clock,
                         token::Medium& medium);

struct Offer {
  PinnedAppliance appliance;
  Bytes answer;  // SignedBytes, encoded
  std::string checkpoint;
};

/// Everything but the words, which are for people. Refusals: those of token::read_in and
/// token::parse_*; "signature", "station", "keys", "environment", "request" (the answer is to
/// another request).
[[nodiscard]] std::variant<Offer, Refusal> read_answer(const Store& store,
                                                       const StationFacts& station,
                                                       token::Medium& medium);

/// Do the words say this appliance? Eight words (128 bits) or all sixteen.
[[nodiscard]] bool fingerprint_fits(const std::string& words, const ApplianceId& appliance_id);

/// Pins. Error{Refused} when another appliance is pinned.
[[nodiscard]] std::optional<Refusal> accept_offer(Store& store, const Offer& offer);

}  // namespace keyferry::station
