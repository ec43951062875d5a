// Revocations beside those that our own CRLs list record by record: CAs of ours whose certificates officers revoked,
// and what outside CAs revoked by their CRLs.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "appliance/ledger/ledger.h"
#include "appliance/plan/plan.h"
#include "wrap/base/clock.h"
#include "wrap/x509/crl_reader.h"

namespace keyferry::appliance {

/// A CRL of an outside CA that was taken in.
struct OutsideCrlRow {
  Digest sha256;
  UtcMillis this_update;
  std::uint64_t records = 0;  // that were due and stand on it
};

struct OutsideRecord {
  BatchId batch;
  std::uint32_t record_no = 0;
  Bytes serial;  // as that CA gave it
};

class RevocationStore {
 public:
  explicit RevocationStore(Ledger& ledger) : ledger_{ledger} {}

  [[nodiscard]] std::optional<OutsideCrlRow> outside_crl(const Digest& sha256);
  /// By its own time, not by when it was taken in.
  [[nodiscard]] std::optional<OutsideCrlRow> newest_outside_crl(const std::string& authority);

  /// Those of this CA that are due and stand on the list, as a plan binds them. A leaf: batch id, u32be record number,
  /// certificate serial (16, what stands for the outside one).
  [[nodiscard]] RecordSet due_and_on(const std::string& authority, const x509::CrlContents& crl);

  /// Those that stand on the list although nobody revoked them here, by batch id and record number.
  void visit_unasked(const std::string& authority,
                     const x509::CrlContents& crl,
                     const std::function<void(const OutsideRecord&)>& visit);

 private:
  Ledger& ledger_;
};

/// `ca-revoked`: data = u64be time, then the plan's octets. `outside-crl`: data = u64be time, the plan's octets with
/// u32be length, then the CRL in DER.
void register_revocation_actions(Ledger& ledger);
/// For ca-revoke; nothing for other plans.
[[nodiscard]] std::optional<Action> ca_revoked_action(const Plan& plan, UtcMillis now);
/// For crl-import.
[[nodiscard]] Action outside_crl_action(const Plan& plan, ByteView crl, UtcMillis now);

}  // namespace keyferry::appliance
