#include "appliance/front/evidence_scope.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "appliance/front/context.h"
#include "appliance/front/dates.h"
#include "appliance/ledger/batch_store.h"
#include "appliance/ledger/hsm_epochs.h"
#include "keyferry/v1/log.pb.h"
#include "token/bundle/words.h"
#include "wrap/base/error.h"
#include "wrap/base/text.h"

namespace keyferry::appliance {
namespace {

/// Who may decide, and what about: no batch, site or customer is in them.
constexpr std::array<std::string_view, 5> kGovernance{
    "officer-add", "officer-replace", "officer-disable", "policy-change", "family-enable"};

constexpr std::string_view kCaLabel = "kf-ca/";

bool is_wanted(const EvidenceBatch& batch, const bundle::Scope& scope, std::int64_t since_ms) {
  switch (scope.kind) {
    case bundle::ScopeKind::All:
      return true;
    case bundle::ScopeKind::Batch:
      return batch.id.hex() == scope.value;
    case bundle::ScopeKind::Site:
      return batch.site == scope.value;
    case bundle::ScopeKind::Customer:
      return batch.customer == scope.value;
    case bundle::ScopeKind::Since:
      return batch.made_ms >= since_ms;
  }
  return false;
}

std::string bytes_of_hex(const std::string& text) {
  const auto octets = from_hex(text);
  return octets ? to_string(*octets) : std::string{};
}

}  // namespace

EvidenceScope::EvidenceScope(Context& context, bundle::Scope scope) : scope_{std::move(scope)} {
  std::int64_t since_ms = 0;
  if (scope_.kind == bundle::ScopeKind::Since) since_ms = read_time("--since", scope_.value).value;
  const std::uint32_t epoch = HsmEpochs{context.ledger()}.current();
  BatchStore store{context.ledger()};
  for (EvidenceBatch& batch : EvidenceStore{context.ledger()}.batches()) {
    if (!is_wanted(batch, scope_, since_ms)) continue;
    if (batch.hsm_epoch != epoch) {
      older_.push_back(std::move(batch));
      continue;
    }
    ids_.insert(batch.id.str());
    stations_.insert(batch.station.str());
    authorities_.insert(batch.authority);
    for (const ExportRow& token : store.exports(batch.id)) tokens_.insert(token.token.str());
    batches_.push_back(std::move(batch));
  }
  if (!all() && batches_.empty() && older_.empty()) {
    throw Error{
        Code::NotFound,
        fmt::format(
            "no batch of {} {} is in this ledger", name_of(scope_.kind), printable(scope_.value)),
        "keyferry-appliance batch list says which batches there are, with site and customer"};
  }
}

bool EvidenceScope::shows(ByteView octets) const {
  if (all()) return true;
  v1::LogLeaf leaf;
  if (!leaf.ParseFromArray(octets.data(), static_cast<int>(octets.size()))) return false;
  const auto batch = [this](const std::string& id) { return ids_.contains(id); };
  const auto label = [this](const std::string& text) {
    if (text.starts_with(kCaLabel)) return authorities_.contains(text.substr(kCaLabel.size()));
    return text.find('/') == std::string::npos;  // the appliance's own
  };
  using Case = v1::LogLeaf::DetailCase;
  switch (leaf.detail_case()) {
    case Case::kInitialized:
    case Case::kAdopted:
    case Case::kPerson:
    case Case::kPolicy:
    case Case::kPinChanged:
    case Case::kCeremony:
      return true;
    case Case::kPlan: {
      const v1::PlanLeaf& plan = leaf.plan();
      if (plan.operation() == "batch")
        return batch(plan.plan_digest().substr(0, BatchId::kSizeBytes));
      if (std::ranges::find(kGovernance, plan.operation()) != kGovernance.end()) return true;
      if (plan.operation() == "ca-retire" || plan.operation() == "ca-revoke") return label(plan.subject());
      if (plan.operation().starts_with("ca-")) return authorities_.contains(plan.subject());
      const std::string id = bytes_of_hex(plan.subject().substr(0, plan.subject().find(' ')));
      return batch(id) || stations_.contains(id) || tokens_.contains(id);
    }
    case Case::kKeyMade:
      return label(leaf.key_made().label());
    case Case::kKeyDestroyed:
      return label(leaf.key_destroyed().label());
    case Case::kCaRetired:
      return authorities_.contains(leaf.ca_retired().name());
    case Case::kCaRevoked:
      return authorities_.contains(leaf.ca_revoked().name());
    case Case::kStationEnrolled:
      return stations_.contains(leaf.station_enrolled().station_id());
    case Case::kSegmentIssued:
      return batch(leaf.segment_issued().batch_id());
    case Case::kKeyIssued:
      return batch(leaf.key_issued().batch_id());
    case Case::kManifestIssued:
      return batch(leaf.manifest_issued().batch_id());
    case Case::kExported:
      return batch(leaf.exported().batch_id());
    case Case::kKeyRequested:
      return batch(leaf.key_requested().batch_id());
    case Case::kSegmentWaiting:
      return batch(leaf.segment_waiting().batch_id());
    case Case::kBatchCertified:
      return batch(leaf.batch_certified().batch_id());
    case Case::kReceiptAccepted:
      return batch(leaf.receipt_accepted().batch_id());
    case Case::kSuspend:
      return batch(leaf.suspend().batch_id());
    case Case::kBatchClosed:
      return batch(leaf.batch_closed().batch_id());
    case Case::kTokenLost:
      return batch(leaf.token_lost().batch_id());
    case Case::kQuarantineReleased:
      return batch(leaf.quarantine_released().batch_id());
    case Case::kDevice:
      return batch(leaf.device().batch_id());
    case Case::kStationRetired:
      return std::ranges::any_of(leaf.station_retired().batches(), batch);
    case Case::kCustody:
      return tokens_.contains(leaf.custody().token_id());
    case Case::kNote:
      return leaf.note().event() == bundle::kChallengeEvent || batch(bytes_of_hex(leaf.note().subject()));
    // Sums over several batches, names of others, or free text.
    case Case::kInventory:
    case Case::kInboxOpened:
    case Case::kReceiptsImported:
    case Case::kIncident:
    case Case::kRefused:
    case Case::kBackup:
    case Case::kCrlIssued:
    case Case::kOutsideCrl:
    case Case::DETAIL_NOT_SET:
      return false;
  }
  return false;
}

}  // namespace keyferry::appliance
