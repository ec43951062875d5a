// `init`: home, settings, the embedded HSM's store beside the home, the officer's key, then the
// ceremony at the gate. Cut off anywhere, the same command goes on; done before, it says so.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "appliance/front/context.h"

namespace keyferry::appliance {

struct GateSettings;

struct InitOptions {
  std::string name;
  Environment environment = Environment::Development;
  std::optional<std::string> hsm_uri;              // nothing: SoftHSM in HOME-hsm
  std::optional<std::filesystem::path> hsm_store;  // synced by the worker
  std::vector<std::pair<std::string, std::string>> hsm_environment;
  std::optional<std::filesystem::path> pin_file;  // pin-source=file: of the URI
  std::optional<unsigned> workers;                // key workers: default one for each processor, at most 8
  std::optional<unsigned> threads;                // in each of them: default 1
  std::string officer_name;                          // with one officer; else the cards
  std::vector<std::filesystem::path> officer_cards;  // person 1, 2, ... in this order
  std::optional<std::uint32_t> officers_needed;      // M; default 1
  bool rehearsal_required = false;                   // of a ceremony's real run
};

/// Exit status. With one officer `common.officer_key` names the key, made when it is absent; with
/// cards it may name the key that this machine's commands use, and nothing is made.
int init_appliance(const CommonOptions& common,
                   const InitOptions& options,
                   const Clock& clock,
                   RandomSource& random,
                   Output& out);

/// SoftHSM with a store of its own below `folder`: the system's configuration is never read. Sets URI, store and
/// environment.
void make_embedded_hsm(const std::filesystem::path& folder, const std::string& token_label, GateSettings& settings);

/// "HOME-hsm": beside the home, never below it.
[[nodiscard]] std::filesystem::path hsm_folder(const std::filesystem::path& home);

/// Key workers where nobody asks for another number: one for each processor, at most 8. Measured with SoftHSM on two
/// processors: two processes make 1.7 times what one does, two threads 1.16 times.
[[nodiscard]] unsigned usual_workers();

}  // namespace keyferry::appliance
