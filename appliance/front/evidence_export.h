// `evidence export`: what an auditor takes away. Reads the ledger and the files beside it, no HSM.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace keyferry::appliance {

class Context;

struct EvidenceOptions {
  std::optional<std::string> batch, site, customer, since;  // one of them, or
  bool all = false;
  std::filesystem::path to;  // a new or empty folder, or a bundle of the same log and scope
};

/// Up to the newest checkpoint; the same octets for the same ledger and program. 1 when batches of
/// the scope stand in the log of an HSM that was replaced: they are named and left out.
int evidence_export(Context& context, const EvidenceOptions& options);

}  // namespace keyferry::appliance
