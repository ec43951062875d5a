// Approvals of a bundle: officers' signatures over the very octets of a plan.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "token/audit-tool/findings.h"
#include "token/audit-tool/history.h"
#include "token/audit-tool/log_check.h"
#include "token/bundle/reader.h"

namespace keyferry::audit_tool {

class PlanCheck {
 public:
  PlanCheck(bundle::Reader& reader,
            const token::ApplianceCard& card,
            const Checkpoints& checkpoints,
            History& history,
            Findings& findings)
      : reader_{reader},
        card_{card},
        checkpoints_{checkpoints},
        history_{history},
        findings_{findings} {}

  /// The plan that a leaf names, and each approval that it counts. A batch's plan is told to the
  /// history.
  void check(const PlanUse& use);

  [[nodiscard]] std::uint64_t plans() const { return plans_; }

  [[nodiscard]] std::uint64_t approvals() const { return approvals_; }

  /// CA certificates (SHA-256 of the DER) that an approved plan brought in, by name of the CA: its
  /// own first, then each one's issuer.
  [[nodiscard]] const std::map<std::string, std::vector<Digest>>& outside_chains() const {
    return chains_;
  }

 private:
  void read_plan(const PlanUse& use, ByteView octets);
  void check_approval(const PlanUse& use, const KeyId& key_id, const crypto::PublicKey& key);

  bundle::Reader& reader_;
  const token::ApplianceCard& card_;
  const Checkpoints& checkpoints_;
  History& history_;
  Findings& findings_;
  std::uint64_t plans_ = 0, approvals_ = 0;
  std::map<std::string, std::vector<Digest>> chains_;
};

}  // namespace keyferry::audit_tool
