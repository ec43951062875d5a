#include "appliance/front/plan_runners.h"

#include <fmt/format.h>

#include "appliance/front/authority_commands.h"
#include "appliance/front/batch_hooks.h"
#include "appliance/front/context.h"
#include "appliance/front/hsm_backup.h"
#include "appliance/front/key_commands.h"
#include "appliance/front/officer_commands.h"
#include "appliance/front/operation.h"
#include "appliance/front/outside.h"
#include "appliance/front/preparations.h"
#include "appliance/front/revocations.h"
#include "appliance/front/se_import.h"
#include "appliance/front/setup_commands.h"
#include "appliance/front/station_enroll.h"
#include "keyferry/v1/gate.pb.h"
#include "wrap/base/error.h"

namespace keyferry::appliance {
namespace {

/// Nothing is to be kept beside it, and nothing is to be written when it is done.
int run_simple(Context& context,
               const Plan& plan,
               const std::vector<Bytes>& approvals,
               const OperationInput& input = {}) {
  static_cast<void>(run_at_gate(context, plan, approvals, input));
  context.out().result(
      "plan-run",
      Json{{"digest", plan.digest.hex()},
           {"operation", operation_name(plan.operation)},
           {"done_before", false}},
      {fmt::format("plan {} ({}) has been run", plan.number, operation_name(plan.operation))});
  return 0;
}

}  // namespace

int run_kept_plan(Context& context, const Plan& plan, const std::vector<Bytes>& approvals) {
  switch (plan.operation) {
    case Operation::SeImport:
      return run_se_import(context, plan, approvals);
    case Operation::StationEnroll:
      return run_station_enroll(context, plan, approvals);
    case Operation::CaCreate:
      return run_ca_create(context, plan, approvals);
    case Operation::CaRequest:
      return run_ca_request(context, plan, approvals);
    case Operation::CaInstall:
    case Operation::CaImport:
      return run_ca_chain(context, plan, approvals);
    case Operation::SePrepare:
      return run_se_prepare(context, plan, approvals);
    case Operation::VendorKeyCreate:
      return run_vendor_key_create(context, plan, approvals);
    case Operation::HsmBackup:
      return run_hsm_backup(context, plan, approvals);
    case Operation::OfficerAdd:
      return run_officer_add(context, plan, approvals);
    case Operation::BatchSuspend: {
      const BatchId batch = std::get<BatchSuspendPlan>(plan.detail).batch;
      return run_simple(context, plan, approvals, {{}, suspended_action(batch, true), {}});
    }
    case Operation::BatchResume: {
      const BatchId batch = std::get<BatchResumePlan>(plan.detail).batch;
      return run_simple(context, plan, approvals, {{}, suspended_action(batch, false), {}});
    }
    case Operation::BatchCertify:
      return run_batch_certify(context, plan, approvals);
    case Operation::CrlImport:
      return run_crl_import(context, plan, approvals);
    case Operation::SourceAdd:
    case Operation::TransportMasterCreate:
    case Operation::TransportMasterImport:
    case Operation::VendorKeyImport:
    case Operation::BatchReexport:
    case Operation::OfficerReplace:
    case Operation::OfficerDisable:
    case Operation::PolicyChange:
    case Operation::HsmPinChange:
    case Operation::BatchClose:
    case Operation::TokenLost:
    case Operation::QuarantineRelease:
    case Operation::CrlIssue:
    case Operation::StationRetire:
    case Operation::CaRetire:
    case Operation::CaRevoke:
    case Operation::HsmDestroyKey:
    case Operation::DeviceRevoke:
    case Operation::DeviceScrap:
    case Operation::DeviceRework:
    case Operation::DeviceRma:
    case Operation::ClockSet:
    case Operation::InsecureAllow:
    case Operation::FamilyEnable:
      return run_simple(context, plan, approvals);
    case Operation::Batch:
    case Operation::HsmAdoptState:
      break;
  }
  throw Error{Code::Internal, "a plan that plan_runners.cpp does not run"};
}

}  // namespace keyferry::appliance
