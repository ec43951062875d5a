#include <fmt/format.h>

#include "appliance/gate/internal/end_operations.h"
#include "appliance/gate/internal/people.h"

namespace keyferry::appliance {
namespace {

using Answer = std::optional<Refusal>;

const DeviceRecord* record_of(const Plan& plan) {
  if (const auto* revoke = std::get_if<DeviceRevokePlan>(&plan.detail)) return &revoke->record;
  if (const auto* scrap = std::get_if<DeviceScrapPlan>(&plan.detail)) return &scrap->record;
  if (const auto* rework = std::get_if<DeviceReworkPlan>(&plan.detail)) return &rework->record;
  if (const auto* rma = std::get_if<DeviceRmaPlan>(&plan.detail)) return &rma->record;
  return nullptr;
}

Answer check_person(std::uint32_t number, const GateState& state) {
  const v1::Officer* known = person(state.registry, number);
  if (known == nullptr) {
    return Refusal{"person-unknown", fmt::format("there is no person {} in the registry", number),
                   "enrol them first: keyferry-appliance officer add"};
  }
  if (known->disabled()) return Refusal{"person-disabled", fmt::format("person {} is disabled", number)};
  return std::nullopt;
}

void put_record(const DeviceRecord& record, v1::DeviceLeaf& leaf) {
  leaf.set_batch_id(record.batch.str());
  leaf.set_record_no(record.record_no);
  leaf.set_family(std::string{se::family_name(record.family)});
  leaf.set_se_serial(to_string(record.se_serial));
  leaf.set_certificate_serial(to_string(record.shown_serial()));
  leaf.set_device_serial(record.device_serial);
}

void put(const DeviceRevokePlan& plan, v1::DeviceLeaf& leaf) {
  leaf.set_crl_reason(plan.crl_reason);
  leaf.set_reason(plan.reason);
  leaf.set_outstanding(plan.outstanding);
}

void put(const DeviceScrapPlan& plan, v1::DeviceLeaf& leaf) {
  leaf.add_persons(plan.by);
  leaf.add_persons(plan.witness);
  if (plan.evidence_sha256) leaf.set_evidence_sha256(plan.evidence_sha256->str());
  leaf.set_reason(plan.reason);
}

void put(const DeviceReworkPlan& plan, v1::DeviceLeaf& leaf) {
  leaf.set_new_family(std::string{se::family_name(plan.new_family)});
  leaf.set_new_se_serial(to_string(plan.new_se_serial));
  leaf.set_reason(plan.reason);
}

void put(const DeviceRmaPlan& plan, v1::DeviceLeaf& leaf) {
  leaf.set_rma(plan.rma);
  leaf.set_crl_reason(plan.crl_reason);
  leaf.set_reason(plan.reason);
}

}  // namespace

std::optional<Refusal> check_device_operation(const Plan& plan, const GateState& state) {
  const DeviceRecord* record = record_of(plan);
  if (record == nullptr) return std::nullopt;
  if (auto refusal = check_batch_known(record->batch, state)) return refusal;
  const auto* scrap = std::get_if<DeviceScrapPlan>(&plan.detail);
  if (scrap == nullptr) return std::nullopt;
  if (auto refusal = check_person(scrap->by, state)) return refusal;
  return check_person(scrap->witness, state);
}

void add_device_leaves(const Plan& plan, std::vector<v1::LogLeaf>& leaves) {
  const DeviceRecord* record = record_of(plan);
  if (record == nullptr) return;
  v1::LogLeaf leaf;
  v1::DeviceLeaf& said = *leaf.mutable_device();
  said.set_act(std::string{operation_name(plan.operation)});
  put_record(*record, said);
  if (const auto* revoke = std::get_if<DeviceRevokePlan>(&plan.detail)) put(*revoke, said);
  if (const auto* scrap = std::get_if<DeviceScrapPlan>(&plan.detail)) put(*scrap, said);
  if (const auto* rework = std::get_if<DeviceReworkPlan>(&plan.detail)) put(*rework, said);
  if (const auto* rma = std::get_if<DeviceRmaPlan>(&plan.detail)) put(*rma, said);
  leaves.push_back(std::move(leaf));
}

}  // namespace keyferry::appliance
