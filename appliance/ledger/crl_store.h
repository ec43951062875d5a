// CRLs in the ledger: entries in the order in which they were added, and each CRL as it was signed.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "appliance/ledger/ledger.h"
#include "appliance/plan/plan.h"
#include "wrap/base/clock.h"

namespace keyferry::appliance {

struct CrlRow {
  std::string authority;
  std::uint64_t number = 0;
  std::uint64_t entries = 0;
  UtcMillis this_update, next_update;
  Bytes der;
};

/// How many certificates are due for the next CRL of a CA, by reason and by the state of their records.
struct DueEntries {
  std::string authority;
  std::uint8_t reason = 0;  // RFC 5280 section 5.3.1
  std::string state;
  std::uint64_t count = 0;
  UtcMillis since;  // revocation time of the oldest of them
};

struct DueRecord {
  BatchId batch;
  std::uint32_t record_no = 0;
  Bytes serial;  // as it stands in the certificate: 16, or as an outside CA gave it
  std::uint8_t reason = 0;
  UtcMillis since;
  std::string ca = {};  // the certificate of this CA of ours; batch and record are then of no meaning
};

class CrlStore {
 public:
  explicit CrlStore(Ledger& ledger) : ledger_{ledger} {}

  /// What the next CRL of this CA has: the entries of the last one, then those due since by batch id and record
  /// number, then CAs by name. Each as the gate takes them: serial (16), u64be revocation time, reason.
  [[nodiscard]] Bytes next_entries(const std::string& authority);

  /// Of every CA, by name, reason and state.
  [[nodiscard]] std::vector<DueEntries> due();
  /// What is due of one CA, by batch id and record number, then CAs by name, one at a time.
  void visit_due(const std::string& authority, const std::function<void(const DueRecord&)>& visit);

  /// The last CRL of each CA that has one, by name, and the entries of one as the gate takes them.
  [[nodiscard]] std::vector<CrlRow> newest_of_all();
  [[nodiscard]] Bytes entries_of(const CrlRow& crl);

  [[nodiscard]] std::optional<CrlRow> newest(const std::string& authority);

 private:
  Ledger& ledger_;
};

/// Count and root of entries as a plan binds them.
[[nodiscard]] RecordSet crl_record_set(ByteView entries);

/// `crl-issued`: data = authority with u16be length, u64be number, u64be count of entries, u64be this and next
/// update, then the CRL, which the gate's reply adds.
void register_crl_actions(Ledger& ledger);
[[nodiscard]] Action crl_issued_action(const CrlIssuePlan& plan, UtcMillis now);

}  // namespace keyferry::appliance
