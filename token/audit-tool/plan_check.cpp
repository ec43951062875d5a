#include "token/audit-tool/plan_check.h"

#include <fmt/format.h>

#include <charconv>
#include <optional>
#include <utility>

#include "keyferry/v1/governance.pb.h"
#include "token/audit-tool/plan_view.h"
#include "token/audit/checkpoint.h"
#include "token/signed_bytes.h"
#include "wrap/base/error.h"
#include "wrap/crypto/hash.h"

namespace keyferry::audit_tool {
namespace {

constexpr std::string_view kApprovalKind = "keyferry/v1/approval";
constexpr std::uint64_t kMaxSegment = 16'384;
constexpr std::uint64_t kMaxRecords = 16'000'000;

/// Fields of a plan as the view prints them: text in quotes, numbers bare.
class Fields {
 public:
  explicit Fields(const PlanView& view) {
    for (const auto& [name, value] : view.fields) fields_.emplace(name, value);
  }

  [[nodiscard]] std::string text(const std::string& name) const {
    const auto found = fields_.find(name);
    if (found == fields_.end() || found->second.size() < 2 || found->second.front() != '"')
      return {};
    return found->second.substr(1, found->second.size() - 2);
  }

  [[nodiscard]] std::uint64_t number(const std::string& name) const {
    const auto found = fields_.find(name);
    std::uint64_t value = 0;
    if (found == fields_.end()) return 0;
    const std::string& digits = found->second;
    const auto [stop, failed] =
        std::from_chars(digits.data(), digits.data() + digits.size(), value);
    return failed == std::errc{} && stop == digits.data() + digits.size() ? value : 0;
  }

 private:
  std::map<std::string, std::string> fields_;
};

}  // namespace

void PlanCheck::check(const PlanUse& use) {
  const std::string path = bundle::plan_path(use.digest);
  const auto octets = reader_.read(path);
  if (const auto* refusal = std::get_if<Refusal>(&octets)) {
    findings_.add(Check::Approvals, path, *refusal);
  } else if (crypto::sha256(std::get<Bytes>(octets)) != use.digest) {
    findings_.add(Check::Approvals,
                  "plan-changed",
                  path,
                  "its SHA-256 is not the digest that the officers signed");
  } else {
    ++plans_;
    read_plan(use, std::get<Bytes>(octets));
  }
  for (const auto& [key_id, key] : use.officers) check_approval(use, key_id, key);
}

void PlanCheck::read_plan(const PlanUse& use, ByteView octets) {
  std::optional<PlanView> view;
  try {
    view = view_plan(octets, bundle::plan_path(use.digest));
  } catch (const Error& error) {  // it says so by an exception; here it is one finding among others
    return findings_.add(
        Check::Approvals, "plan-malformed", bundle::plan_path(use.digest), error.what());
  }
  const Fields fields{*view};
  if (fields.text("operation") != use.operation || fields.number("number") != use.number ||
      fields.text("appliance") != card_.appliance_id.hex() ||
      fields.text("environment") != token::name_of(card_.environment)) {
    findings_.add(
        Check::Approvals,
        "plan-other",
        bundle::plan_path(use.digest),
        fmt::format(
            "leaf {} says {} number {}: the plan is about something else, or another appliance",
            use.leaf,
            use.operation,
            use.number));
    return;
  }
  if (use.operation == "ca-import" || use.operation == "ca-install") {
    auto& chain = chains_[fields.text(use.operation + ".name")];
    chain.clear();
    for (std::size_t at = 0;; ++at) {
      const auto der = from_hex(fields.text(fmt::format("{}.chain[{}]", use.operation, at)));
      if (!der || der->empty()) break;
      chain.push_back(crypto::sha256(*der));
    }
  }
  if (use.operation != "batch") return;
  History::BatchPlanFacts facts{.site = fields.text("batch.site"),
                                .customer = fields.text("batch.customer"),
                                .authority = fields.text("batch.certificate_authority"),
                                .family = fields.text("batch.family"),
                                .station = {},
                                .se_count = fields.number("batch.se_count"),
                                .segment_size = 0};
  const auto station = StationId::from_hex(fields.text("batch.station"));
  const std::uint64_t segment = fields.number("batch.segment_size");
  if (!station || segment == 0 || segment > kMaxSegment || facts.se_count == 0 ||
      facts.se_count > kMaxRecords) {
    return findings_.add(Check::Approvals,
                         "plan-malformed",
                         bundle::plan_path(use.digest),
                         "a batch's plan without station or sizes");
  }
  facts.station = *station;
  facts.segment_size = static_cast<std::uint32_t>(segment);
  history_.batch_is(use.digest, facts);
}

void PlanCheck::check_approval(const PlanUse& use,
                               const KeyId& key_id,
                               const crypto::PublicKey& key) {
  const std::string path = bundle::approval_path(use.digest, key_id);
  const auto octets = reader_.read(path);
  if (const auto* refusal = std::get_if<Refusal>(&octets))
    return findings_.add(Check::Approvals, path, *refusal);
  const auto parsed = token::parse_signed_bytes(std::get<Bytes>(octets));
  const auto* approval = std::get_if<token::SignedBytes>(&parsed);
  if (approval == nullptr ||
      !token::verify_signed(*approval, crypto::SignatureKind::Approval, key)) {
    return findings_.add(
        Check::Approvals, "approval-signature", path, "it is not signed by that officer's key");
  }
  v1::Approval content;
  const bool read =
      content.ParseFromArray(approval->payload.data(), static_cast<int>(approval->payload.size()));
  if (!read || content.version() != 1 || content.kind() != kApprovalKind ||
      content.digest() != use.digest.str() || content.operation() != use.operation ||
      content.plan_number() != use.number || content.appliance_id() != card_.appliance_id.str() ||
      content.officer_key_id() != key_id.str() ||
      token::environment_from_number(static_cast<std::uint32_t>(content.environment())) !=
          card_.environment) {
    return findings_.add(Check::Approvals,
                         "approval-other",
                         path,
                         "it approves something else than this plan on this appliance");
  }
  ++approvals_;
  const auto seen = audit::verify_checkpoint(
      content.last_checkpoint(), log_origin(card_.appliance_id), card_.log_key);
  const auto* checkpoint = std::get_if<audit::Checkpoint>(&seen);
  if (checkpoint == nullptr) {
    return findings_.add(
        Check::Log, "approval-checkpoint", path, "it signs no checkpoint of this appliance");
  }
  const auto known = checkpoints_.find(checkpoint->size);
  if (known == checkpoints_.end()) {
    findings_.add(
        Check::Log,
        "approval-checkpoint",
        path,
        fmt::format("the officer saw a checkpoint of {} leaves, which the bundle does not have",
                    checkpoint->size));
  } else if (known->second != checkpoint->root) {
    findings_.add(
        Check::Log,
        "log-forked",
        path,
        fmt::format(
            "the officer saw another root of {} leaves than the bundle's: the log was forked",
            checkpoint->size));
  } else if (checkpoint->size > use.leaf) {
    findings_.add(Check::Log,
                  "approval-checkpoint",
                  path,
                  "the officer saw a checkpoint that is later than the act");
  }
}

}  // namespace keyferry::audit_tool
