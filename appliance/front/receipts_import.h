// `receipts import DIR`: everything of ours on the stick is copied first, with no HSM login held by
// us; then each copy is verified, opened, checked and carried out. A cut anywhere is gone on with
// by the same command.
#pragma once

#include <filesystem>

namespace keyferry::appliance {

class Context;

/// Exit status 1 when a file was refused or an incident was found.
int import_receipts(Context& context, const std::filesystem::path& token);

}  // namespace keyferry::appliance
