#include "appliance/gate/internal/gate_state.h"

#include <algorithm>

#include "appliance/gate/internal/people.h"
#include "token/audit/checkpoint.h"
#include "wrap/base/error.h"
#include "wrap/crypto/hash.h"

namespace keyferry::appliance {
namespace {

template <typename List, typename Predicate>
auto* find_in(List& list, Predicate matches) {
  const auto found = std::find_if(list.begin(), list.end(), matches);
  return found == list.end() ? nullptr : &*found;
}

}  // namespace

GateState GateState::from_octets(ByteView octets) {
  GateState state;
  Bytes frontier;
  if (!state.hsm.ParseFromArray(octets.data(), static_cast<int>(octets.size())) || state.hsm.version() != 1) {
    throw Error{Code::Hsm, "kf-state was made by another program version"};
  }
  append_u64be(frontier, state.hsm.log_size());
  for (const std::string& hash : state.hsm.frontier()) append(frontier, as_bytes(hash));
  const auto parsed = audit::Frontier::parse(frontier);
  if (!parsed) throw Error{Code::Hsm, "kf-state's frontier does not fit its log size"};
  state.frontier = *parsed;
  return state;
}

void GateState::take_registry(const std::vector<Bytes>& candidates) {
  for (const Bytes& octets : candidates) {
    if (crypto::sha256(octets).str() != hsm.registry_digest()) continue;
    if (!registry.ParseFromArray(octets.data(), static_cast<int>(octets.size()))) break;
    registry_octets = octets;
    return;
  }
  throw Error{Code::Rollback, "the registry in the ledger is not the one that the HSM knows",
              "the ledger was edited or restored from an older copy: restore the newest one"};
}

v1::OpenPlan* GateState::open_plan(const Digest& plan_digest) {
  return find_in(*hsm.mutable_open_plans(),
                 [&](const v1::OpenPlan& plan) { return plan.plan_digest() == plan_digest.str(); });
}

v1::OpenPlan* GateState::open_plan_of_batch(const BatchId& batch) {
  return find_in(*hsm.mutable_open_plans(), [&](const v1::OpenPlan& plan) {
    return plan.plan_digest().compare(0, BatchId::kSizeBytes, batch.str()) == 0;
  });
}

const v1::OpenPlan* GateState::open_plan_of_batch(const BatchId& batch) const {
  return find_in(hsm.open_plans(), [&](const v1::OpenPlan& plan) {
    return plan.plan_digest().compare(0, BatchId::kSizeBytes, batch.str()) == 0;
  });
}

const v1::StoredTrailer* GateState::trailer(const v1::OpenPlan& plan, std::uint32_t index) {
  return find_in(plan.trailers(), [&](const v1::StoredTrailer& stored) { return stored.index() == index; });
}

const v1::StoredTrailer* GateState::waiting(const v1::OpenPlan& plan, std::uint32_t index) {
  return find_in(plan.waiting(), [&](const v1::StoredTrailer& stored) { return stored.index() == index; });
}

const v1::Station* GateState::station(const StationId& id) const {
  return find_in(registry.stations(), [&](const v1::Station& one) { return one.station_id() == id.str(); });
}

const v1::CertificateAuthority* GateState::authority(const std::string& name) const {
  return find_in(registry.authorities(), [&](const v1::CertificateAuthority& one) { return one.name() == name; });
}

bool GateState::enabled(se::Family family) const {
  const auto& enabled = registry.policy().enabled_families();
  return !se::needs_plaintext(family) ||
         std::find(enabled.begin(), enabled.end(), se::family_name(family)) != enabled.end();
}

const v1::TransportMaster* GateState::master(const std::string& name) const {
  return find_in(registry.transport_masters(), [&](const v1::TransportMaster& one) { return one.name() == name; });
}

const v1::VendorKey* GateState::vendor_key(const std::string& name) const {
  return find_in(registry.vendor_keys(), [&](const v1::VendorKey& one) { return one.name() == name; });
}

std::string GateState::check_value_label(ByteView check_value) const {
  const std::string wanted = to_string(check_value);
  for (const v1::TransportMaster& master : registry.transport_masters()) {
    if (master.check_value() == wanted) return "kf-tk/" + master.name();
  }
  for (const v1::VendorKey& key : registry.vendor_keys()) {
    if (key.check_value() == wanted) return "kf-vendor/" + key.name();
  }
  return {};
}

const v1::Source* GateState::source(const std::string& name) const {
  return find_in(registry.sources(), [&](const v1::Source& one) { return one.name() == name; });
}

bool close_batch_in(GateState& state, v1::OpenPlan& open) {
  if (open.closed()) return false;
  open.set_closed(true);
  open.clear_trailers();
  open.clear_manifest();
  open.clear_waiting();
  state.hsm.add_closed_batches(open.plan_digest().substr(0, BatchId::kSizeBytes));
  return true;
}

v1::Registry first_registry(const std::string& name, const std::vector<v1::Officer>& persons, std::uint32_t needed) {
  v1::Registry registry;
  registry.set_version(1);
  registry.set_epoch(1);
  registry.set_appliance_name(name);
  for (const v1::Officer& one : persons) *registry.add_officers() = one;
  registry.mutable_policy()->set_epoch(1);
  set_rules(*registry.mutable_policy(), default_policy(enabled_officers(registry), needed));
  return registry;
}

Bytes leaf_octets(v1::LogLeaf leaf, v1::LeafOrigin origin, UtcMillis now) {
  leaf.set_version(1);
  leaf.set_origin(origin);
  leaf.set_time_ms(now.value);
  return to_bytes(as_bytes(leaf.SerializeAsString()));
}

bool may_be_reported(const v1::LogLeaf& leaf) {
  switch (leaf.detail_case()) {
    case v1::LogLeaf::kReceiptAccepted:
    case v1::LogLeaf::kReceiptsImported:
    case v1::LogLeaf::kIncident:
    case v1::LogLeaf::kRefused:
    case v1::LogLeaf::kNote:
    case v1::LogLeaf::kCeremony:
    case v1::LogLeaf::kCustody:
      return true;
    case v1::LogLeaf::kTokenLost:
      return leaf.token_lost().decision() == "unload-again";  // homebound: nothing is revoked
    case v1::LogLeaf::kInitialized:
    case v1::LogLeaf::kPlan:
    case v1::LogLeaf::kKeyMade:
    case v1::LogLeaf::kStationEnrolled:
    case v1::LogLeaf::kInventory:
    case v1::LogLeaf::kSegmentIssued:
    case v1::LogLeaf::kKeyIssued:
    case v1::LogLeaf::kManifestIssued:
    case v1::LogLeaf::kExported:
    case v1::LogLeaf::kInboxOpened:
    case v1::LogLeaf::kBackup:
    case v1::LogLeaf::kAdopted:
    case v1::LogLeaf::kPerson:
    case v1::LogLeaf::kPolicy:
    case v1::LogLeaf::kSuspend:
    case v1::LogLeaf::kPinChanged:
    case v1::LogLeaf::kBatchClosed:
    case v1::LogLeaf::kStationRetired:
    case v1::LogLeaf::kQuarantineReleased:
    case v1::LogLeaf::kCrlIssued:
    case v1::LogLeaf::kCaRetired:
    case v1::LogLeaf::kKeyDestroyed:
    case v1::LogLeaf::kDevice:
    case v1::LogLeaf::kKeyRequested:
    case v1::LogLeaf::kSegmentWaiting:
    case v1::LogLeaf::kBatchCertified:
    case v1::LogLeaf::kCaRevoked:
    case v1::LogLeaf::kOutsideCrl:
    case v1::LogLeaf::DETAIL_NOT_SET:
      return false;
  }
  return false;
}

std::optional<KnownCheckpoint> own_checkpoint(const std::string& note,
                                              const crypto::PublicKey& log_key,
                                              const ApplianceId& appliance) {
  const std::string origin = "keyferry/" + appliance.hex().substr(0, 32);
  const auto verified = audit::verify_checkpoint(note, origin, log_key);
  const auto* checkpoint = std::get_if<audit::Checkpoint>(&verified);
  if (checkpoint == nullptr) return std::nullopt;
  return KnownCheckpoint{checkpoint->size, checkpoint->root};
}

}  // namespace keyferry::appliance
