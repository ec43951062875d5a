// The upper half of `verify`: certificates and receipts of each batch against what the log says of
// them. A segment at a time, on all cores.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "token/audit-tool/findings.h"
#include "token/audit-tool/history.h"
#include "token/audit-tool/plan_check.h"
#include "token/bundle/items.h"
#include "token/bundle/reader.h"
#include "wrap/x509/certificate.h"

namespace keyferry::audit_tool {

/// Cores of accepted logs of stations: SHA-256 by position; all zeros where the leaf is none.
using StationCores = std::map<std::pair<StationId, std::uint32_t>, std::vector<Digest>>;

class BatchCheck {
 public:
  BatchCheck(bundle::Reader& reader,
             const token::ApplianceCard& card,
             History& history,
             const PlanCheck& plans,
             const StationCores& cores,
             std::size_t threads,
             Findings& findings);

  /// Every CA certificate of the bundle: named by its hash, and vouched for by a leaf, an approved
  /// plan, or one of those below it.
  void check_authorities();

  void check_crls();

  void check(BatchHistory& batch);

  [[nodiscard]] std::uint64_t crls() const { return crls_; }

 private:
  struct Authority {
    x509::CertificateFacts facts;
    Bytes der;
    bool vouched = false;
  };
  struct Work;

  void check_manifest(const BatchHistory& batch);
  const Authority* issuer_of(const BatchHistory& batch);
  void check_segment(BatchHistory& batch,
                     std::uint32_t index,
                     const Segment& segment,
                     const crypto::Verifier* issuer,
                     const Authority* authority);

  bundle::Reader& reader_;
  const token::ApplianceCard& card_;
  History& history_;
  const PlanCheck& plans_;
  const StationCores& cores_;
  std::size_t threads_;
  Findings& findings_;
  std::vector<Authority> authorities_;
  std::uint64_t crls_ = 0;
};

}  // namespace keyferry::audit_tool
