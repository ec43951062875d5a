#include "appliance/plan/plan_revocations.h"

#include <fmt/format.h>

#include "wrap/base/text.h"
#include "wrap/x509/serial.h"

namespace keyferry::appliance {
namespace {

constexpr std::uint64_t kMaxRecords = 1'000'000'000;

}  // namespace

CaRevokePlan read_ca_revoke(PlanFields& fields) {
  CaRevokePlan plan{.name = fields.name("name"),
                    .issuer = fields.name("issuer"),
                    .certificate_serial = fields.hex("certificate_serial", x509::CertificateSerial::kSizeBytes),
                    .crl_reason = fields.text("crl_reason", 32),
                    .reason = fields.reason()};
  if (plan.name == plan.issuer) fields.refuse("issuer", "is the CA itself: a root is revoked by nobody");
  if (!ca_crl_reason_code(plan.crl_reason))
    fields.refuse("crl_reason", "is no reason that a CA's certificate can have");
  return plan;
}

CrlImportPlan read_crl_import(PlanFields& fields) {
  return {.authority = fields.name("authority"),
          .crl_sha256 = fields.id<Digest>("crl_sha256"),
          .this_update = fields.time("this_update"),
          .records = {fields.integer("records_count", 1, kMaxRecords), fields.id<Digest>("records_root")}};
}

std::string detail_text(const CaRevokePlan& plan) {
  return fmt::format("name = \"{}\"\nissuer = \"{}\"\ncertificate_serial = \"{}\"\ncrl_reason = \"{}\"\nreason = {}\n",
                     plan.name, plan.issuer, to_hex(plan.certificate_serial), plan.crl_reason,
                     toml_quoted(plan.reason));
}

std::string detail_text(const CrlImportPlan& plan) {
  return fmt::format(
      "authority = \"{}\"\ncrl_sha256 = \"{}\"\nthis_update = \"{}\"\nrecords_count = {}\nrecords_root = \"{}\"\n",
      plan.authority, plan.crl_sha256.hex(), to_rfc3339(plan.this_update), plan.records.count, plan.records.root.hex());
}

std::vector<std::string> detail_sentences(const CaRevokePlan& plan) {
  return {fmt::format("The certificate of kf-ca/{} itself is revoked by kf-ca/{}, which is above it.", plan.name,
                      plan.issuer),
          fmt::format("Its serial is {}; it goes on the next CRL of kf-ca/{} for good, reason {}.",
                      to_hex(plan.certificate_serial), plan.issuer, plan.crl_reason),
          fmt::format("Every certificate below kf-ca/{} fails where that CRL is looked at, and nothing more is issued "
                      "there: no certificate, no CA, no segment of a batch that is being made.",
                      plan.name),
          fmt::format("Reason: {}.", plan.reason)};
}

std::vector<std::string> detail_sentences(const CrlImportPlan& plan) {
  return {
      fmt::format("The outside CA {} signed a CRL at {} with SHA-256 {}.", plan.authority, to_rfc3339(plan.this_update),
                  plan.crl_sha256.hex()),
      fmt::format("{} certificates that are due there stand on it and are noted as revoked; their list has root {}.",
                  plan.records.count, plan.records.root.hex()),
      "What is due and does not stand on it stays due."};
}

std::string detail_subject(const CaRevokePlan& plan) {
  return "kf-ca/" + plan.name;
}

std::string detail_subject(const CrlImportPlan& plan) {
  return fmt::format("{} {}", plan.authority, plan.crl_sha256.hex().substr(0, 16));
}

}  // namespace keyferry::appliance
