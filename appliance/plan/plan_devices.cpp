#include "appliance/plan/plan_devices.h"

#include <fmt/format.h>

#include <array>
#include <utility>

#include "wrap/base/text.h"
#include "wrap/x509/serial.h"

namespace keyferry::appliance {
namespace {

constexpr std::size_t kCertificateSerialBytes = 16;
constexpr std::uint64_t kMaxPersonNumber = 1'000'000;

struct CrlReason {
  std::uint8_t code = 0;
  std::string_view name;
  bool of_device = false;  // the others are of CAs, or can be taken back, which no entry is
};

// RFC 5280 section 5.3.1
constexpr std::array kCrlReasons{
    CrlReason{0, "unspecified", true}, CrlReason{1, "keyCompromise", true},
    CrlReason{2, "cACompromise"},      CrlReason{3, "affiliationChanged", true},
    CrlReason{4, "superseded", true},  CrlReason{5, "cessationOfOperation", true},
    CrlReason{6, "certificateHold"},   CrlReason{9, "privilegeWithdrawn", true},
    CrlReason{10, "aACompromise"},
};

se::Family read_family(PlanFields& fields, const char* field) {
  const auto family = se::family_from_name(fields.text(field, 32));
  if (!family) fields.refuse(field, "is unknown");
  return family.value_or(se::Family::Pkcs11);
}

Bytes read_serial(PlanFields& fields, const char* field) {
  const auto serial = SeSerial::from_hex(fields.text(field, 128));
  if (!serial) fields.refuse(field, "is no serial in hex");
  return serial ? to_bytes(serial->bytes()) : Bytes{};
}

Bytes read_outside_serial(PlanFields& fields) {
  auto serial = from_hex(fields.text("outside_serial", 2 * x509::kMaxSerialBytes));
  const bool good = serial && !serial->empty();
  if (!good) fields.refuse("outside_serial", "is no serial of 1 to 20 octets in hex");
  return good ? std::move(*serial) : Bytes{};
}

DeviceRecord read_record(PlanFields& fields) {
  DeviceRecord record{.batch = fields.id<BatchId>("batch"),
                      .record_no = static_cast<std::uint32_t>(fields.integer("record_no", 0, kMaxBatchRecords)),
                      .family = read_family(fields, "family"),
                      .se_serial = read_serial(fields, "se_serial"),
                      .certificate_serial = fields.hex("certificate_serial", kCertificateSerialBytes)};
  if (fields.has("outside_serial")) record.outside_serial = read_outside_serial(fields);
  if (!fields.has("device_serial")) return record;
  record.device_serial = fields.text("device_serial", 64);
  if (!is_device_serial(record.device_serial)) fields.refuse("device_serial", "is not well-formed");
  return record;
}

std::string record_text(const DeviceRecord& record) {
  std::string text =
      fmt::format("batch = \"{}\"\nrecord_no = {}\nfamily = \"{}\"\nse_serial = \"{}\"\ncertificate_serial = \"{}\"\n",
                  record.batch.hex(), record.record_no, se::family_name(record.family), to_hex(record.se_serial),
                  to_hex(record.certificate_serial));
  if (!record.outside_serial.empty()) text += fmt::format("outside_serial = \"{}\"\n", to_hex(record.outside_serial));
  if (!record.device_serial.empty()) text += fmt::format("device_serial = \"{}\"\n", record.device_serial);
  return text;
}

std::string read_crl_reason(PlanFields& fields) {
  std::string reason = fields.text("crl_reason", 32);
  if (!crl_reason_code(reason)) fields.refuse("crl_reason", "is no reason that a device's certificate can have");
  return reason;
}

std::string se_text(se::Family family, const Bytes& serial) {
  const auto known = SeSerial::from_bytes(serial);
  return fmt::format("{} {}", se::family_name(family), known ? printable(se::serial_text(family, *known)) : "?");
}

std::string device_text(const DeviceRecord& record) {
  const std::string se = se_text(record.family, record.se_serial);
  return record.device_serial.empty() ? "the device with SE " + se
                                      : fmt::format("device {} (SE {})", record.device_serial, se);
}

std::string record_sentence(const DeviceRecord& record) {
  return fmt::format("It is record {} of batch {}, certificate serial {}.", record.record_no, record.batch.hex(),
                     to_hex(record.shown_serial()));
}

std::string crl_sentence(const DeviceRecord& record, const std::string& reason) {
  if (!record.outside_serial.empty()) {
    return fmt::format(
        "Unless it is revoked already, its outside CA is to revoke the certificate, reason {}: it stays due "
        "until a CRL of that CA with it is taken in.",
        reason);
  }
  return fmt::format("Unless it is revoked already, the certificate goes on the next CRL for good, reason {}.", reason);
}

std::string reason_text(const std::string& reason) {
  return fmt::format("reason = {}\n", toml_quoted(reason));
}

std::string reason_sentence(const std::string& reason) {
  return fmt::format("Reason: {}.", reason);
}

std::string record_subject(const DeviceRecord& record) {
  return fmt::format("{} record {}", record.batch.hex(), record.record_no);
}

}  // namespace

std::optional<std::uint8_t> crl_reason_code(std::string_view name) {
  for (const CrlReason& reason : kCrlReasons) {
    if (reason.of_device && reason.name == name) return reason.code;
  }
  return std::nullopt;
}

std::optional<std::uint8_t> ca_crl_reason_code(std::string_view name) {
  if (name == "keyCompromise") return std::nullopt;  // of a CA it is cACompromise
  return name == "cACompromise" ? std::optional{std::uint8_t{2}} : crl_reason_code(name);
}

std::string_view crl_reason_name(std::uint8_t code) {
  for (const CrlReason& reason : kCrlReasons) {
    if (reason.code == code) return reason.name;
  }
  return "unknown";
}

DeviceRevokePlan read_device_revoke(PlanFields& fields) {
  return {read_record(fields), read_crl_reason(fields), fields.reason(),
          fields.has("outstanding") && fields.flag("outstanding")};
}

DeviceScrapPlan read_device_scrap(PlanFields& fields) {
  DeviceScrapPlan plan{.record = read_record(fields),
                       .by = static_cast<std::uint32_t>(fields.integer("by", 1, kMaxPersonNumber)),
                       .witness = static_cast<std::uint32_t>(fields.integer("witness", 1, kMaxPersonNumber)),
                       .reason = fields.reason()};
  if (plan.by == plan.witness) fields.refuse("witness", "is the same person: scrapping takes two");
  if (fields.has("evidence_sha256")) plan.evidence_sha256 = fields.id<Digest>("evidence_sha256");
  return plan;
}

DeviceReworkPlan read_device_rework(PlanFields& fields) {
  DeviceReworkPlan plan{.record = read_record(fields),
                        .new_family = read_family(fields, "new_family"),
                        .new_se_serial = read_serial(fields, "new_se_serial"),
                        .reason = fields.reason()};
  if (plan.record.device_serial.empty()) fields.refuse("device_serial", "is missing: a rework is of a device");
  if (plan.new_family == plan.record.family && plan.new_se_serial == plan.record.se_serial) {
    fields.refuse("new_se_serial", "is that of the old SE");
  }
  return plan;
}

DeviceRmaPlan read_device_rma(PlanFields& fields) {
  DeviceRmaPlan plan{.record = read_record(fields),
                     .rma = fields.text("rma", 64),
                     .crl_reason = read_crl_reason(fields),
                     .reason = fields.reason()};
  if (plan.rma.empty() || !is_part_text(plan.rma)) fields.refuse("rma", "is not 1 to 64 of A-Z a-z 0-9 - _ . / +");
  return plan;
}

std::string detail_text(const DeviceRevokePlan& plan) {
  return record_text(plan.record) + fmt::format("crl_reason = \"{}\"\n", plan.crl_reason) +
         (plan.outstanding ? "outstanding = true\n" : "") + reason_text(plan.reason);
}

std::string detail_text(const DeviceScrapPlan& plan) {
  std::string text = record_text(plan.record) + fmt::format("by = {}\nwitness = {}\n", plan.by, plan.witness);
  if (plan.evidence_sha256) text += fmt::format("evidence_sha256 = \"{}\"\n", plan.evidence_sha256->hex());
  return text + reason_text(plan.reason);
}

std::string detail_text(const DeviceReworkPlan& plan) {
  return record_text(plan.record) +
         fmt::format("new_family = \"{}\"\nnew_se_serial = \"{}\"\n", se::family_name(plan.new_family),
                     to_hex(plan.new_se_serial)) +
         reason_text(plan.reason);
}

std::string detail_text(const DeviceRmaPlan& plan) {
  return record_text(plan.record) + fmt::format("rma = \"{}\"\ncrl_reason = \"{}\"\n", plan.rma, plan.crl_reason) +
         reason_text(plan.reason);
}

std::vector<std::string> detail_sentences(const DeviceRevokePlan& plan) {
  if (plan.outstanding) {
    return {fmt::format("The certificate of {} is revoked although its record is outstanding: where its key is, nobody "
                        "here knows.", device_text(plan.record)),
            record_sentence(plan.record), crl_sentence(plan.record, plan.crl_reason),
            "The record ends as revoked; a receipt that comes later is an incident.", reason_sentence(plan.reason)};
  }
  return {fmt::format("The certificate of {} is revoked.", device_text(plan.record)), record_sentence(plan.record),
          crl_sentence(plan.record, plan.crl_reason),
          "Its SE gets no other record: the device may be reworked or scrapped.", reason_sentence(plan.reason)};
}

std::vector<std::string> detail_sentences(const DeviceScrapPlan& plan) {
  return {
      fmt::format("The SE of {} is in hand and is destroyed: it is never again in a batch.", device_text(plan.record)),
      record_sentence(plan.record), fmt::format("Person {} does it, person {} is there.", plan.by, plan.witness),
      plan.evidence_sha256 ? fmt::format("The evidence has SHA-256 {}.", plan.evidence_sha256->hex())
                           : std::string{"No evidence file is named."},
      reason_sentence(plan.reason)};
}

std::vector<std::string> detail_sentences(const DeviceReworkPlan& plan) {
  return {fmt::format("Device {} gets another SE: {} in place of {}.", plan.record.device_serial,
                      se_text(plan.new_family, plan.new_se_serial), se_text(plan.record.family, plan.record.se_serial)),
          record_sentence(plan.record), crl_sentence(plan.record, "superseded"),
          "The new SE bears the device's serial from its next batch on; the old one is not released any more.",
          reason_sentence(plan.reason)};
}

std::vector<std::string> detail_sentences(const DeviceRmaPlan& plan) {
  return {fmt::format("{} came back from the field, return number {}.", device_text(plan.record), plan.rma),
          record_sentence(plan.record), crl_sentence(plan.record, plan.crl_reason),
          "Its SE gets no other record: the device may be reworked or scrapped.", reason_sentence(plan.reason)};
}

std::string detail_subject(const DeviceRevokePlan& plan) {
  return record_subject(plan.record);
}

std::string detail_subject(const DeviceScrapPlan& plan) {
  return record_subject(plan.record);
}

std::string detail_subject(const DeviceReworkPlan& plan) {
  return record_subject(plan.record);
}

std::string detail_subject(const DeviceRmaPlan& plan) {
  return record_subject(plan.record);
}

}  // namespace keyferry::appliance
