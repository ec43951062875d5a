// A script on paper: what will be said and done, with boxes for initials and times. Nothing of it depends on a machine.
#pragma once

#include <string>

#include "appliance/front/ceremony/script.h"

namespace keyferry::ceremony {

[[nodiscard]] std::string printed_text(const Script& script);

/// One page that needs nothing else.
[[nodiscard]] std::string printed_html(const Script& script);

}  // namespace keyferry::ceremony
