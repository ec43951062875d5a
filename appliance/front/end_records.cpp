// ends.h: what goes beside a plan that ends something, and what follows it.
#include <fmt/format.h>

#include "appliance/front/context.h"
#include "appliance/front/ends.h"
#include "appliance/front/revocations.h"
#include "appliance/ledger/crl_store.h"
#include "appliance/ledger/custody_store.h"
#include "appliance/ledger/device_store.h"
#include "appliance/ledger/ends_store.h"
#include "appliance/ledger/receipt_store.h"
#include "appliance/ledger/revocation_store.h"
#include "keyferry/v1/gate.pb.h"
#include "keyferry/v1/governance.pb.h"
#include "token/layout.h"
#include "token/medium.h"
#include "token/transfer.h"
#include "wrap/base/cut.h"
#include "wrap/base/error.h"

namespace keyferry::appliance {
namespace {

constexpr const char* kList = "revocations";
constexpr const char* kListNumber = "revocations_number";

using Answer = std::optional<Refusal>;

Answer changed(std::string text) {
  return Refusal{"records-changed", std::move(text),
                 "receipts came in or another plan was run since: make the plan again"};
}

Answer same(const RecordSet& planned, const RecordSet& now, std::string_view what) {
  if (planned == now) return std::nullopt;
  return changed(fmt::format("{} are not those of the plan any more: {}", what,
                             planned.count == now.count
                                 ? std::string{"the same number, but other ones"}
                                 : fmt::format("the plan has {}, the ledger has {}", planned.count, now.count)));
}

/// What the ledger will do when it has happened must be possible, before anything happens.
Answer open_batch(Context& context, const BatchId& batch) {
  const auto row = BatchStore{context.ledger()}.find(batch);
  if (!row) return Refusal{"batch-unknown", fmt::format("there is no batch {} in this ledger", batch.hex())};
  if (next(row->state, BatchEvent::ClosedByQuorum)) return std::nullopt;
  return Refusal{"batch-state",
                 fmt::format("batch {} is {}: it cannot be closed", batch.hex(), state_name(row->state))};
}

Answer check(Context& context, const BatchClosePlan& plan) {
  if (auto no = open_batch(context, plan.batch)) return no;
  return same(plan.outstanding, EndsStore{context.ledger()}.outstanding({plan.batch}),
              "the outstanding records of the batch");
}

Answer check(Context& context, const TokenLostPlan& plan) {
  if (plan.decision == "revoke") {
    if (auto no = open_batch(context, plan.batch)) return no;
  }
  return same(plan.exposed, EndsStore{context.ledger()}.outstanding({plan.batch}), "the exposed records");
}

Answer check(Context& context, const StationRetirePlan& plan) {
  const auto log = ReceiptStore{context.ledger()}.station_log(plan.station);
  const std::uint32_t generation = log ? log->generation : 0;
  const std::uint64_t size = log ? log->frontier.size() : 0;
  if (generation != plan.log_generation || size != plan.log_size) {
    return changed(fmt::format("the station's log ends at generation {}, size {}; the plan says {}, {}", generation,
                               size, plan.log_generation, plan.log_size));
  }
  EndsStore ends{context.ledger()};
  return same(plan.outstanding, ends.outstanding(ends.open_batches(plan.station)),
              "the outstanding records of the station");
}

Answer check(Context& context, const QuarantineReleasePlan& plan) {
  const auto record = EndsStore{context.ledger()}.releasable(plan.batch, RecordNo{plan.record_no});
  const bool ended = record && (record->state == RecordState::Quarantined || record->state == RecordState::Returned ||
                                record->state == RecordState::Revoked);
  if (ended && (record->scrapped || record->replaced)) {
    return Refusal{"se-ended", fmt::format("the SE of record {} of batch {} {}", plan.record_no, plan.batch.hex(),
                                           record->scrapped ? "was scrapped" : "was taken out of its device"),
                   "nothing is to be released"};
  }
  if (ended) return std::nullopt;
  return Refusal{"record-state", fmt::format("record {} of batch {} is neither quarantined nor returned nor revoked",
                                             plan.record_no, plan.batch.hex())};
}

Answer check(Context& context, const CrlIssuePlan& plan) {
  return same(plan.entries, crl_record_set(CrlStore{context.ledger()}.next_entries(plan.authority)),
              "the entries of the CRL");
}

std::uint64_t stored_number(Context& context) {
  const auto octets = context.ledger().value(kListNumber);
  return octets && octets->size() == 8 ? read_u64be(*octets) : 0;
}

void refresh_list(Context& context, GateSession& gate) {
  const std::uint64_t number = gate.state().revocation_number();
  if (number == 0 || number == stored_number(context)) return;
  v1::GateRequest request;
  request.mutable_revocations();
  const v1::GateReply reply = gate.call(std::move(request));
  if (!reply.has_revocations()) throw Error{Code::Channel, "the gate did not answer with a revocation list"};
  Bytes octets;
  append_u64be(octets, number);
  context.ledger().set_value(kList, as_bytes(reply.revocations().SerializeAsString()));
  KF_CUT("front.ends.list-kept");  // cut here: the same list is asked for and kept again
  context.ledger().set_value(kListNumber, octets);
}

}  // namespace

std::optional<Refusal> end_refusal(Context& context, const Plan& plan) {
  if (const auto* close = std::get_if<BatchClosePlan>(&plan.detail)) return check(context, *close);
  if (const auto* lost = std::get_if<TokenLostPlan>(&plan.detail)) return check(context, *lost);
  if (const auto* retire = std::get_if<StationRetirePlan>(&plan.detail)) return check(context, *retire);
  if (const auto* release = std::get_if<QuarantineReleasePlan>(&plan.detail)) return check(context, *release);
  if (const auto* crl = std::get_if<CrlIssuePlan>(&plan.detail)) return check(context, *crl);
  return DeviceStore{context.ledger()}.refusal(plan, context.clock().now());
}

OperationInput with_end_input(Context& context, const Plan& plan, const OperationInput& input) {
  if (const auto refusal = end_refusal(context, plan)) throw to_error(*refusal);
  if (const auto refusal = crl_import_refusal(context, plan, input.outside_crl)) throw to_error(*refusal);
  OperationInput full = input;
  const UtcMillis now = context.clock().now();
  if (const auto* close = std::get_if<BatchClosePlan>(&plan.detail)) {
    full.action = batches_closed_action({close->batch}, now);
  } else if (const auto* lost = std::get_if<TokenLostPlan>(&plan.detail)) {
    if (lost->decision == "revoke") full.action = batches_closed_action({lost->batch}, now);
  } else if (const auto* retire = std::get_if<StationRetirePlan>(&plan.detail)) {
    full.action = station_retired_action(*retire, now);
  } else if (const auto* release = std::get_if<QuarantineReleasePlan>(&plan.detail)) {
    full.action = quarantine_released_action(release->batch, RecordNo{release->record_no}, release->reason, now);
  } else if (const auto* crl = std::get_if<CrlIssuePlan>(&plan.detail)) {
    full.crl_entries = CrlStore{context.ledger()}.next_entries(crl->authority);
    full.action = crl_issued_action(*crl, now);
  } else if (auto device = device_action(plan, now)) {
    full.action = std::move(device);
  } else if (auto ca = ca_revoked_action(plan, now)) {
    full.action = std::move(ca);
  } else if (std::holds_alternative<CrlImportPlan>(plan.detail)) {
    full.action = outside_crl_action(plan, input.outside_crl, now);
  }
  return full;
}

void finish_ends(Context& context, GateSession& gate) {
  while (gate.state().destroying_size() > 0) {
    v1::GateRequest request;
    request.mutable_finish_destroy()->set_label(gate.state().destroying(0));
    gate.call(std::move(request));
  }
  refresh_list(context, gate);
}

void register_all_end_actions(Ledger& ledger) {
  register_end_actions(ledger);
  register_crl_actions(ledger);
  register_custody_actions(ledger);
  register_device_actions(ledger);
  register_revocation_actions(ledger);
}

std::optional<Bytes> revocations(Context& context) {
  return context.ledger().value(kList);
}

int token_revocations(Context& context, const std::filesystem::path& folder) {
  static_cast<void>(context.gate());  // a list that a cut kept from being asked for
  const auto list = revocations(context);
  if (!list) {
    throw Error{Code::NotFound, "nothing was revoked yet: there is no revocation list",
                "it comes with the first batch close, token lost --revoke or station retire"};
  }
  token::FolderMedium medium{folder};
  token::write_out(medium, std::string{token::kRevocationsName}, *list, Overwrite::Replace);
  const std::uint64_t number = stored_number(context);
  context.out().result("token-revocations", Json{{"number", number}, {"folder", folder.string()}},
                       {fmt::format("revocation list {} is on the token, read back and compared", number),
                        "a station takes it with: keyferry-station load DIR"});
  return 0;
}

}  // namespace keyferry::appliance
