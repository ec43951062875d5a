// `family enable`: officers allow records of a family whose keys a worker sees in the clear.
#pragma once

#include <string>

namespace keyferry::appliance {

class Context;

/// Done once; the same again says so.
int family_enable(Context& context, const std::string& name, const std::string& reason);

}  // namespace keyferry::appliance
