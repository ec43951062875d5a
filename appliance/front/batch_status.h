// `batch status [ID]`: where each batch stands, from the ledger alone.
#pragma once

#include <optional>
#include <string>

namespace keyferry::appliance {

class Context;

/// Exit status. `id`: hex, or a beginning of it that fits one batch.
int batch_status(Context& context, const std::optional<std::string>& id);

}  // namespace keyferry::appliance
