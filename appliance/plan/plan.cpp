#include "appliance/plan/plan.h"

#include <fmt/format.h>

#include <array>
#include <bit>
#include <utility>

#include "appliance/plan/plan_authorities.h"
#include "appliance/plan/plan_devices.h"
#include "appliance/plan/plan_ends.h"
#include "appliance/plan/plan_families.h"
#include "appliance/plan/plan_fields.h"
#include "appliance/plan/plan_keys.h"
#include "appliance/plan/plan_outside.h"
#include "appliance/plan/plan_people.h"
#include "appliance/plan/plan_prepare.h"
#include "appliance/plan/plan_revocations.h"
#include "appliance/plan/plan_verify.h"
#include "appliance/plan/product_declaration.h"
#include "wrap/base/text.h"
#include "wrap/base/words.h"
#include "wrap/crypto/hash.h"
#include "wrap/crypto/signing.h"
#include "wrap/x509/template.h"

namespace keyferry::appliance {
namespace {

constexpr std::array kOperations{
    std::pair{Operation::SourceAdd, std::string_view{"source-add"}},
    std::pair{Operation::TransportMasterCreate, std::string_view{"transport-master-create"}},
    std::pair{Operation::SeImport, std::string_view{"se-import"}},
    std::pair{Operation::StationEnroll, std::string_view{"station-enroll"}},
    std::pair{Operation::CaCreate, std::string_view{"ca-create"}},
    std::pair{Operation::CaRequest, std::string_view{"ca-request"}},
    std::pair{Operation::CaInstall, std::string_view{"ca-install"}},
    std::pair{Operation::CaImport, std::string_view{"ca-import"}},
    std::pair{Operation::Batch, std::string_view{"batch"}},
    std::pair{Operation::BatchReexport, std::string_view{"batch-reexport"}},
    std::pair{Operation::TransportMasterImport, std::string_view{"transport-master-import"}},
    std::pair{Operation::VendorKeyImport, std::string_view{"vendor-key-import"}},
    std::pair{Operation::VendorKeyCreate, std::string_view{"vendor-key-create"}},
    std::pair{Operation::HsmBackup, std::string_view{"hsm-backup"}},
    std::pair{Operation::HsmAdoptState, std::string_view{"hsm-adopt-state"}},
    std::pair{Operation::OfficerAdd, std::string_view{"officer-add"}},
    std::pair{Operation::OfficerReplace, std::string_view{"officer-replace"}},
    std::pair{Operation::OfficerDisable, std::string_view{"officer-disable"}},
    std::pair{Operation::PolicyChange, std::string_view{"policy-change"}},
    std::pair{Operation::HsmPinChange, std::string_view{"hsm-pin-change"}},
    std::pair{Operation::BatchSuspend, std::string_view{"batch-suspend"}},
    std::pair{Operation::BatchResume, std::string_view{"batch-resume"}},
    std::pair{Operation::BatchClose, std::string_view{"batch-close"}},
    std::pair{Operation::TokenLost, std::string_view{"token-lost"}},
    std::pair{Operation::QuarantineRelease, std::string_view{"quarantine-release"}},
    std::pair{Operation::CrlIssue, std::string_view{"crl-issue"}},
    std::pair{Operation::StationRetire, std::string_view{"station-retire"}},
    std::pair{Operation::CaRetire, std::string_view{"ca-retire"}},
    std::pair{Operation::HsmDestroyKey, std::string_view{"hsm-destroy-key"}},
    std::pair{Operation::ClockSet, std::string_view{"clock-set"}},
    std::pair{Operation::InsecureAllow, std::string_view{"insecure-allow"}},
    std::pair{Operation::FamilyEnable, std::string_view{"family-enable"}},
    std::pair{Operation::SePrepare, std::string_view{"se-prepare"}},
    std::pair{Operation::DeviceRevoke, std::string_view{"device-revoke"}},
    std::pair{Operation::DeviceScrap, std::string_view{"device-scrap"}},
    std::pair{Operation::DeviceRework, std::string_view{"device-rework"}},
    std::pair{Operation::DeviceRma, std::string_view{"device-rma"}},
    std::pair{Operation::BatchCertify, std::string_view{"batch-certify"}},
    std::pair{Operation::CaRevoke, std::string_view{"ca-revoke"}},
    std::pair{Operation::CrlImport, std::string_view{"crl-import"}},
};

constexpr std::array kEnvironments{
    std::pair{Environment::Development, std::string_view{"development"}},
    std::pair{Environment::Rehearsal, std::string_view{"rehearsal"}},
    std::pair{Environment::Production, std::string_view{"production"}},
};

constexpr std::array kModes{
    std::pair{BatchMode::Inject, std::string_view{"inject"}},
    std::pair{BatchMode::OnDevice, std::string_view{"on-device"}},
    std::pair{BatchMode::PreProvisioned, std::string_view{"pre-provisioned"}},
};

template <typename Table, typename Value>
std::string_view name_in(const Table& table, Value value) {
  for (const auto& [known, name] : table) {
    if (known == value) return name;
  }
  throw Error{Code::Internal, "a value that its table does not name"};
}

template <typename Table>
auto value_in(const Table& table, std::string_view name) -> std::optional<decltype(table.front().first)> {
  for (const auto& [value, known] : table) {
    if (known == name) return value;
  }
  return std::nullopt;
}

constexpr std::string_view kManifestSource = "microchip-manifest";

SeImportPlan::Manifest read_manifest(PlanFields& fields) {
  SeImportPlan::Manifest manifest{fields.name("manifest_master"), fields.text("lot", 64)};
  if (!is_part_text(manifest.lot)) fields.refuse("lot", "is not well-formed");
  if (fields.has("attestation_slot"))
    manifest.attestation_slot = static_cast<std::uint8_t>(fields.integer("attestation_slot", 0, 15));
  return manifest;
}

constexpr std::string_view kPreparationSource = "preparation";

SourceAddPlan read_source(PlanFields& fields) {
  SourceAddPlan plan{.name = fields.name("name"), .kind = fields.text("kind", 32), .public_key = {}};
  if (plan.kind == "vendor-key" || plan.kind == kPreparationSource) {
    plan.public_key = fields.hex("public_key", crypto::PublicKey::kPointBytes);
    if (!crypto::PublicKey::from_point(plan.public_key)) fields.refuse("public_key", "is no P-256 point");
  } else if (plan.kind == kManifestSource) {
    plan.certificate_sha256 = fields.id<Digest>("certificate_sha256");
    plan.public_key = fields.hex("public_key", crypto::PublicKey::kPointBytes);
    if (!crypto::PublicKey::from_point(plan.public_key)) fields.refuse("public_key", "is no P-256 point");
  } else if (plan.kind != "officer-approved") {
    fields.refuse("kind", "is none of officer-approved, vendor-key, microchip-manifest and preparation");
  }
  return plan;
}

SeImportPlan read_import(PlanFields& fields) {
  SeImportPlan plan;
  plan.source = fields.name("source");
  plan.file_name = fields.text("file", 255);
  plan.file_sha256 = fields.id<Digest>("file_sha256");
  plan.rows = fields.integer("rows", 1, 1'000'000'000);
  if (printable(plan.file_name) != plan.file_name) fields.refuse("file", "has characters that are not plain ASCII");
  if (fields.has("delivered_root")) {
    plan.delivered_root = fields.id<Digest>("delivered_root");
    plan.delivered_count = fields.integer("delivered_count", 1, plan.rows);
  }
  if (fields.has("manifest_master")) plan.manifest = read_manifest(fields);
  return plan;
}

StationEnrollPlan read_station(PlanFields& fields) {
  StationEnrollPlan plan;
  plan.name = fields.name("name");
  plan.site = fields.name("site");
  plan.request_sha256 = fields.id<Digest>("request_sha256");
  plan.station = fields.id<StationId>("station");
  return plan;
}

void check_validity(PlanFields& fields, UtcMillis not_before, UtcMillis not_after) {
  if (not_after <= not_before) fields.refuse("not_after", "is not after not_before");
}

/// The template in its table, or "device" with the batch's subject.
void read_certificate(PlanFields& fields, BatchPlan& plan) {
  plan.certificate_text = fields.last_table_text("certificate");
  if (plan.certificate_text.empty()) {
    if (plan.certificate_template != x509::kDeviceTemplateName)
      fields.refuse("certificate_template", "is not \"device\", and there is no table [certificate]");
    const auto pattern = x509::SubjectPattern::parse(plan.certificate_subject);
    if (const auto* refusal = std::get_if<Refusal>(&pattern)) fields.refuse("certificate_subject", refusal->text);
    return;
  }
  const auto parsed = x509::parse_template(plan.certificate_text);
  if (const auto* refusal = std::get_if<Refusal>(&parsed)) return fields.refuse(*refusal);
  const auto& device = std::get<x509::DeviceTemplate>(parsed);
  if (x509::template_text(device) != plan.certificate_text)
    fields.refuse("certificate", "is not in the one form that a template has: make the plan with plan new --template");
  if (device.name != plan.certificate_template) fields.refuse("certificate_template", "is not the template's");
  if (device.subject != plan.certificate_subject) fields.refuse("certificate_subject", "is not the template's");
  const bool timed = device.not_after != UtcMillis{};
  if (timed && (device.not_before != plan.not_before || device.not_after != plan.not_after))
    fields.refuse("not_before", "and not_after are not the template's");
}

BatchPlan read_batch(PlanFields& fields) {
  BatchPlan plan;
  plan.site = fields.name("site");
  plan.customer = fields.text("customer", 63);
  if (!plan.customer.empty() && !is_name(plan.customer)) fields.refuse("customer", "is no name");
  plan.station = fields.id<StationId>("station");
  const auto family = se::family_from_name(fields.text("family", 32));
  if (!family) fields.refuse("family", "is unknown");
  plan.family = family.value_or(se::Family::Pkcs11);
  const auto mode = value_in(kModes, fields.text("mode", 32));
  if (!mode) fields.refuse("mode", "is unknown");
  plan.mode = mode.value_or(BatchMode::Inject);
  plan.key_name = fields.name("key_name");
  plan.se_count = static_cast<std::uint32_t>(fields.integer("se_count", 1, kMaxBatchRecords));
  plan.target_count = static_cast<std::uint32_t>(fields.integer("target_count", 1, kMaxBatchRecords));
  if (plan.target_count > plan.se_count) fields.refuse("target_count", "is more than se_count");
  plan.segment_size = static_cast<std::uint32_t>(fields.integer("segment_size", 1, kMaxSegmentRecords));
  if (!std::has_single_bit(plan.segment_size)) fields.refuse("segment_size", "is no power of two");
  plan.se_list_root = fields.id<Digest>("se_list_root");
  plan.certificate_authority = fields.name("certificate_authority");
  plan.certificate_template = fields.name("certificate_template");
  plan.certificate_subject = fields.text("certificate_subject", x509::kMaxPatternBytes);
  plan.not_before = fields.time("not_before");
  plan.not_after = fields.time("not_after");
  check_validity(fields, plan.not_before, plan.not_after);
  read_certificate(fields, plan);
  plan.due = fields.time("due");
  if (fields.has("firmware_sha256")) plan.firmware_sha256 = fields.id<Digest>("firmware_sha256");
  if (fields.has("outside")) plan.outside = fields.flag("outside");
  plan.verify = read_verify(fields, plan.firmware_sha256.has_value());
  if (plan.family == se::Family::Atecc608) plan.atecc608 = read_atecc608(fields);
  return plan;
}

BatchReexportPlan read_reexport(PlanFields& fields) {
  BatchReexportPlan plan;
  plan.batch = fields.id<BatchId>("batch");
  plan.reason = fields.reason();
  return plan;
}

void read_detail(PlanFields& fields, Plan& plan) {
  switch (plan.operation) {
    case Operation::SourceAdd: plan.detail = read_source(fields); return;
    case Operation::TransportMasterCreate: plan.detail = read_master(fields); return;
    case Operation::SeImport: plan.detail = read_import(fields); return;
    case Operation::StationEnroll: plan.detail = read_station(fields); return;
    case Operation::CaCreate: plan.detail = read_ca_create(fields); return;
    case Operation::CaRequest: plan.detail = read_ca_request(fields); return;
    case Operation::CaInstall: plan.detail = read_ca_install(fields); return;
    case Operation::CaImport: plan.detail = read_ca_import(fields); return;
    case Operation::Batch: plan.detail = read_batch(fields); return;
    case Operation::BatchReexport: plan.detail = read_reexport(fields); return;
    case Operation::TransportMasterImport: plan.detail = read_master_import(fields); return;
    case Operation::VendorKeyImport: plan.detail = read_vendor_key_import(fields); return;
    case Operation::VendorKeyCreate: plan.detail = read_vendor_key_create(fields); return;
    case Operation::HsmBackup: plan.detail = read_backup(fields); return;
    case Operation::HsmAdoptState: plan.detail = read_adopt_state(fields); return;
    case Operation::OfficerAdd: plan.detail = read_officer_add(fields); return;
    case Operation::OfficerReplace: plan.detail = read_officer_replace(fields); return;
    case Operation::OfficerDisable: plan.detail = read_officer_disable(fields); return;
    case Operation::PolicyChange: plan.detail = read_policy_change(fields); return;
    case Operation::HsmPinChange: plan.detail = read_pin_change(fields); return;
    case Operation::BatchSuspend: plan.detail = read_batch_suspend(fields); return;
    case Operation::BatchResume: plan.detail = read_batch_resume(fields); return;
    case Operation::BatchClose: plan.detail = read_batch_close(fields); return;
    case Operation::TokenLost: plan.detail = read_token_lost(fields); return;
    case Operation::QuarantineRelease: plan.detail = read_quarantine_release(fields); return;
    case Operation::CrlIssue: plan.detail = read_crl_issue(fields); return;
    case Operation::StationRetire: plan.detail = read_station_retire(fields); return;
    case Operation::CaRetire: plan.detail = read_ca_retire(fields); return;
    case Operation::HsmDestroyKey: plan.detail = read_destroy_key(fields); return;
    case Operation::ClockSet: plan.detail = read_clock_set(fields); return;
    case Operation::InsecureAllow: plan.detail = read_insecure_allow(fields); return;
    case Operation::FamilyEnable: plan.detail = read_family_enable(fields); return;
    case Operation::SePrepare: plan.detail = read_se_prepare(fields); return;
    case Operation::DeviceRevoke: plan.detail = read_device_revoke(fields); return;
    case Operation::DeviceScrap: plan.detail = read_device_scrap(fields); return;
    case Operation::DeviceRework: plan.detail = read_device_rework(fields); return;
    case Operation::DeviceRma: plan.detail = read_device_rma(fields); return;
    case Operation::BatchCertify: plan.detail = read_batch_certify(fields); return;
    case Operation::CaRevoke: plan.detail = read_ca_revoke(fields); return;
    case Operation::CrlImport: plan.detail = read_crl_import(fields); return;
  }
}

std::string detail_text(const SourceAddPlan& plan) {
  std::string text = fmt::format("name = \"{}\"\nkind = \"{}\"\n", plan.name, plan.kind);
  if (!plan.public_key.empty()) text += fmt::format("public_key = \"{}\"\n", to_hex(plan.public_key));
  if (plan.certificate_sha256) text += fmt::format("certificate_sha256 = \"{}\"\n", plan.certificate_sha256->hex());
  return text;
}

std::string detail_text(const SeImportPlan& plan) {
  std::string text = fmt::format("source = \"{}\"\nfile = {}\nfile_sha256 = \"{}\"\nrows = {}\n", plan.source,
                                 toml_quoted(plan.file_name), plan.file_sha256.hex(), plan.rows);
  if (plan.delivered_root) {
    text += fmt::format("delivered_root = \"{}\"\ndelivered_count = {}\n", plan.delivered_root->hex(),
                        plan.delivered_count);
  }
  if (plan.manifest) {
    text += fmt::format("manifest_master = \"{}\"\nlot = \"{}\"\n", plan.manifest->master, plan.manifest->lot);
    if (plan.manifest->attestation_slot) text += fmt::format("attestation_slot = {}\n", *plan.manifest->attestation_slot);
  }
  return text;
}

std::string detail_text(const StationEnrollPlan& plan) {
  return fmt::format("name = \"{}\"\nsite = \"{}\"\nrequest_sha256 = \"{}\"\nstation = \"{}\"\n", plan.name, plan.site,
                     plan.request_sha256.hex(), plan.station.hex());
}

std::string validity_text(UtcMillis not_before, UtcMillis not_after) {
  return fmt::format("not_before = \"{}\"\nnot_after = \"{}\"\n", to_rfc3339(not_before), to_rfc3339(not_after));
}

std::string detail_text(const BatchPlan& plan) {
  std::string text = fmt::format("site = \"{}\"\ncustomer = \"{}\"\nstation = \"{}\"\n", plan.site, plan.customer,
                                 plan.station.hex());
  text += fmt::format("family = \"{}\"\nmode = \"{}\"\nkey_name = \"{}\"\n", se::family_name(plan.family),
                      name_in(kModes, plan.mode), plan.key_name);
  text += fmt::format("se_count = {}\ntarget_count = {}\nsegment_size = {}\nse_list_root = \"{}\"\n", plan.se_count,
                      plan.target_count, plan.segment_size, plan.se_list_root.hex());
  text += fmt::format("certificate_authority = \"{}\"\ncertificate_template = \"{}\"\ncertificate_subject = {}\n",
                      plan.certificate_authority, plan.certificate_template, toml_quoted(plan.certificate_subject));
  text += validity_text(plan.not_before, plan.not_after);
  text += fmt::format("due = \"{}\"\n", to_rfc3339(plan.due));
  if (plan.firmware_sha256) text += fmt::format("firmware_sha256 = \"{}\"\n", plan.firmware_sha256->hex());
  if (plan.outside) text += "outside = true\n";
  if (plan.verify) text += "\n" + verify_text(*plan.verify);
  if (plan.atecc608) text += "\n" + atecc608_text(*plan.atecc608);
  if (!plan.certificate_text.empty()) text += "\n[certificate]\n" + plan.certificate_text;
  return text;
}

std::string detail_text(const BatchReexportPlan& plan) {
  return fmt::format("batch = \"{}\"\nreason = {}\n", plan.batch.hex(), toml_quoted(plan.reason));
}

std::vector<std::string> detail_sentences(const SourceAddPlan& plan) {
  std::vector<std::string> lines{fmt::format("From now on inventory is taken from source \"{}\" ({}).", plan.name, plan.kind)};
  if (plan.certificate_sha256) {
    lines.push_back(fmt::format("Each entry must be signed by the key of the certificate with SHA-256 {}.",
                                plan.certificate_sha256->hex()));
  }
  if (plan.kind == kPreparationSource) {
    const auto key = crypto::PublicKey::from_point(plan.public_key);
    if (key) {
      lines.push_back(fmt::format("Each row must be a receipt of the preparer whose key reads in words: {}.",
                                  key_words(key->key_id().bytes())));
    }
  }
  return lines;
}

std::vector<std::string> detail_sentences(const SeImportPlan& plan) {
  std::vector<std::string> lines{
      fmt::format("{} secure elements are taken into the inventory from {} (source \"{}\").", plan.rows, plan.file_name,
                  plan.source),
      fmt::format("The file's SHA-256 is {}.", plan.file_sha256.hex())};
  if (plan.delivered_root) {
    lines.push_back(fmt::format("{} of them bring a wrapped transport key; each is opened in the HSM for its check value.",
                                plan.delivered_count));
  }
  if (plan.manifest) {
    lines.push_back(fmt::format("It is a signed manifest of Microchip's; transport keys are derived from kf-tk/{}.",
                                plan.manifest->master));
    lines.push_back(plan.manifest->attestation_slot
                        ? fmt::format("The public key of slot {} is each chip's attestation key.", *plan.manifest->attestation_slot)
                        : std::string{"No attestation keys are taken from it."});
  }
  return lines;
}

std::vector<std::string> detail_sentences(const StationEnrollPlan& plan) {
  return {fmt::format("Station \"{}\" at site \"{}\" ({}) may receive batches.", plan.name, plan.site, plan.station.hex()),
          fmt::format("Its request reads in words: {}.", key_words(plan.request_sha256.bytes()))};
}

/// What a template has beyond subject and validity.
void add_template(std::vector<std::string>& lines, const x509::DeviceTemplate& device) {
  if (device.matter.vendor_id && device.matter.product_id) {
    lines.push_back(fmt::format("Matter: vendor id {}, product id {}.", x509::matter_hex(*device.matter.vendor_id),
                                x509::matter_hex(*device.matter.product_id)));
  }
  std::vector<std::string_view> usages;
  for (std::size_t bit = 0; bit < x509::kKeyUsageNames.size(); ++bit) {
    if ((device.key_usage >> bit & 1U) != 0) usages.push_back(x509::kKeyUsageNames[bit]);
  }
  if (device.key_usage != x509::kDigitalSignature) lines.push_back(fmt::format("Key usage: {}.", fmt::join(usages, ", ")));
  if (!device.extended_key_usage.empty())
    lines.push_back(fmt::format("Extended key usage: {}.", fmt::join(device.extended_key_usage, ", ")));
  if (!device.policies.empty()) lines.push_back(fmt::format("Policies: {}.", fmt::join(device.policies, ", ")));
  if (!device.alt_names.empty()) lines.push_back(fmt::format("Alternative names: {}.", fmt::join(device.alt_names, ", ")));
  for (const x509::ExtraExtension& extra : device.extensions)
    lines.push_back(fmt::format("Extension {} with value {}.", extra.oid, to_hex(extra.value)));
  if (device.certification_declaration)
    lines.push_back(fmt::format("The product's Certification Declaration has SHA-256 {}.", device.certification_declaration->hex()));
  if (device.certification_declaration) lines.push_back(declaration_signature_sentence(device));
}

std::vector<std::string> detail_sentences(const BatchPlan& plan) {
  std::vector<std::string> lines;
  lines.push_back(fmt::format("{} keys named \"{}\" are made for {} secure elements of family {} (mode {}).", plan.se_count,
                              plan.key_name, plan.se_count, se::family_name(plan.family), name_in(kModes, plan.mode)));
  lines.push_back(fmt::format("They go to station {} at site \"{}\"{}, in {} segments of at most {} records.",
                              plan.station.hex(), plan.site,
                              plan.customer.empty() ? "" : fmt::format(" for customer \"{}\"", plan.customer),
                              plan.segment_count(), plan.segment_size));
  lines.push_back(fmt::format("The line stops at {} devices; the other {} records are returned.", plan.target_count,
                              plan.se_count - plan.target_count));
  lines.push_back(fmt::format("Certificates: kf-ca/{}, template \"{}\", subject {}, valid from {} to {}.",
                              plan.certificate_authority, plan.certificate_template, plan.certificate_subject,
                              to_rfc3339(plan.not_before), to_rfc3339(plan.not_after)));
  add_template(lines, plan.device_template());
  const auto outside = outside_sentences(plan);
  lines.insert(lines.end(), outside.begin(), outside.end());
  const auto checks = verify_sentences(plan);
  lines.insert(lines.end(), checks.begin(), checks.end());
  lines.push_back(fmt::format("What has no receipt by {} is overdue.", to_rfc3339(plan.due)));
  if (plan.atecc608) {
    const auto more = atecc608_sentences(*plan.atecc608);
    lines.insert(lines.end(), more.begin(), more.end());
  }
  return lines;
}

std::vector<std::string> detail_sentences(const BatchReexportPlan& plan) {
  return {fmt::format("Batch {} is exported once more, the same sealed octets to the same station.", plan.batch.hex()),
          fmt::format("Reason: {}.", plan.reason)};
}

std::string detail_subject(const SourceAddPlan& plan) { return plan.name; }

std::string detail_subject(const SeImportPlan& plan) { return plan.file_sha256.hex(); }

std::string detail_subject(const StationEnrollPlan& plan) { return plan.station.hex(); }

std::string detail_subject(const BatchPlan& plan) { return plan.site; }

std::string detail_subject(const BatchReexportPlan& plan) { return plan.batch.hex(); }

}  // namespace

std::string_view operation_name(Operation operation) { return name_in(kOperations, operation); }

std::optional<Operation> operation_from_name(std::string_view name) { return value_in(kOperations, name); }

std::string_view environment_name(Environment environment) { return name_in(kEnvironments, environment); }

std::optional<Environment> environment_from_name(std::string_view name) { return value_in(kEnvironments, name); }

x509::DeviceTemplate BatchPlan::device_template() const {
  x509::DeviceTemplate device;
  if (certificate_text.empty()) {
    device.name = certificate_template;
    device.subject = certificate_subject;
  } else {
    auto parsed = x509::parse_template(certificate_text);
    if (const auto* refusal = std::get_if<Refusal>(&parsed)) throw to_error(*refusal);
    device = std::get<x509::DeviceTemplate>(std::move(parsed));
  }
  device.not_before = not_before;
  device.not_after = not_after;
  return device;
}

BatchId Plan::batch_id() const { return *BatchId::from_bytes(digest.bytes().first(BatchId::kSizeBytes)); }

std::variant<Plan, Refusal> parse_plan(ByteView octets) {
  if (octets.size() > kMaxPlanBytes) return Refusal{"plan-size", "the plan is larger than 64 KiB"};
  PlanFields fields{octets};
  if (fields.refusal()) return *fields.refusal();
  Plan plan;
  if (fields.integer("format", 1, 1'000'000) != 1) fields.refuse("format", "is not 1: made for another program version");
  const auto operation = operation_from_name(fields.text("operation", 64));
  if (!operation) fields.refuse("operation", "is unknown");
  plan.operation = operation.value_or(Operation::Batch);
  plan.number = fields.integer("number", 1, 1'000'000'000);
  const auto environment = environment_from_name(fields.text("environment", 32));
  if (!environment) fields.refuse("environment", "is unknown");
  plan.environment = environment.value_or(Environment::Development);
  plan.appliance = fields.id<ApplianceId>("appliance");
  plan.expires = fields.time("expires");
  plan.files = fields.files();
  fields.enter(operation_name(plan.operation));
  if (!fields.refusal()) read_detail(fields, plan);
  fields.refuse_unknown();
  if (fields.refusal()) return *fields.refusal();
  plan.octets = to_bytes(octets);
  plan.digest = crypto::sha256(octets);
  return plan;
}

std::string plan_text(const Plan& plan) {
  std::string text = fmt::format(
      "# keyferry plan: officers approve exactly these octets\nformat = 1\noperation = \"{}\"\nnumber = {}\n"
      "environment = \"{}\"\nappliance = \"{}\"\nexpires = \"{}\"\n",
      operation_name(plan.operation), plan.number, environment_name(plan.environment), plan.appliance.hex(),
      to_rfc3339(plan.expires));
  for (const auto& [name, digest] : plan.files) {
    text += fmt::format("\n[[file]]\nname = {}\nsha256 = \"{}\"\n", toml_quoted(name), digest.hex());
  }
  text += fmt::format("\n[{}]\n", operation_name(plan.operation));
  text += std::visit([](const auto& detail) { return detail_text(detail); }, plan.detail);
  return text;
}

std::vector<std::string> plan_sentences(const Plan& plan) {
  std::vector<std::string> lines{fmt::format("Plan {} of appliance {}, environment {}: {}.", plan.number,
                                             plan.appliance.hex().substr(0, 16), environment_name(plan.environment),
                                             operation_name(plan.operation))};
  const auto more = std::visit([](const auto& detail) { return detail_sentences(detail); }, plan.detail);
  lines.insert(lines.end(), more.begin(), more.end());
  for (const auto& [name, digest] : plan.files) {
    lines.push_back(fmt::format("Outside file {} has SHA-256 {}.", name, digest.hex()));
  }
  lines.push_back(fmt::format("The approval ends at {}.", to_rfc3339(plan.expires)));
  return lines;
}

std::string plan_subject(const Plan& plan) {
  return std::visit([](const auto& detail) { return detail_subject(detail); }, plan.detail);
}

}  // namespace keyferry::appliance
