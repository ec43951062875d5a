// `se import`: a file of a source, approved by its SHA-256, all or nothing. Rows stream through in
// constant memory: staged in chunks, visible by the action of the approved plan; what a cut run
// staged is removed by the next one.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "appliance/plan/plan.h"
#include "wrap/base/bytes.h"

namespace keyferry::appliance {

class Context;

struct ImportOptions {
  std::filesystem::path file;
  std::string source;
  // Of a source that gives Microchip's manifests: what its lines do not say.
  std::optional<std::string> master;  // NAME of kf-tk/NAME
  std::string lot;
  std::optional<std::uint32_t> attestation_slot;  // whose public key is the chip's attestation key
};

/// Exit status. Error{Refused} with every problem (20 at most) shown on stderr before.
int se_import(Context& context, const ImportOptions& options);

/// `plan run` of se-import: from the copy of the file that was kept when the plan was made.
int run_se_import(Context& context, const Plan& plan, const std::vector<Bytes>& approvals);

}  // namespace keyferry::appliance
