// `audit challenge`: an auditor's own words become a leaf, under a checkpoint of their own.
#pragma once

#include <string>

namespace keyferry::appliance {

class Context;

/// Changes nothing else, so it needs no quorum: the state worker's signature over the log that has
/// them is what counts. Error{Usage} unless
/// they are 8 to 200 characters of printable ASCII.
int audit_challenge(Context& context, const std::string& words);

}  // namespace keyferry::appliance
