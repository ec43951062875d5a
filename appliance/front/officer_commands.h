// `officer request | add | replace | disable | list | forget`, `policy show | change`, `batch suspend | resume`: who
// decides, and what one officer may stop.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "appliance/front/context.h"
#include "appliance/plan/officer_card.h"
#include "appliance/plan/plan.h"

namespace keyferry::appliance {

struct OfficerRequestOptions {
  std::string name;
  std::string role = "officer";
  std::string environment = "development";
  std::filesystem::path out;
};

/// Where the person's key is, without an appliance: makes the key when it is absent, and the card. Tells its words.
int officer_request(const CommonOptions& common,
                    const OfficerRequestOptions& options,
                    const Clock& clock,
                    RandomSource& random,
                    Output& out);

/// Error{Refused} with the path when it is no card.
[[nodiscard]] OfficerCardFile read_officer_card(const std::filesystem::path& file);

struct OfficerCardOptions {
  std::filesystem::path card;
  std::uint32_t number = 0;                // replace: whose key
  std::optional<std::string> fingerprint;  // the card's words; else they are asked for
  std::string reason;
};

/// The next number. The name goes into the ledger's table when the plan is run.
int officer_add(Context& context, const OfficerCardOptions& options);
int run_officer_add(Context& context, const Plan& plan, const std::vector<Bytes>& approvals);
int officer_replace(Context& context, const OfficerCardOptions& options);
int officer_disable(Context& context, std::uint32_t number, const std::string& reason);
int officer_list(Context& context);

/// Erases name and salt; number and salted hash stay in log and registry. No approval is needed: it decides nothing.
int officer_forget(Context& context, std::uint32_t number);

int policy_show(Context& context);

struct PolicyChangeOptions {
  std::vector<std::string> rules;          // "OPERATION=N"; N 0: nobody may do it any more
  std::optional<std::uint32_t> needed;     // M: all rules anew from it, before `rules`
  std::optional<bool> rehearsal_required;  // default: as it is
  std::string reason;
};

int policy_change(Context& context, const PolicyChangeOptions& options);

int batch_suspend(Context& context, const std::string& batch, const std::string& reason);
int batch_resume(Context& context, const std::string& batch, const std::string& reason);

}  // namespace keyferry::appliance
