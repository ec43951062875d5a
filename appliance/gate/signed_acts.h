// What a worker signs besides containers and states, and what it opens: it builds each itself from a request's fields.
#pragma once

#include "appliance/gate/hsm.h"

namespace keyferry::v1 {
class InboxKey;
class MakeAnswer;
class MakeCard;
class MakeTokenCard;
class OpenInbox;
class SignedBytes;
}  // namespace keyferry::v1

namespace keyferry::appliance {

/// The appliance's card, by kf-log. Error{NotFound}: a key of the appliance is not in the HSM.
void make_card(Hsm& hsm, const v1::MakeCard& request, v1::SignedBytes& out);

/// A station's certificate, by kf-export. Error{Refused}: the request or the card does not verify, or another environment.
void make_answer(Hsm& hsm, const v1::MakeAnswer& request, v1::SignedBytes& out);

/// The card of a token that leaves, by kf-export.
void make_token_card(Hsm& hsm, const v1::MakeTokenCard& request, v1::SignedBytes& out);

/// The content key of a receipts container that is sealed to kf-inbox. The container is taken apart here and an enrolled
/// sender's trailer checked, before kf-inbox agrees on anything. Error{Refused} otherwise.
void open_inbox(Hsm& hsm, const v1::OpenInbox& request, v1::InboxKey& out);

}  // namespace keyferry::appliance
