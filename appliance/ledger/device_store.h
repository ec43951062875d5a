// One device after its record has ended: which record it is, what may be done about it, and what was.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "appliance/ledger/batch_states.h"
#include "appliance/ledger/ledger.h"
#include "appliance/plan/plan.h"
#include "wrap/base/clock.h"
#include "wrap/base/error.h"

namespace keyferry::appliance {

/// A record with a certificate, as the ledger has it now.
struct DeviceRow {
  BatchId batch = {};
  std::uint32_t record_no = 0;
  se::Family family = se::Family::Pkcs11;
  SeSerial se_serial;
  std::string key_name = {}, authority = {};
  Bytes certificate_serial = {};  // 16; plans bind it
  Bytes outside_serial = {};      // under an outside CA: the serial as that CA gave it
  Digest certificate_sha256 = {};
  RecordState state = RecordState::Issued;
  bool revoked = false;   // by officers, or closed; a mark beside any state
  bool crl_due = false;   // on a CRL, or due for the next one
  bool released = false;  // its SE may have a new record
  bool replaced = false;  // its device has another SE
  bool scrapped = false;
  bool in_hand = false;
  std::string device_serial = {};                // what its receipt bound, else the inventory's; may be empty
  std::optional<std::uint64_t> crl_number = {};  // of the first CRL that has it
  std::string rma = {};
  std::optional<Digest> outside_crl = {};  // of the outside CA's CRL that was taken in and has it

  /// The serial that stands in the certificate.
  [[nodiscard]] const Bytes& shown_serial() const {
    return outside_serial.empty() ? certificate_serial : outside_serial;
  }

  /// Its certificate is of a CA that is not in the HSM and has CRLs of its own.
  [[nodiscard]] bool outside() const { return !outside_serial.empty(); }

  /// Its key is somewhere on the way, or in an SE whose receipt has not come.
  [[nodiscard]] bool outstanding() const { return state == RecordState::Issued; }

  /// Injected and on no CRL: a device that is in use.
  [[nodiscard]] bool in_use() const { return state == RecordState::Injected && !revoked && !crl_due; }
};

/// What officers decided about a record, once for each kind, as the ledger keeps it.
struct DeviceAct {
  std::string device_serial = {}, rma = {};
  std::optional<std::uint8_t> crl_reason = {};  // nothing: the certificate was revoked before
  std::uint32_t first = 0, second = 0;          // persons who scrapped it
  std::optional<Digest> evidence = {};
  std::optional<se::Family> new_family = {};
  Bytes new_se = {};
};

/// Is what the plan asks what was done? Reasons in words apart; an act without a CRL reason fits any.
[[nodiscard]] bool same_act(const DeviceAct& act, const DeviceRevokePlan& plan);
[[nodiscard]] bool same_act(const DeviceAct& act, const DeviceScrapPlan& plan);
[[nodiscard]] bool same_act(const DeviceAct& act, const DeviceReworkPlan& plan);
[[nodiscard]] bool same_act(const DeviceAct& act, const DeviceRmaPlan& plan);

class DeviceStore {
 public:
  explicit DeviceStore(Ledger& ledger) : ledger_{ledger} {}

  // Records with a certificate in sealed segments, by batch and record number.
  [[nodiscard]] std::optional<DeviceRow> record(const BatchId& batch, RecordNo record);
  [[nodiscard]] std::vector<DeviceRow> of_se(std::optional<se::Family> family, const SeSerial& serial);
  [[nodiscard]] std::vector<DeviceRow> of_device(const std::string& device_serial);
  /// Reads all records: there is no index over random values.
  [[nodiscard]] std::optional<DeviceRow> of_certificate(ByteView certificate_serial);
  /// By the serial that an outside CA gave, leading zeros apart; two such CAs may have given the same.
  [[nodiscard]] std::vector<DeviceRow> of_outside_serial(ByteView serial);
  /// Quarantined or returned, not released, scrapped or replaced; of one batch, or all. The first `limit` of them, and
  /// how many there are.
  [[nodiscard]] std::vector<DeviceRow> waiting(const std::optional<BatchId>& batch, std::uint32_t limit);
  [[nodiscard]] std::uint64_t count_waiting(const std::optional<BatchId>& batch);

  /// kind: revoked, scrapped, reworked, rma, released.
  [[nodiscard]] std::optional<DeviceAct> act(const DeviceRow& row, const std::string& kind);

  /// May the plan be run as the ledger is now? Reasons: record-unknown, record-changed, record-outstanding,
  /// record-state, import-unfinished, certificate-revoked, se-scrapped, se-released, se-replaced,
  /// se-other-certificate, se-reserved, se-unknown, se-in-use, device-serial, rma-open. Nothing: yes, or it is no plan
  /// about a device.
  [[nodiscard]] std::optional<Refusal> refusal(const Plan& plan, UtcMillis now);

  [[nodiscard]] bool is_scrapped(se::Family family, const SeSerial& serial);

 private:
  [[nodiscard]] std::vector<DeviceRow> read(const std::string& where,
                                            const std::function<void(SQLite::Statement&)>& bind,
                                            const std::string& limit = "");
  [[nodiscard]] std::variant<DeviceRow, Refusal> same_record(const DeviceRecord& planned);
  /// What an import has staged is carried out as it was checked: no record may end meanwhile.
  [[nodiscard]] std::optional<Refusal> no_import();
  [[nodiscard]] std::optional<Refusal> no_other_certificate(const DeviceRow& row);
  [[nodiscard]] std::optional<Refusal> not_reserved(se::Family family, const SeSerial& serial, UtcMillis now);
  /// Of the inventory, beside the old and the new one.
  [[nodiscard]] std::optional<Refusal> no_other_se_of_device(const DeviceReworkPlan& plan, const std::string& key_name);
  [[nodiscard]] std::optional<Refusal> check(const DeviceRevokePlan& plan);
  [[nodiscard]] std::optional<Refusal> check(const DeviceScrapPlan& plan, UtcMillis now);
  [[nodiscard]] std::optional<Refusal> check(const DeviceReworkPlan& plan, UtcMillis now);
  [[nodiscard]] std::optional<Refusal> check(const DeviceRmaPlan& plan);

  Ledger& ledger_;
};

/// `device-act`: data = u64be time, then the plan's octets.
void register_device_actions(Ledger& ledger);
/// Nothing for plans that are not about a device.
[[nodiscard]] std::optional<Action> device_action(const Plan& plan, UtcMillis now);

/// A release as an act of the record's history. In the transaction that makes it so.
void add_release_in(store::Database& database, const BatchId& batch, std::uint32_t record_no, const std::string& reason,
                    UtcMillis now);

}  // namespace keyferry::appliance
