// The appliance's revocation list at the station: taken from a token, kept, obeyed (token/revocations.h).
#pragma once

#include <optional>
#include <variant>

#include "station-agent/store.h"
#include "token/medium.h"

namespace keyferry::station {

/// Takes the list on the token, if there is one, into the store. `needed`: the number that the token's card says goes
/// with it. Gives the number of the list in force now; 0: none ever came. Refusals: "revocations-missing" (the card
/// names a higher one than is here), "revocations-malformed", "revocations-signature", "revocations-appliance",
/// "revocations-older" (the newer one stays in force), "revocations-forged" (one number, two lists: an incident).
[[nodiscard]] std::variant<std::uint64_t, Refusal> take_revocations(Store& store, token::Medium& medium,
                                                                    const StationFacts& station,
                                                                    const PinnedAppliance& appliance,
                                                                    std::uint64_t needed);

/// Refusal "station-retired" when officers retired this station.
[[nodiscard]] std::optional<Refusal> retired_refusal(const Store& store);
/// Refusal "batch-revoked" when officers closed the batch.
[[nodiscard]] std::optional<Refusal> revoked_refusal(const Store& store, const BatchId& batch);

}  // namespace keyferry::station
