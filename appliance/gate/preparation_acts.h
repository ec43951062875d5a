// The order to a secure room, signed by kf-export: the worker builds it from the plan and from the
// registry that kf-state names, never from fields that a caller composed.
#pragma once

#include "appliance/gate/hsm.h"

namespace keyferry::v1 {
class MakePreparationOrder;
class SignedBytes;
}  // namespace keyferry::v1

namespace keyferry::appliance {

/// Error{Refused}: no se-prepare plan, not of this appliance, its preparer or vendor key is not in
/// the registry as the plan says, or the card does not verify.
void make_preparation_order(Hsm& hsm, const v1::MakePreparationOrder& request, v1::SignedBytes& out);

}  // namespace keyferry::appliance
