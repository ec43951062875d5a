// The appliance's own public keys, as its card says: HOME/card.kf, held against the ledger's
// appliance id at each use.
#pragma once

#include "appliance/plan/plan.h"
#include "token/enrolment.h"
#include "token/types.h"

namespace keyferry::appliance {

class Context;

/// Error{NotFound} when there is none, Error{Storage} when it is not this appliance's.
[[nodiscard]] token::ApplianceCard own_card(Context& context);

/// The same as octets, as they are put on tokens.
[[nodiscard]] Bytes own_card_octets(Context& context);

}  // namespace keyferry::appliance
