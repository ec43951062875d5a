// Which batches and which leaves of the log an evidence bundle shows. Of all others it has hashes.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "appliance/ledger/evidence_store.h"
#include "token/bundle/index.h"
#include "wrap/base/bytes.h"
#include "wrap/base/ids.h"

namespace keyferry::appliance {

class Context;

/// Shown to whoever takes the bundle: the batches of its scope, and what stands around them.
class EvidenceScope {
 public:
  /// Error{NotFound} when the ledger has no batch of that id, site or customer, or since that day.
  EvidenceScope(Context& context, bundle::Scope scope);

  [[nodiscard]] const bundle::Scope& scope() const { return scope_; }

  [[nodiscard]] bool all() const { return scope_.kind == bundle::ScopeKind::All; }

  /// By id.
  [[nodiscard]] const std::vector<EvidenceBatch>& batches() const { return batches_; }

  /// In the scope, but in the log of an HSM that was replaced: not in this bundle.
  [[nodiscard]] const std::vector<EvidenceBatch>& of_older_hsms() const { return older_; }

  /// A leaf of the log. With All every one. Else: who may decide and what they decided about
  /// themselves, the challenges of auditors, and what names a batch, station, token or authority
  /// of the scope; never what sums up over several batches.
  [[nodiscard]] bool shows(ByteView leaf) const;

  [[nodiscard]] bool has_authority(const std::string& name) const {
    return all() || authorities_.contains(name);
  }

 private:
  bundle::Scope scope_;
  std::vector<EvidenceBatch> batches_, older_;
  std::set<std::string> ids_;       // octets, of batches
  std::set<std::string> stations_;  // octets
  std::set<std::string> tokens_;    // octets
  std::set<std::string> authorities_;
};

}  // namespace keyferry::appliance
