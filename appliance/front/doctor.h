// `doctor`: what the module can do, what was tried, what the product will use, and whether this
// machine is fit for it.
#pragma once

#include "appliance/front/context.h"

namespace keyferry::appliance {

/// Also before init. 1 when something fails: with it no work is done here; 0 with warnings alone.
int doctor(const CommonOptions& options, const Clock& clock, RandomSource& random, Output& out);

}  // namespace keyferry::appliance
