// What `plan run FILE` does for each kind of plan, with the inputs that were kept when the plan was
// made. A new kind of plan gets its place in the table of plan_runners.cpp.
#pragma once

#include <vector>

#include "appliance/plan/plan.h"
#include "wrap/base/bytes.h"

namespace keyferry::appliance {

class Context;

/// Carries an approved plan of any kind but batch and hsm-adopt-state out at the gate, and tells.
/// approvals: encoded token::SignedBytes. Exit status.
int run_kept_plan(Context& context, const Plan& plan, const std::vector<Bytes>& approvals);

}  // namespace keyferry::appliance
