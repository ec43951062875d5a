#include "appliance/gate/operations.h"

#include <fmt/format.h>

#include <algorithm>

#include "appliance/gate/internal/authority_operations.h"
#include "appliance/gate/internal/end_operations.h"
#include "appliance/gate/internal/people.h"
#include "appliance/gate/internal/revocation_operations.h"
#include "appliance/plan/ca_chain.h"
#include "appliance/plan/plan_families.h"
#include "appliance/plan/plan_outside.h"
#include "keyferry/v1/worker.pb.h"

namespace keyferry::appliance {
namespace {

using Answer = std::optional<Refusal>;

Answer taken(std::string_view what, const std::string& name) {
  return Refusal{"name-taken", fmt::format("there is a {} \"{}\" already", what, name), "choose another name"};
}

Answer check(const SourceAddPlan& plan, const GateState& state) {
  if (state.source(plan.name) != nullptr) return taken("source", plan.name);
  return std::nullopt;
}

Answer check(const TransportMasterPlan& plan, const GateState& state) {
  if (state.master(plan.name) != nullptr) return taken("transport master", plan.name);
  return std::nullopt;
}

Answer check_value_seen(const Bytes& check_value, const GateState& state) {
  const std::string label = state.check_value_label(check_value);
  if (label.empty()) return std::nullopt;
  return Refusal{"check-value-seen", fmt::format("a key with check value {} was here before: {}", to_hex(check_value), label),
                 "each key is imported once in history: ask the vendor for another one"};
}

Answer check(const TransportMasterImportPlan& plan, const GateState& state) {
  if (state.master(plan.name) != nullptr) return taken("transport master", plan.name);
  return check_value_seen(plan.check_value, state);
}

Answer check(const VendorKeyImportPlan& plan, const GateState& state) {
  if (state.vendor_key(plan.name) != nullptr) return taken("vendor key", plan.name);
  return check_value_seen(plan.check_value, state);
}

Answer check(const VendorKeyCreatePlan& plan, const GateState& state) {
  if (state.vendor_key(plan.name) != nullptr) return taken("vendor key", plan.name);
  return std::nullopt;
}

Answer check_manifest_master(const std::string& name, const GateState& state) {
  const v1::TransportMaster* master = state.master(name);
  if (master != nullptr && !master->destroyed() && master->family() == se::family_name(se::Family::Atecc608))
    return std::nullopt;
  return Refusal{"master-family", fmt::format("there is no transport-key master \"{}\" for family atecc608", name),
                 "make one: keyferry-appliance transport-master create NAME --family atecc608"};
}

Answer check(const FamilyEnablePlan& plan, const GateState& state) {
  if (auto refusal = se::unsupported(plan.family)) return refusal;
  if (!state.enabled(plan.family)) return std::nullopt;
  return Refusal{"family-enabled", fmt::format("family {} is enabled already", se::family_name(plan.family))};
}

Answer check(const SeImportPlan& plan, const GateState& state) {
  const v1::Source* source = state.source(plan.source);
  if (source == nullptr) {
    return Refusal{"source-unknown", fmt::format("no source \"{}\" is enrolled", plan.source),
                   "enroll it first: keyferry-appliance source add NAME"};
  }
  const bool manifest = source->kind() == v1::SOURCE_KIND_MICROCHIP_MANIFEST;
  if (manifest != plan.manifest.has_value()) {
    return Refusal{"source-unsupported",
                   fmt::format("source \"{}\" {} Microchip's manifests, and the plan is {}", plan.source,
                               manifest ? "gives" : "does not give", plan.manifest ? "of one" : "of another file")};
  }
  if (plan.manifest) return check_manifest_master(plan.manifest->master, state);
  const bool known = source->kind() == v1::SOURCE_KIND_OFFICER_APPROVED || source->kind() == v1::SOURCE_KIND_PREPARATION;
  if (!known) {
    return Refusal{"source-unsupported",
                   fmt::format("files of source \"{}\" need its own signature, which is not supported yet", plan.source)};
  }
  return std::nullopt;
}

Answer check(const SePreparePlan& plan, const GateState& state) {
  const v1::Source* source = state.source(plan.preparer);
  if (source == nullptr || source->kind() != v1::SOURCE_KIND_PREPARATION) {
    return Refusal{"preparer-unknown", fmt::format("no preparer \"{}\" is enrolled", plan.preparer),
                   "enroll it first: keyferry-appliance source add NAME --kind preparation --public-key HEX"};
  }
  const v1::VendorKey* vendor = state.vendor_key(plan.vendor);
  if (vendor == nullptr || vendor->destroyed() || vendor->mechanism() != plan.mechanism ||
      !equal(as_bytes(vendor->public_key()), plan.vendor_public_key)) {
    return Refusal{"vendor-key-other", fmt::format("kf-vendor/{} is not the key that the plan names", plan.vendor),
                   "make the plan again"};
  }
  return std::nullopt;
}

Answer check(const BatchPlan& plan, const GateState& state) {
  const v1::Station* station = state.station(plan.station);
  if (station == nullptr || station->retired()) {
    return Refusal{"batch-station", fmt::format("station {} is not enrolled", plan.station.hex())};
  }
  if (station->site() != plan.site) {
    return Refusal{"batch-site", fmt::format("station {} stands at site \"{}\", the plan says \"{}\"", plan.station.hex(),
                                             station->site(), plan.site)};
  }
  const v1::CertificateAuthority* authority = state.authority(plan.certificate_authority);
  if (authority == nullptr) {
    return Refusal{"batch-authority", fmt::format("there is no certificate authority \"{}\"", plan.certificate_authority)};
  }
  if (auto refusal = check_not_revoked(*authority, state.registry)) return refusal;
  if (authority->retired() || authority->destroyed()) {
    return Refusal{"batch-authority",
                   fmt::format("certificate authority \"{}\" is retired", plan.certificate_authority),
                   "make a plan with another CA"};
  }
  if (authority->pending()) {
    return Refusal{"batch-authority",
                   fmt::format("certificate authority \"{}\" has no certificate yet: its request is out", plan.certificate_authority),
                   fmt::format("when it is in: keyferry-appliance ca install {} --chain FILE", plan.certificate_authority)};
  }
  if (plan.outside != authority->outside()) {
    return Refusal{"batch-outside", fmt::format("certificate authority \"{}\" is {}, the plan says otherwise",
                                                plan.certificate_authority,
                                                authority->outside() ? "an outside one" : "kept in the HSM")};
  }
  const auto kind = x509::ca_kind_from_name(authority->profile()).value_or(x509::CaKind::Root);
  if (auto refusal = check_device_issuer(plan.certificate_authority, kind, plan.device_template())) return refusal;
  if (auto refusal = check_outside(plan)) return refusal;
  if (auto refusal = se::unsupported(plan.family)) return refusal;
  if (!state.enabled(plan.family)) {
    return Refusal{"family-off",
                   fmt::format("family {} is off: its device keys are in the clear in a worker while a record is made",
                               se::family_name(plan.family)),
                   fmt::format("officers turn it on: keyferry-appliance family enable {} --reason TEXT",
                               se::family_name(plan.family))};
  }
  if (plan.mode != BatchMode::Inject) return Refusal{"batch-mode", "only mode \"inject\" is supported yet"};
  if (auto refusal = check_firmware(plan)) return refusal;
  if (plan.segment_count() > kMaxSegmentsPerBatch) {
    return Refusal{"batch-segments", fmt::format("{} segments are more than {}", plan.segment_count(), kMaxSegmentsPerBatch),
                   "choose a larger segment_size"};
  }
  return std::nullopt;
}

Refusal batch_unknown(const BatchId& batch) {
  return Refusal{"batch-unknown", fmt::format("the HSM knows no batch {}", batch.hex()),
                 "see keyferry-appliance batch status"};
}

Answer check(const BatchReexportPlan& plan, const GateState& state) {
  const v1::OpenPlan* open = state.open_plan_of_batch(plan.batch);
  if (open == nullptr) return batch_unknown(plan.batch);
  if (open->closed()) return Refusal{"batch-closed", fmt::format("batch {} was closed by officers", plan.batch.hex())};
  return check_not_suspended(*open, plan.batch);
}

Answer check(const BatchCertifyPlan& plan, const GateState& state) {
  const v1::OpenPlan* open = state.open_plan_of_batch(plan.batch);
  if (open == nullptr) return batch_unknown(plan.batch);
  if (open->closed()) return Refusal{"batch-closed", fmt::format("batch {} was closed by officers", plan.batch.hex())};
  if (!open->outside() || !open->requested() || open->sealed()) {
    return Refusal{"batch-not-waiting", fmt::format("batch {} does not wait for certificates", plan.batch.hex()),
                   "see keyferry-appliance batch status"};
  }
  // Nothing was opened for the certificates that were approved before: others may take their place.
  if (open->trailers_size() != 0) {
    return Refusal{"batch-certified",
                   fmt::format("batch {} is being sealed with certificates that officers have approved", plan.batch.hex()),
                   "go on with them: keyferry-appliance batch certify ID"};
  }
  std::uint64_t count = 0;
  for (const v1::StoredTrailer& one : open->waiting()) count += one.count();
  if (count != plan.count || open->authority() != plan.authority) {
    return Refusal{"batch-records", fmt::format("batch {} has {} records under CA \"{}\", the plan names {} under \"{}\"",
                                                plan.batch.hex(), count, open->authority(), plan.count, plan.authority)};
  }
  const v1::CertificateAuthority* authority = state.authority(plan.authority);
  if (authority == nullptr || authority->retired()) {
    return Refusal{"batch-authority", fmt::format("certificate authority \"{}\" is retired", plan.authority)};
  }
  if (auto refusal = check_not_revoked(*authority, state.registry)) return refusal;
  return check_not_suspended(*open, plan.batch);
}

Answer check(const BatchSuspendPlan& plan, const GateState& state) {
  const v1::OpenPlan* open = state.open_plan_of_batch(plan.batch);
  if (open == nullptr) return batch_unknown(plan.batch);
  if (!open->suspended()) return std::nullopt;
  return Refusal{"batch-suspended", fmt::format("batch {} is suspended already", plan.batch.hex())};
}

Answer check(const BatchResumePlan& plan, const GateState& state) {
  const v1::OpenPlan* open = state.open_plan_of_batch(plan.batch);
  if (open == nullptr) return batch_unknown(plan.batch);
  if (open->suspended()) return std::nullopt;
  return Refusal{"batch-not-suspended", fmt::format("batch {} is not suspended: there is nothing to resume", plan.batch.hex())};
}

/// Custodians of shares are persons of that role; where there are none, officers.
Answer check(const HsmPinChangePlan& plan, const GateState& state) {
  if (!state.hsm.has_pin_sharing()) {
    return Refusal{"pin-typed", "this HSM's PIN is one that people type: it has no shares to change",
                   "only init --pin-shares M/N makes an appliance whose PIN is held as shares"};
  }
  const auto is_custodian = [](const v1::Officer& person) {
    return !person.disabled() && person.role() == v1::OFFICER_ROLE_CUSTODIAN;
  };
  const bool any_custodian = std::ranges::any_of(state.registry.officers(), is_custodian);
  for (const std::uint32_t number : plan.custodians) {
    const bool known = std::ranges::any_of(state.registry.officers(), [&](const v1::Officer& person) {
      const bool may = any_custodian ? is_custodian(person) : !person.disabled() && person.role() == v1::OFFICER_ROLE_OFFICER;
      return person.number() == number && may;
    });
    if (known) continue;
    return Refusal{"custodian-unknown",
                   fmt::format("person {} is not enrolled as {}, or disabled", number, any_custodian ? "a custodian" : "an officer"),
                   "enrol custodians first: keyferry-appliance officer add --role custodian"};
  }
  return std::nullopt;
}

v1::SourceKind source_kind(const SourceAddPlan& plan) {
  if (plan.certificate_sha256) return v1::SOURCE_KIND_MICROCHIP_MANIFEST;
  if (plan.kind == "preparation") return v1::SOURCE_KIND_PREPARATION;
  return plan.public_key.empty() ? v1::SOURCE_KIND_OFFICER_APPROVED : v1::SOURCE_KIND_VENDOR_KEY;
}

void set_family(v1::TransportMaster& master, se::Family family) {
  if (family != se::Family::Pkcs11) master.set_family(std::string{se::family_name(family)});
}

Answer check_station(const StationEnrollPlan& plan, const GateState& state,
                     const std::optional<token::EnrolmentRequest>& request, const std::optional<Digest>& request_sha256) {
  if (!request || !request_sha256 || *request_sha256 != plan.request_sha256 ||
      token::station_id_of(request->signing_key) != plan.station || request->name != plan.name ||
      request->site != plan.site) {
    return Refusal{"station-request", "the enrolment request is not the one that was approved"};
  }
  if (static_cast<int>(request->environment) != static_cast<int>(state.hsm.environment())) {
    return Refusal{"station-environment", "the station was made for another environment than this appliance"};
  }
  for (const v1::Station& known : state.registry.stations()) {
    const bool same_id = known.station_id() == plan.station.str();
    if (same_id && (known.agreement_key() != to_string(request->agreement_key.point()) || known.name() != plan.name ||
                    known.site() != plan.site || known.retired())) {
      return Refusal{"station-other", "that station was enrolled before with other keys, name or site, or is retired"};
    }
    if (!same_id && known.name() == plan.name) return taken("station", plan.name);
  }
  return std::nullopt;
}

}  // namespace

std::optional<Refusal> check_not_suspended(const v1::OpenPlan& open, const BatchId& batch) {
  if (!open.suspended()) return std::nullopt;
  return Refusal{"batch-suspended", fmt::format("batch {} is suspended", batch.hex()),
                 "officers let it go on: keyferry-appliance batch resume ID --reason TEXT"};
}

std::optional<Refusal> check_operation(const Plan& plan,
                                       const GateState& state,
                                       const std::optional<token::EnrolmentRequest>& request,
                                       const std::optional<Digest>& request_sha256) {
  switch (plan.operation) {
    case Operation::SourceAdd: return check(std::get<SourceAddPlan>(plan.detail), state);
    case Operation::TransportMasterCreate: return check(std::get<TransportMasterPlan>(plan.detail), state);
    case Operation::SeImport: return check(std::get<SeImportPlan>(plan.detail), state);
    case Operation::StationEnroll:
      return check_station(std::get<StationEnrollPlan>(plan.detail), state, request, request_sha256);
    case Operation::CaCreate:
    case Operation::CaRequest:
    case Operation::CaInstall:
    case Operation::CaImport: return check_authority_operation(plan, state);
    case Operation::Batch: return check(plan.batch(), state);
    case Operation::BatchReexport: return check(std::get<BatchReexportPlan>(plan.detail), state);
    case Operation::TransportMasterImport: return check(std::get<TransportMasterImportPlan>(plan.detail), state);
    case Operation::VendorKeyImport: return check(std::get<VendorKeyImportPlan>(plan.detail), state);
    case Operation::VendorKeyCreate: return check(std::get<VendorKeyCreatePlan>(plan.detail), state);
    case Operation::HsmPinChange: return check(std::get<HsmPinChangePlan>(plan.detail), state);
    case Operation::ClockSet:       // what the clock shows is looked at where it is,
    case Operation::InsecureAllow:  // and so is how long a permit may last
      return std::nullopt;
    case Operation::BatchClose:
    case Operation::TokenLost:
    case Operation::QuarantineRelease:
    case Operation::CrlIssue:
    case Operation::StationRetire:
    case Operation::CaRetire:
    case Operation::HsmDestroyKey: return check_end_operation(plan, state);
    case Operation::DeviceRevoke:
    case Operation::DeviceScrap:
    case Operation::DeviceRework:
    case Operation::DeviceRma: return check_device_operation(plan, state);
    case Operation::HsmBackup:
    case Operation::HsmAdoptState:
      return Refusal{"operation-elsewhere",
                     fmt::format("{} is not run like other plans", operation_name(plan.operation)),
                     "use the commands for it: keyferry-appliance hsm --help"};
    case Operation::OfficerAdd: return check(std::get<OfficerAddPlan>(plan.detail), state);
    case Operation::OfficerReplace: return check(std::get<OfficerReplacePlan>(plan.detail), state);
    case Operation::OfficerDisable: return check(std::get<OfficerDisablePlan>(plan.detail), state);
    case Operation::PolicyChange: return check(std::get<PolicyChangePlan>(plan.detail), state);
    case Operation::BatchSuspend: return check(std::get<BatchSuspendPlan>(plan.detail), state);
    case Operation::BatchResume: return check(std::get<BatchResumePlan>(plan.detail), state);
    case Operation::BatchCertify: return check(std::get<BatchCertifyPlan>(plan.detail), state);
    case Operation::CaRevoke:
    case Operation::CrlImport: return check_revocation_operation(plan, state);
    case Operation::FamilyEnable: return check(std::get<FamilyEnablePlan>(plan.detail), state);
    case Operation::SePrepare: return check(std::get<SePreparePlan>(plan.detail), state);
  }
  return Refusal{"operation-unknown", "the gate does not know that operation"};
}

std::optional<v1::Registry> registry_after(const Plan& plan,
                                           const GateState& state,
                                           const std::optional<token::EnrolmentRequest>& request,
                                           const v1::KeyMade& made) {
  v1::Registry after = state.registry;
  switch (plan.operation) {
    case Operation::SourceAdd: {
      const auto& detail = std::get<SourceAddPlan>(plan.detail);
      v1::Source& source = *after.add_sources();
      source.set_name(detail.name);
      source.set_kind(source_kind(detail));
      source.set_public_key(to_string(detail.public_key));
      if (detail.certificate_sha256) source.set_certificate_sha256(detail.certificate_sha256->str());
      break;
    }
    case Operation::TransportMasterCreate: {
      const auto& detail = std::get<TransportMasterPlan>(plan.detail);
      v1::TransportMaster& master = *after.add_transport_masters();
      master.set_name(detail.name);
      master.set_kdf(detail.kdf);
      master.set_check_value(made.check_value());
      set_family(master, detail.family);
      break;
    }
    case Operation::TransportMasterImport: {
      const auto& detail = std::get<TransportMasterImportPlan>(plan.detail);
      v1::TransportMaster& master = *after.add_transport_masters();
      master.set_name(detail.name);
      master.set_kdf(detail.kdf);
      master.set_check_value(to_string(detail.check_value));
      master.set_imported(true);
      set_family(master, detail.family);
      break;
    }
    case Operation::VendorKeyImport: {
      const auto& detail = std::get<VendorKeyImportPlan>(plan.detail);
      v1::VendorKey& key = *after.add_vendor_keys();
      key.set_name(detail.name);
      key.set_mechanism(detail.mechanism);
      key.set_check_value(to_string(detail.check_value));
      key.set_check_blob(made.check_blob());
      break;
    }
    case Operation::VendorKeyCreate: {
      const auto& detail = std::get<VendorKeyCreatePlan>(plan.detail);
      v1::VendorKey& key = *after.add_vendor_keys();
      key.set_name(detail.name);
      key.set_mechanism(detail.mechanism);
      key.set_public_key(made.public_key());
      break;
    }
    case Operation::StationEnroll: {
      if (state.station(std::get<StationEnrollPlan>(plan.detail).station) != nullptr) return std::nullopt;
      v1::Station& station = *after.add_stations();
      station.set_station_id(token::station_id_of(request->signing_key).str());
      station.set_name(request->name);
      station.set_site(request->site);
      station.set_signing_key(to_string(request->signing_key.point()));
      station.set_agreement_key(to_string(request->agreement_key.point()));
      break;
    }
    case Operation::CaCreate:
    case Operation::CaRequest:
    case Operation::CaInstall:
    case Operation::CaImport: authority_in_registry(plan, made, after); break;
    case Operation::OfficerAdd: apply(after, std::get<OfficerAddPlan>(plan.detail)); break;
    case Operation::OfficerReplace: apply(after, std::get<OfficerReplacePlan>(plan.detail)); break;
    case Operation::OfficerDisable: apply(after, std::get<OfficerDisablePlan>(plan.detail)); break;
    case Operation::PolicyChange: apply(after, std::get<PolicyChangePlan>(plan.detail)); break;
    case Operation::FamilyEnable: apply(after, std::get<FamilyEnablePlan>(plan.detail)); break;
    case Operation::StationRetire:
    case Operation::CaRetire:
    case Operation::HsmDestroyKey:
      if (!end_in_registry(plan, after)) return std::nullopt;
      break;
    case Operation::CaRevoke:
      if (!revoke_in_registry(plan, after)) return std::nullopt;
      break;
    case Operation::SeImport:
    case Operation::SePrepare:
    case Operation::Batch:
    case Operation::BatchReexport:
    case Operation::HsmBackup:
    case Operation::HsmAdoptState:
    case Operation::HsmPinChange:
    case Operation::BatchSuspend:
    case Operation::BatchResume:
    case Operation::BatchCertify:
    case Operation::CrlImport:
    case Operation::BatchClose:
    case Operation::TokenLost:
    case Operation::QuarantineRelease:
    case Operation::CrlIssue:
    case Operation::DeviceRevoke:
    case Operation::DeviceScrap:
    case Operation::DeviceRework:
    case Operation::DeviceRma:
    case Operation::ClockSet:
    case Operation::InsecureAllow:
      return std::nullopt;
  }
  after.set_epoch(after.epoch() + 1);
  return after;
}

}  // namespace keyferry::appliance
