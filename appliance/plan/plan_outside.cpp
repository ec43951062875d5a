#include "appliance/plan/plan_outside.h"

#include <fmt/format.h>

#include "appliance/plan/outside_certificate.h"

namespace keyferry::appliance {

std::optional<Refusal> check_outside(const BatchPlan& batch) {
  if (!batch.outside) return std::nullopt;
  if (batch.family != se::Family::Pkcs11) {
    return Refusal{"batch-outside-family",
                   fmt::format("an outside CA is for family pkcs11 alone yet: keys of family {} sign no requests here",
                               se::family_name(batch.family)),
                   "make the plan with a CA of this appliance"};
  }
  if (batch.segment_size > kMaxOutsideSegmentRecords) {
    return Refusal{"batch-outside-segment",
                   fmt::format("segments of {} records are too large for an outside CA: at most {}", batch.segment_size,
                               kMaxOutsideSegmentRecords),
                   fmt::format("choose --segment-size {} or less", kMaxOutsideSegmentRecords)};
  }
  if (batch.verify && batch.verify->chain_time == ChainTime::Issuing) {
    return Refusal{"batch-outside-time",
                   fmt::format("the line is to verify chains at {}, but certificates of outside CA \"{}\" begin when that CA "
                               "says, which may be later",
                               to_rfc3339(batch.not_before), batch.certificate_authority),
                   "leave --chain-time issuing out, and set the station's clock"};
  }
  return std::nullopt;
}

std::vector<std::string> outside_sentences(const BatchPlan& batch) {
  if (!batch.outside) return {};
  return {fmt::format("CA \"{}\" is an outside one: each key signs a certificate request in the HSM, and the requests go "
                      "out as files.",
                      batch.certificate_authority),
          "Until its certificates are in, the wrapped keys wait sealed to this appliance itself; officers approve the "
          "certificates before they are opened (operation batch-certify)."};
}

BatchCertifyPlan read_batch_certify(PlanFields& fields) {
  BatchCertifyPlan plan;
  plan.batch = fields.id<BatchId>("batch");
  plan.authority = fields.name("certificate_authority");
  plan.count = static_cast<std::uint32_t>(fields.integer("count", 1, kMaxBatchRecords));
  plan.certificates_root = fields.id<Digest>("certificates_root");
  return plan;
}

std::string detail_text(const BatchCertifyPlan& plan) {
  return fmt::format("batch = \"{}\"\ncertificate_authority = \"{}\"\ncount = {}\ncertificates_root = \"{}\"\n",
                     plan.batch.hex(), plan.authority, plan.count, plan.certificates_root.hex());
}

std::vector<std::string> detail_sentences(const BatchCertifyPlan& plan) {
  return {fmt::format("The {} certificates that outside CA \"{}\" gave for batch {} are accepted, and no others: their "
                      "root is {}.",
                      plan.count, plan.authority, plan.batch.hex(), plan.certificates_root.hex()),
          "The wrapped keys that wait for them are opened once in the HSM and sealed to the batch's station."};
}

std::string detail_subject(const BatchCertifyPlan& plan) { return plan.batch.hex(); }

}  // namespace keyferry::appliance
