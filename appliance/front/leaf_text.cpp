#include "appliance/front/leaf_text.h"

#include <fmt/format.h>

#include "appliance/plan/plan.h"
#include "keyferry/v1/log.pb.h"
#include "wrap/base/text.h"
#include "wrap/crypto/hash.h"

namespace keyferry::appliance {
namespace {

std::string hex(const std::string& octets) {
  return to_hex(as_bytes(octets));
}

std::string environment_text(v1::Environment environment) {
  switch (environment) {
    case v1::ENVIRONMENT_DEVELOPMENT:
      return "development";
    case v1::ENVIRONMENT_REHEARSAL:
      return "rehearsal";
    case v1::ENVIRONMENT_PRODUCTION:
      return "production";
    default:
      return "unknown";
  }
}

std::string family_text(v1::Family family) {
  switch (family) {
    case v1::FAMILY_PKCS11:
      return "pkcs11";
    case v1::FAMILY_ATECC608:
      return "atecc608";
    case v1::FAMILY_OPTIGA_TRUST_M:
      return "optiga-trust-m";
    case v1::FAMILY_TPM2:
      return "tpm2";
    default:
      return "unknown";
  }
}

Json sharing_json(const v1::PinSharing& sharing) {
  return Json{{"needed", sharing.needed()}, {"shares", sharing.total()}, {"set", hex(sharing.set_id())}};
}

Json fields_of(const v1::InitializedLeaf& leaf) {
  Json fields{{"appliance", hex(leaf.appliance_id())},
              {"environment", environment_text(leaf.environment())},
              {"name", printable(leaf.name())},
              {"officer", leaf.first_officer()},
              {"approved_by", printable(leaf.approved_by())},
              {"module", printable(leaf.module())}};
  if (leaf.has_pin_sharing()) fields["pin_sharing"] = sharing_json(leaf.pin_sharing());
  return fields;
}

Json fields_of(const v1::PlanLeaf& leaf) {
  Json officers = Json::array();
  for (const std::string& id : leaf.officer_key_ids()) officers.push_back(hex(id));
  return Json{{"operation", printable(leaf.operation())},
              {"number", leaf.plan_number()},
              {"subject", printable(leaf.subject())},
              {"plan", hex(leaf.plan_digest())},
              {"officers", officers}};
}

Json fields_of(const v1::KeyMadeLeaf& leaf) {
  return Json{{"role", printable(leaf.role())},
              {"label", printable(leaf.label())},
              {"public_key", hex(leaf.public_key())},
              {"check_value", hex(leaf.check_value())},
              {"origin", printable(leaf.origin())},
              {"family", printable(leaf.family())},
              {"attributes", printable(leaf.attributes())}};
}

Json fields_of(const v1::BackupLeaf& leaf) {
  Json labels = Json::array();
  for (const std::string& label : leaf.labels()) labels.push_back(printable(label));
  return Json{{"backup", hex(leaf.backup_id())},
              {"file_sha256", hex(leaf.file_sha256())},
              {"shares_needed", leaf.shares_needed()},
              {"shares", leaf.shares()},
              {"labels", labels}};
}

Json fields_of(const v1::AdoptedLeaf& leaf) {
  Json officers = Json::array();
  for (const std::string& id : leaf.officer_key_ids()) officers.push_back(hex(id));
  return Json{{"appliance", hex(leaf.appliance_id())},
              {"old_appliance", hex(leaf.old_appliance_id())},
              {"hsm_epoch", leaf.hsm_epoch()},
              {"last_plan_number", leaf.last_plan_number()},
              {"registry", hex(leaf.registry_digest())},
              {"backup", hex(leaf.backup_id())},
              {"officers", officers}};
}

Json fields_of(const v1::PinChangedLeaf& leaf) {
  Json custodians = Json::array();
  for (const std::uint32_t number : leaf.custodians()) custodians.push_back(number);
  return Json{{"pin_sharing", sharing_json(leaf.sharing())},
              {"set_before", hex(leaf.set_before())},
              {"custodians", custodians}};
}

Json fields_of(const v1::StationLeafEnrolled& leaf) {
  return Json{{"station", hex(leaf.station_id())}, {"request_sha256", hex(leaf.request_sha256())}};
}

Json fields_of(const v1::InventoryLeaf& leaf) {
  return Json{{"source", printable(leaf.source())},
              {"rows", leaf.rows()},
              {"file_sha256", hex(leaf.file_sha256())}};
}

Json fields_of(const v1::SegmentIssuedLeaf& leaf) {
  return Json{{"batch", hex(leaf.batch_id())},
              {"index", leaf.index()},
              {"count", leaf.count()},
              {"container", hex(leaf.container_id())},
              {"digest", hex(leaf.digest())},
              {"plaintext", leaf.plaintext().empty() ? "none outside the HSM" : printable(leaf.plaintext())}};
}

Json fields_of(const v1::KeyIssuedLeaf& leaf) {
  return Json{{"batch", hex(leaf.batch_id())},
              {"record", leaf.record_no()},
              {"family", family_text(leaf.family())},
              {"se", hex(leaf.se_serial())},
              {"key_name", printable(leaf.key_name())},
              {"certificate_serial", hex(leaf.certificate_serial())},
              {"certificate_sha256", hex(leaf.certificate_sha256())},
              {"public_key_sha256", hex(leaf.public_key_sha256())}};
}

Json fields_of(const v1::KeyRequestedLeaf& leaf) {
  return Json{{"batch", hex(leaf.batch_id())},
              {"record", leaf.record_no()},
              {"family", family_text(leaf.family())},
              {"se", hex(leaf.se_serial())},
              {"key_name", printable(leaf.key_name())},
              {"request_sha256", hex(leaf.request_sha256())},
              {"public_key_sha256", hex(leaf.public_key_sha256())}};
}

Json fields_of(const v1::SegmentWaitingLeaf& leaf) {
  return Json{{"batch", hex(leaf.batch_id())},
              {"index", leaf.index()},
              {"count", leaf.count()},
              {"container", hex(leaf.container_id())},
              {"digest", hex(leaf.digest())},
              {"plaintext", leaf.plaintext().empty() ? "none outside the HSM" : printable(leaf.plaintext())}};
}

Json fields_of(const v1::BatchCertifiedLeaf& leaf) {
  return Json{{"batch", hex(leaf.batch_id())},
              {"authority", printable(leaf.authority())},
              {"records", leaf.records()},
              {"certificates_root", hex(leaf.certificates_root())}};
}

Json fields_of(const v1::ManifestIssuedLeaf& leaf) {
  return Json{{"batch", hex(leaf.batch_id())},
              {"segments", leaf.segments()},
              {"container", hex(leaf.container_id())},
              {"digest", hex(leaf.digest())}};
}

Json fields_of(const v1::ExportedLeaf& leaf) {
  return Json{{"batch", hex(leaf.batch_id())}, {"token", hex(leaf.token_id())}};
}

Json fields_of(const v1::InboxOpenedLeaf& leaf) {
  return Json{{"container", hex(leaf.container_id())},
              {"station", hex(leaf.station_id())},
              {"digest", hex(leaf.digest())}};
}

Json fields_of(const v1::ReceiptAcceptedLeaf& leaf) {
  return Json{{"batch", hex(leaf.batch_id())},
              {"record", leaf.record_no()},
              {"outcome", printable(leaf.outcome())},
              {"core_sha256", hex(leaf.core_sha256())},
              {"station", hex(leaf.station_id())}};
}

Json fields_of(const v1::ReceiptsImportedLeaf& leaf) {
  return Json{{"station", hex(leaf.station_id())},
              {"generation", leaf.generation()},
              {"size", leaf.size()},
              {"accepted", leaf.accepted()},
              {"incidents", leaf.incidents()},
              {"container", hex(leaf.container_id())},
              {"root", hex(leaf.root())}};
}

Json fields_of(const v1::IncidentLeaf& leaf) {
  return Json{{"kind", printable(leaf.kind())},
              {"subject", printable(leaf.subject())},
              {"evidence_sha256", hex(leaf.evidence_sha256())}};
}

Json fields_of(const v1::RefusedLeaf& leaf) {
  return Json{{"what", printable(leaf.what())},
              {"reason", printable(leaf.reason())},
              {"subject", printable(leaf.subject())},
              {"count", leaf.count()}};
}

Json fields_of(const v1::NoteLeaf& leaf) {
  return Json{{"note", printable(leaf.event())}, {"subject", printable(leaf.subject())}};
}

Json fields_of(const v1::PersonLeaf& leaf) {
  return Json{{"person", leaf.number()},
              {"role", printable(leaf.role())},
              {"event", printable(leaf.event())},
              {"key", hex(leaf.public_key())},
              {"name_hash", hex(leaf.name_hash())},
              {"card_sha256", hex(leaf.card_sha256())}};
}

Json fields_of(const v1::PolicyLeaf& leaf) {
  std::string rules;
  for (const v1::PolicyRuleText& rule : leaf.rules()) {
    rules += fmt::format(
        "{}{}={}", rules.empty() ? "" : ",", printable(rule.operation()), rule.officers_needed());
  }
  std::string families;
  for (const std::string& family : leaf.enabled_families())
    families += fmt::format("{}{}", families.empty() ? "" : ",", printable(family));
  return Json{{"epoch", leaf.epoch()},
              {"rules", rules},
              {"rehearsal_required", leaf.rehearsal_required()},
              {"enabled_families", families}};
}

Json fields_of(const v1::SuspendLeaf& leaf) {
  return Json{{"batch", hex(leaf.batch_id())}};
}

Json fields_of(const v1::CeremonyLeaf& leaf) {
  return Json{{"script", printable(leaf.script())},
              {"environment", environment_text(leaf.environment())},
              {"transcript_sha256", hex(leaf.transcript_sha256())},
              {"html_sha256", hex(leaf.html_sha256())},
              {"script_sha256", hex(leaf.script_sha256())},
              {"steps", leaf.steps()},
              {"exceptions", leaf.exceptions()},
              {"ended", to_rfc3339(UtcMillis{leaf.ended_ms()})}};
}

Json fields_of(const v1::BatchClosedLeaf& leaf) {
  return Json{{"batch", hex(leaf.batch_id())},
              {"revoked", leaf.records()},
              {"root", hex(leaf.records_root())},
              {"revocation_list", leaf.revocation_number()},
              {"reason", printable(leaf.reason())}};
}

Json fields_of(const v1::TokenLostLeaf& leaf) {
  return Json{{"token", hex(leaf.token_id())},
              {"batch", hex(leaf.batch_id())},
              {"decision", printable(leaf.decision())},
              {"exposed", leaf.records()},
              {"root", hex(leaf.records_root())},
              {"reason", printable(leaf.reason())}};
}

Json fields_of(const v1::StationRetiredLeaf& leaf) {
  Json batches = Json::array();
  for (const std::string& batch : leaf.batches()) batches.push_back(hex(batch));
  return Json{{"station", hex(leaf.station_id())},
              {"log_generation", leaf.log_generation()},
              {"log_size", leaf.log_size()},
              {"revoked", leaf.records()},
              {"batches", batches},
              {"revocation_list", leaf.revocation_number()},
              {"reason", printable(leaf.reason())}};
}

Json fields_of(const v1::QuarantineReleasedLeaf& leaf) {
  return Json{{"batch", hex(leaf.batch_id())}, {"record", leaf.record_no()}, {"reason", printable(leaf.reason())}};
}

Json fields_of(const v1::CrlIssuedLeaf& leaf) {
  return Json{{"authority", printable(leaf.authority())},
              {"number", leaf.number()},
              {"entries", leaf.entries()},
              {"root", hex(leaf.entries_root())},
              {"sha256", hex(leaf.crl_sha256())},
              {"next_update", to_rfc3339(UtcMillis{leaf.next_update_ms()})}};
}

Json fields_of(const v1::CaRetiredLeaf& leaf) {
  return Json{{"authority", printable(leaf.name())}, {"reason", printable(leaf.reason())}};
}

Json fields_of(const v1::KeyDestroyedLeaf& leaf) {
  return Json{{"label", printable(leaf.label())},
              {"public_key", hex(leaf.public_key())},
              {"check_value", hex(leaf.check_value())},
              {"destroyed", leaf.destroyed()},
              {"found", leaf.found()}};
}

Json fields_of(const v1::DeviceLeaf& leaf) {
  Json fields{{"act", printable(leaf.act())},
              {"batch", hex(leaf.batch_id())},
              {"record_no", leaf.record_no()},
              {"family", printable(leaf.family())},
              {"se", hex(leaf.se_serial())},
              {"certificate_serial", hex(leaf.certificate_serial())},
              {"device_serial", printable(leaf.device_serial())},
              {"reason", printable(leaf.reason())}};
  if (!leaf.crl_reason().empty()) fields["crl_reason"] = printable(leaf.crl_reason());
  if (leaf.outstanding()) fields["outstanding"] = true;
  if (!leaf.rma().empty()) fields["rma"] = printable(leaf.rma());
  if (!leaf.new_se_serial().empty()) {
    fields["new_family"] = printable(leaf.new_family());
    fields["new_se"] = hex(leaf.new_se_serial());
  }
  if (leaf.persons_size() > 0) {
    fields["persons"] = Json::array();
    for (const std::uint32_t person : leaf.persons()) fields["persons"].push_back(person);
    fields["evidence_sha256"] = hex(leaf.evidence_sha256());
  }
  return fields;
}

Json fields_of(const v1::CaRevokedLeaf& leaf) {
  return Json{{"authority", printable(leaf.name())},
              {"issuer", printable(leaf.issuer())},
              {"certificate_serial", hex(leaf.certificate_serial())},
              {"crl_reason", printable(leaf.crl_reason())},
              {"reason", printable(leaf.reason())}};
}

Json fields_of(const v1::OutsideCrlLeaf& leaf) {
  return Json{{"authority", printable(leaf.authority())},
              {"crl_sha256", hex(leaf.crl_sha256())},
              {"this_update", to_rfc3339(UtcMillis{leaf.this_update_ms()})},
              {"records", leaf.records()},
              {"records_root", hex(leaf.records_root())}};
}

Json fields_of(const v1::CustodyLeaf& leaf) {
  return Json{{"token", hex(leaf.token_id())},
              {"event", printable(leaf.event())},
              {"statement_sha256", hex(leaf.statement_sha256())},
              {"signatures", leaf.signatures()}};
}

void set_detail(const v1::LogLeaf& leaf, LeafText& text) {
  using Case = v1::LogLeaf::DetailCase;
  const auto set = [&text](const char* event, Json fields) {
    text.event = event;
    text.fields = std::move(fields);
  };
  switch (leaf.detail_case()) {
    case Case::kInitialized:
      return set("appliance.initialized", fields_of(leaf.initialized()));
    case Case::kPlan:
      return set("plan.run", fields_of(leaf.plan()));
    case Case::kKeyMade:
      return set("key.made", fields_of(leaf.key_made()));
    case Case::kStationEnrolled:
      return set("station.enrolled", fields_of(leaf.station_enrolled()));
    case Case::kInventory:
      return set("inventory.imported", fields_of(leaf.inventory()));
    case Case::kSegmentIssued:
      return set("segment.issued", fields_of(leaf.segment_issued()));
    case Case::kKeyIssued:
      return set("key.issued", fields_of(leaf.key_issued()));
    case Case::kManifestIssued:
      return set("manifest.issued", fields_of(leaf.manifest_issued()));
    case Case::kExported:
      return set("batch.exported", fields_of(leaf.exported()));
    case Case::kInboxOpened:
      return set("inbox.opened", fields_of(leaf.inbox_opened()));
    case Case::kReceiptAccepted:
      return set("receipt.accepted", fields_of(leaf.receipt_accepted()));
    case Case::kReceiptsImported:
      return set("receipts.imported", fields_of(leaf.receipts_imported()));
    case Case::kIncident:
      return set("incident", fields_of(leaf.incident()));
    case Case::kRefused:
      return set("refused", fields_of(leaf.refused()));
    case Case::kNote:
      return set("note", fields_of(leaf.note()));
    case Case::kBackup:
      return set("hsm.backup", fields_of(leaf.backup()));
    case Case::kAdopted:
      return set("hsm.adopted", fields_of(leaf.adopted()));
    case Case::kPerson:
      return set("person.changed", fields_of(leaf.person()));
    case Case::kPolicy:
      return set("policy.set", fields_of(leaf.policy()));
    case Case::kSuspend:
      return set(leaf.suspend().suspended() ? "batch.suspended" : "batch.resumed",
                 fields_of(leaf.suspend()));
    case Case::kCeremony:
      return set("ceremony", fields_of(leaf.ceremony()));
    case Case::kPinChanged:
      return set("hsm.pin-changed", fields_of(leaf.pin_changed()));
    case Case::kBatchClosed:
      return set("batch.closed", fields_of(leaf.batch_closed()));
    case Case::kTokenLost:
      return set("token.lost", fields_of(leaf.token_lost()));
    case Case::kStationRetired:
      return set("station.retired", fields_of(leaf.station_retired()));
    case Case::kQuarantineReleased:
      return set("quarantine.released", fields_of(leaf.quarantine_released()));
    case Case::kCrlIssued:
      return set("crl.issued", fields_of(leaf.crl_issued()));
    case Case::kCaRetired:
      return set("ca.retired", fields_of(leaf.ca_retired()));
    case Case::kCaRevoked:
      return set("ca.revoked", fields_of(leaf.ca_revoked()));
    case Case::kOutsideCrl:
      return set("crl.imported", fields_of(leaf.outside_crl()));
    case Case::kKeyDestroyed:
      return set("key.destroyed", fields_of(leaf.key_destroyed()));
    case Case::kDevice:
      return set("device.ended", fields_of(leaf.device()));
    case Case::kCustody:
      return set("token.custody", fields_of(leaf.custody()));
    case Case::kKeyRequested:
      return set("key.requested", fields_of(leaf.key_requested()));
    case Case::kSegmentWaiting:
      return set("segment.waiting", fields_of(leaf.segment_waiting()));
    case Case::kBatchCertified:
      return set("batch.certified", fields_of(leaf.batch_certified()));
    case Case::DETAIL_NOT_SET:
      return;
  }
}

}  // namespace

LeafText leaf_text(ByteView octets) {
  LeafText text;
  v1::LogLeaf leaf;
  const bool parsed =
      leaf.ParseFromArray(octets.data(), static_cast<int>(octets.size())) && leaf.version() == 1;
  if (parsed) {
    text.time = UtcMillis{leaf.time_ms()};
    text.origin = leaf.origin() == v1::LEAF_ORIGIN_DONE ? "done" : "reported";
    set_detail(leaf, text);
  }
  if (text.event.empty()) {
    text.event = "unknown";
    text.fields = Json{{"sha256", crypto::sha256(octets).hex()}};
  }
  return text;
}

std::string one_line(const LeafText& leaf) {
  std::string line = leaf.event;
  for (const auto& [name, value] : leaf.fields.items()) {
    line +=
        fmt::format(" {}={}", name, value.is_string() ? value.get<std::string>() : value.dump());
  }
  return line;
}

}  // namespace keyferry::appliance
