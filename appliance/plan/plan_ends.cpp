#include "appliance/plan/plan_ends.h"

#include <fmt/format.h>

#include "wrap/base/text.h"

namespace keyferry::appliance {
namespace {

constexpr std::uint64_t kMaxLogSize = 1'000'000'000'000;
constexpr std::uint64_t kMaxCrlNumber = 1'000'000'000;
constexpr std::uint64_t kMaxRecords = 1'000'000'000;

RecordSet read_records(PlanFields& fields, const std::string& what) {
  return {fields.integer(what + "_count", 0, kMaxRecords), fields.id<Digest>(what + "_root")};
}

std::string records_text(const RecordSet& set, const std::string& what) {
  return fmt::format("{0}_count = {1}\n{0}_root = \"{2}\"\n", what, set.count, set.root.hex());
}

template <typename Batch>
Batch read_batch_and_reason(PlanFields& fields) {
  return {fields.id<BatchId>("batch"), fields.reason()};
}

std::string reason_text(const std::string& reason) {
  return fmt::format("reason = {}\n", toml_quoted(reason));
}

std::string reason_sentence(const std::string& reason) {
  return fmt::format("Reason: {}.", reason);
}

std::string batch_text(const BatchId& batch, const std::string& reason) {
  return fmt::format("batch = \"{}\"\n", batch.hex()) + reason_text(reason);
}

std::string revoked_sentence(const RecordSet& set) {
  return fmt::format(
      "{} outstanding records are revoked and go on the next CRL; their list has root {}.",
      set.count,
      set.root.hex());
}

}  // namespace

BatchSuspendPlan read_batch_suspend(PlanFields& fields) {
  return read_batch_and_reason<BatchSuspendPlan>(fields);
}

BatchResumePlan read_batch_resume(PlanFields& fields) {
  return read_batch_and_reason<BatchResumePlan>(fields);
}

BatchClosePlan read_batch_close(PlanFields& fields) {
  return {fields.id<BatchId>("batch"), read_records(fields, "outstanding"), fields.reason()};
}

TokenLostPlan read_token_lost(PlanFields& fields) {
  TokenLostPlan plan{fields.id<TokenId>("token"),
                     fields.id<BatchId>("batch"),
                     fields.text("decision", 16),
                     read_records(fields, "exposed"),
                     fields.reason()};
  if (plan.decision != "revoke" && plan.decision != "accept")
    fields.refuse("decision", "is neither revoke nor accept");
  return plan;
}

QuarantineReleasePlan read_quarantine_release(PlanFields& fields) {
  return {fields.id<BatchId>("batch"),
          static_cast<std::uint32_t>(fields.integer("record_no", 0, kMaxBatchRecords)),
          fields.reason()};
}

CrlIssuePlan read_crl_issue(PlanFields& fields) {
  return {fields.name("authority"),
          fields.integer("number", 1, kMaxCrlNumber),
          read_records(fields, "entries"),
          fields.time("next_update")};
}

StationRetirePlan read_station_retire(PlanFields& fields) {
  return {fields.id<StationId>("station"),
          static_cast<std::uint32_t>(fields.integer("log_generation", 0, UINT32_MAX)),
          fields.integer("log_size", 0, kMaxLogSize),
          read_records(fields, "outstanding"),
          fields.reason()};
}

CaRetirePlan read_ca_retire(PlanFields& fields) {
  return {fields.name("name"), fields.reason()};
}

HsmDestroyKeyPlan read_destroy_key(PlanFields& fields) {
  HsmDestroyKeyPlan plan{fields.text("label", 96), fields.reason()};
  const std::size_t slash = plan.label.find('/');
  const std::string role = plan.label.substr(0, slash);
  const bool may = role == "kf-tk" || role == "kf-vendor" || role == "kf-ca";
  if (!may || slash == std::string::npos || !is_name(plan.label.substr(slash + 1))) {
    fields.refuse("label", "is no kf-tk/NAME, kf-vendor/NAME or kf-ca/NAME");
  }
  return plan;
}

std::string detail_text(const BatchSuspendPlan& plan) {
  return batch_text(plan.batch, plan.reason);
}

std::string detail_text(const BatchResumePlan& plan) {
  return batch_text(plan.batch, plan.reason);
}

std::string detail_text(const BatchClosePlan& plan) {
  return batch_text(plan.batch, plan.reason) + records_text(plan.outstanding, "outstanding");
}

std::string detail_text(const TokenLostPlan& plan) {
  return fmt::format("token = \"{}\"\ndecision = \"{}\"\n", plan.token.hex(), plan.decision) +
         batch_text(plan.batch, plan.reason) + records_text(plan.exposed, "exposed");
}

std::string detail_text(const QuarantineReleasePlan& plan) {
  return fmt::format("record_no = {}\n", plan.record_no) + batch_text(plan.batch, plan.reason);
}

std::string detail_text(const CrlIssuePlan& plan) {
  return fmt::format("authority = \"{}\"\nnumber = {}\nnext_update = \"{}\"\n",
                     plan.authority,
                     plan.number,
                     to_rfc3339(plan.next_update)) +
         records_text(plan.entries, "entries");
}

std::string detail_text(const StationRetirePlan& plan) {
  return fmt::format("station = \"{}\"\nlog_generation = {}\nlog_size = {}\n",
                     plan.station.hex(),
                     plan.log_generation,
                     plan.log_size) +
         reason_text(plan.reason) + records_text(plan.outstanding, "outstanding");
}

std::string detail_text(const CaRetirePlan& plan) {
  return fmt::format("name = \"{}\"\n", plan.name) + reason_text(plan.reason);
}

std::string detail_text(const HsmDestroyKeyPlan& plan) {
  return fmt::format("label = \"{}\"\n", plan.label) + reason_text(plan.reason);
}

std::vector<std::string> detail_sentences(const BatchSuspendPlan& plan) {
  return {fmt::format(
              "Batch {} is suspended: nothing of it is made or exported until officers resume it.",
              plan.batch.hex()),
          "A station hears of it with the next token only.",
          reason_sentence(plan.reason)};
}

std::vector<std::string> detail_sentences(const BatchResumePlan& plan) {
  return {fmt::format("Batch {} goes on.", plan.batch.hex()), reason_sentence(plan.reason)};
}

std::vector<std::string> detail_sentences(const BatchClosePlan& plan) {
  return {
      fmt::format("Batch {} is closed for good: what was not sealed never left.", plan.batch.hex()),
      revoked_sentence(plan.outstanding),
      "Stations are told with the next token; later receipts of it are incidents.",
      reason_sentence(plan.reason)};
}

std::vector<std::string> detail_sentences(const TokenLostPlan& plan) {
  std::vector<std::string> lines{
      fmt::format("Token {} with batch {} is lost.", plan.token.hex(), plan.batch.hex())};
  if (plan.decision == "revoke") {
    lines.push_back("Officers decide to revoke: the batch is closed.");
    lines.push_back(revoked_sentence(plan.exposed));
  } else {
    lines.push_back(fmt::format(
        "Officers decide to accept: {} records stay valid, since each opens in its own SE only; "
        "their list has root {}.",
        plan.exposed.count,
        plan.exposed.root.hex()));
  }
  lines.push_back(reason_sentence(plan.reason));
  return lines;
}

std::vector<std::string> detail_sentences(const QuarantineReleasePlan& plan) {
  return {fmt::format("The SE of record {} of batch {} may get a new record in a new batch.",
                      plan.record_no,
                      plan.batch.hex()),
          "Its certificate is revoked and goes on the next CRL, its generation grows by one.",
          reason_sentence(plan.reason)};
}

std::vector<std::string> detail_sentences(const CrlIssuePlan& plan) {
  return {fmt::format("Certificate authority kf-ca/{} signs CRL number {} with {} certificates.",
                      plan.authority,
                      plan.number,
                      plan.entries.count),
          fmt::format("Their list has root {}; the next CRL is due by {}.",
                      plan.entries.root.hex(),
                      to_rfc3339(plan.next_update))};
}

std::vector<std::string> detail_sentences(const StationRetirePlan& plan) {
  return {
      fmt::format("Station {} is retired: nothing is sent to it or taken from it any more.",
                  plan.station.hex()),
      fmt::format("Its log ends at generation {}, size {}; whatever comes later is an incident.",
                  plan.log_generation,
                  plan.log_size),
      revoked_sentence(plan.outstanding),
      reason_sentence(plan.reason)};
}

std::vector<std::string> detail_sentences(const CaRetirePlan& plan) {
  return {fmt::format(
              "Certificate authority kf-ca/{} issues no certificate any more; it still signs CRLs.",
              plan.name),
          reason_sentence(plan.reason)};
}

std::vector<std::string> detail_sentences(const HsmDestroyKeyPlan& plan) {
  return {fmt::format("Key {} is destroyed in the HSM for good.", plan.label),
          "A copy in a backup, or with the vendor whom it came from, is not touched.",
          reason_sentence(plan.reason)};
}

std::string detail_subject(const BatchSuspendPlan& plan) {
  return plan.batch.hex();
}

std::string detail_subject(const BatchResumePlan& plan) {
  return plan.batch.hex();
}

std::string detail_subject(const BatchClosePlan& plan) {
  return plan.batch.hex();
}

std::string detail_subject(const TokenLostPlan& plan) {
  return plan.token.hex();
}

std::string detail_subject(const QuarantineReleasePlan& plan) {
  return fmt::format("{} record {}", plan.batch.hex(), plan.record_no);
}

std::string detail_subject(const CrlIssuePlan& plan) {
  return fmt::format("kf-ca/{} {}", plan.authority, plan.number);
}

std::string detail_subject(const StationRetirePlan& plan) {
  return plan.station.hex();
}

std::string detail_subject(const CaRetirePlan& plan) {
  return "kf-ca/" + plan.name;
}

std::string detail_subject(const HsmDestroyKeyPlan& plan) {
  return plan.label;
}

}  // namespace keyferry::appliance
