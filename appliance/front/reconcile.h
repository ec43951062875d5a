// `reconcile [ID]`: the sums of I3 for each batch, site and station; what is outstanding, by name;
// what is overdue; open incidents. Reads the ledger only: no gate.
#pragma once

#include <optional>
#include <string>

namespace keyferry::appliance {

class Context;

/// Exit status 1 when something is overdue, an incident is open, or sums do not agree.
int reconcile(Context& context, const std::optional<std::string>& batch);

}  // namespace keyferry::appliance
