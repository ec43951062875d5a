// `hsm backup`, `hsm restore` and `hsm adopt-state`: the keys of the HSM to a file and into another HSM, and the ledger
// going on with that one. Shares and PINs are the gate's; this side has files of ciphertext and public data only.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "appliance/front/approval_standing.h"
#include "appliance/front/context.h"
#include "appliance/plan/plan.h"

namespace keyferry::appliance {

struct RestoreOptions {
  std::filesystem::path file;
  std::optional<int> so_pin_fd;
  std::optional<std::string> hsm_uri;              // nothing: a new SoftHSM store beside the old one
  std::optional<std::filesystem::path> hsm_store;
  std::vector<std::pair<std::string, std::string>> hsm_environment;
  std::optional<std::filesystem::path> pin_file;
};

/// The officers' plan, then the file; its name must be free.
int hsm_backup(Context& context, const std::filesystem::path& file, const std::string& reason);

/// Into an HSM without keys. The gate's settings are switched to it when all keys are proved; the old ones are kept as
/// gate.toml.epoch-N. Cut off anywhere, the same command goes on.
int hsm_restore(Context& context, const RestoreOptions& options);

/// The ledger goes on with the restored HSM.
int hsm_adopt_state(Context& context);

/// `plan run` of hsm-backup: into the file that was named when the plan was made.
int run_hsm_backup(Context& context, const Plan& plan, const std::vector<Bytes>& approvals);

/// `plan run` of hsm-adopt-state.
int run_adopt_state(Context& context, const Plan& plan, const std::vector<Bytes>& approvals);

/// Who decides on hsm-adopt-state: the officers of the registry that the backup proved.
/// Error{NotFound} when nothing was restored.
[[nodiscard]] DecidingFacts adoption_facts(Context& context);

}  // namespace keyferry::appliance
