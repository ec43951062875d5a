// Plans, reports, export and inbox: everything of the gate but login and segments.
#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>

#include "appliance/gate/approvals.h"
#include "appliance/gate/clock_rules.h"
#include "appliance/gate/internal/authority_operations.h"
#include "appliance/gate/internal/end_operations.h"
#include "appliance/gate/internal/gate_impl.h"
#include "appliance/gate/internal/people.h"
#include "appliance/gate/internal/revocation_operations.h"
#include "appliance/gate/operations.h"
#include "token/container.h"
#include "wrap/base/cut.h"
#include "wrap/base/text.h"
#include "wrap/crypto/hash.h"

namespace keyferry::appliance {
namespace {

constexpr int kMaxReportedLeaves = 4096;
constexpr std::size_t kMaxReportedLeafBytes = 4096;

v1::LogLeaf key_leaf(std::string_view role, const std::string& label, const v1::KeyMade& made,
                     const char* origin = "generated", se::Family family = se::Family::Pkcs11) {
  v1::LogLeaf leaf;
  leaf.mutable_key_made()->set_role(std::string{role});
  leaf.mutable_key_made()->set_label(label);
  leaf.mutable_key_made()->set_public_key(made.public_key());
  leaf.mutable_key_made()->set_certificate(made.certificate());
  leaf.mutable_key_made()->set_check_value(made.check_value());
  leaf.mutable_key_made()->set_origin(origin);
  leaf.mutable_key_made()->set_attributes(made.attributes());
  if (family != se::Family::Pkcs11) leaf.mutable_key_made()->set_family(std::string{se::family_name(family)});
  return leaf;
}

/// What the front end says of a ceremony cannot be checked; its form and its environment can.
bool fits(const v1::CeremonyLeaf& leaf, v1::Environment environment) {
  constexpr std::int64_t kYear10000Ms = 253'402'300'800'000;
  return is_name(leaf.script()) && leaf.script_sha256().size() == Digest::kSizeBytes &&
         leaf.transcript_sha256().size() == Digest::kSizeBytes && leaf.html_sha256().size() == Digest::kSizeBytes &&
         leaf.environment() == environment && leaf.ended_ms() > 0 && leaf.ended_ms() < kYear10000Ms;
}

struct StationRequest {
  token::SignedBytes signed_request;
  token::EnrolmentRequest request;
  Digest sha256;
};

std::optional<StationRequest> station_request(const Plan& plan, const v1::RunPlanRequest& request) {
  if (plan.operation != Operation::StationEnroll) return std::nullopt;
  token::SignedBytes asked = signed_from_message(request.enrolment_request());
  auto opened = token::open_enrolment_request(asked);
  if (const auto* refusal = std::get_if<Refusal>(&opened)) throw to_error(*refusal);
  const Digest sha256 = crypto::sha256(asked.payload);
  return StationRequest{std::move(asked), std::get<token::EnrolmentRequest>(std::move(opened)), sha256};
}

Code code_of(const Refusal& refusal) { return refusal.reason == "quorum" ? Code::Quorum : Code::Refused; }

[[noreturn]] void throw_refusal(const Refusal& refusal) {
  throw Error{code_of(refusal), refusal.text, refusal.hint};
}

/// Makes the operation's key in the HSM, if it has one.
std::optional<v1::WorkerRequest> key_request(const Plan& plan, const GateState& state) {
  v1::WorkerRequest request;
  v1::MakeKey& make = *request.mutable_make_key();
  if (const auto* detail = std::get_if<TransportMasterPlan>(&plan.detail)) {
    make.set_role("transport-master");
    make.set_name(detail->name);
    make.set_kdf(detail->kdf);
    return request;
  }
  if (const auto* detail = std::get_if<TransportMasterImportPlan>(&plan.detail)) {
    make.set_role("transport-master");
    make.set_name(detail->name);
    make.set_kdf(detail->kdf);
    make.set_import(true);
    make.set_check_value(to_string(detail->check_value));
    return request;
  }
  if (const auto* detail = std::get_if<VendorKeyImportPlan>(&plan.detail)) {
    make.set_role("vendor");
    make.set_name(detail->name);
    make.set_mechanism(detail->mechanism);
    make.set_import(true);
    make.set_check_value(to_string(detail->check_value));
    return request;
  }
  if (const auto* detail = std::get_if<VendorKeyCreatePlan>(&plan.detail)) {
    make.set_role("vendor-rsa");
    make.set_name(detail->name);
    make.set_mechanism(detail->mechanism);
    make.set_modulus_bits(detail->bits);
    return request;
  }
  auto authority = authority_key_request(plan, state);
  if (!authority) return std::nullopt;
  make = std::move(*authority);
  return request;
}

/// The check values of the parts that a key comes in; empty when it comes in one piece.
const std::vector<Bytes>& components_of(const Plan& plan) {
  static const std::vector<Bytes> kNone;
  if (const auto* detail = std::get_if<TransportMasterImportPlan>(&plan.detail)) return detail->components;
  if (const auto* detail = std::get_if<VendorKeyImportPlan>(&plan.detail)) return detail->components;
  return kNone;
}

void open_batch_plan(GateState& next, const Plan& plan) {
  v1::OpenPlan& open = *next.hsm.add_open_plans();
  open.set_plan_digest(plan.digest.str());
  open.set_plan_number(plan.number);
  open.set_operation(std::string{operation_name(plan.operation)});
  open.set_segment_count(plan.batch().segment_count());
  open.set_exports_allowed(1);
  open.set_station_id(plan.batch().station.str());
  open.set_authority(plan.batch().certificate_authority);
  open.set_outside(plan.batch().outside);
}

/// Permits that have ended go; what is allowed anew counts from the newest plan.
void add_permits(v1::HsmState& hsm, const Plan& plan, UtcMillis now) {
  const auto& detail = std::get<InsecureAllowPlan>(plan.detail);
  google::protobuf::RepeatedPtrField<v1::InsecurePermit> kept;
  for (const v1::InsecurePermit& permit : hsm.permits()) {
    if (permit.until_ms() > now.value && std::ranges::find(detail.what, permit.what()) == detail.what.end()) {
      *kept.Add() = permit;
    }
  }
  for (const std::string& what : detail.what) {
    v1::InsecurePermit& permit = *kept.Add();
    permit.set_what(what);
    permit.set_until_ms(detail.until.value);
    permit.set_plan_number(plan.number);
  }
  *hsm.mutable_permits() = std::move(kept);
}

constexpr int kGivenOrders = 64;

bool order_was_given(const v1::HsmState& hsm, const Digest& plan) {
  return std::ranges::find(hsm.given_orders(), plan.str()) != hsm.given_orders().end();
}

void apply_plan(GateState& next, const Plan& plan, UtcMillis now) {
  next.hsm.set_last_plan_number(plan.number);
  if (plan.operation == Operation::SePrepare) {
    next.hsm.add_given_orders(plan.digest.str());
    if (next.hsm.given_orders_size() > kGivenOrders) next.hsm.mutable_given_orders()->DeleteSubrange(0, 1);
  }
  if (plan.operation == Operation::InsecureAllow) add_permits(next.hsm, plan, now);
  if (plan.operation == Operation::Batch) open_batch_plan(next, plan);
  if (plan.operation == Operation::BatchReexport) {
    v1::OpenPlan* open = next.open_plan_of_batch(std::get<BatchReexportPlan>(plan.detail).batch);
    open->set_exports_allowed(open->exports_allowed() + 1);
  }
  if (const auto* detail = std::get_if<BatchCertifyPlan>(&plan.detail)) {
    next.open_plan_of_batch(detail->batch)->set_certificates_root(detail->certificates_root.str());
  }
  if (const auto* detail = std::get_if<BatchSuspendPlan>(&plan.detail)) {
    next.open_plan_of_batch(detail->batch)->set_suspended(true);
  }
  if (const auto* detail = std::get_if<BatchResumePlan>(&plan.detail)) {
    next.open_plan_of_batch(detail->batch)->set_suspended(false);
  }
}

/// While it lives, leaves have the clock's own time: the plan that is carried out says that it is right.
class ClockBeingSet {
 public:
  ClockBeingSet(bool& flag, bool is_set) : flag_{flag} { flag_ = is_set; }
  ~ClockBeingSet() { flag_ = false; }
  ClockBeingSet(const ClockBeingSet&) = delete;
  ClockBeingSet& operator=(const ClockBeingSet&) = delete;

 private:
  bool& flag_;
};

v1::LogLeaf suspend_leaf(const BatchId& batch, bool suspended) {
  v1::LogLeaf leaf;
  leaf.mutable_suspend()->set_batch_id(batch.str());
  leaf.mutable_suspend()->set_suspended(suspended);
  return leaf;
}

v1::LogLeaf certified_leaf(const BatchCertifyPlan& plan) {
  v1::LogLeaf leaf;
  leaf.mutable_batch_certified()->set_batch_id(plan.batch.str());
  leaf.mutable_batch_certified()->set_authority(plan.authority);
  leaf.mutable_batch_certified()->set_records(plan.count);
  leaf.mutable_batch_certified()->set_certificates_root(plan.certificates_root.str());
  return leaf;
}

/// `after`: the registry as the plan leaves it, of operations that change it.
void add_operation_leaves(const Plan& plan, const std::optional<StationRequest>& station, const v1::KeyMade& made,
                          const std::optional<v1::Registry>& after, std::vector<v1::LogLeaf>& leaves) {
  switch (plan.operation) {
    case Operation::TransportMasterCreate: {
      const auto& detail = std::get<TransportMasterPlan>(plan.detail);
      leaves.push_back(key_leaf("transport-master", "kf-tk/" + detail.name, made, "generated", detail.family));
      return;
    }
    case Operation::CaCreate:
      leaves.push_back(key_leaf("ca", "kf-ca/" + std::get<CaCreatePlan>(plan.detail).name, made));
      return;
    case Operation::CaRequest:
      leaves.push_back(key_leaf("ca", "kf-ca/" + std::get<CaRequestPlan>(plan.detail).name, made));
      return;
    case Operation::TransportMasterImport: {
      const auto& detail = std::get<TransportMasterImportPlan>(plan.detail);
      leaves.push_back(key_leaf("transport-master", "kf-tk/" + detail.name, made, "imported", detail.family));
      return;
    }
    case Operation::VendorKeyImport:
      leaves.push_back(key_leaf("vendor", "kf-vendor/" + std::get<VendorKeyImportPlan>(plan.detail).name, made, "imported"));
      return;
    case Operation::VendorKeyCreate:
      leaves.push_back(key_leaf("vendor-rsa", "kf-vendor/" + std::get<VendorKeyCreatePlan>(plan.detail).name, made));
      return;
    case Operation::StationEnroll: {
      v1::LogLeaf leaf;
      v1::StationLeafEnrolled& enrolled = *leaf.mutable_station_enrolled();
      enrolled.set_station_id(token::station_id_of(station->request.signing_key).str());
      enrolled.set_signing_key(to_string(station->request.signing_key.point()));
      enrolled.set_agreement_key(to_string(station->request.agreement_key.point()));
      enrolled.set_request_sha256(station->sha256.str());
      leaves.push_back(std::move(leaf));
      return;
    }
    case Operation::SeImport: {
      const auto& detail = std::get<SeImportPlan>(plan.detail);
      v1::LogLeaf leaf;
      leaf.mutable_inventory()->set_source(detail.source);
      leaf.mutable_inventory()->set_file_sha256(detail.file_sha256.str());
      leaf.mutable_inventory()->set_rows(detail.rows);
      leaves.push_back(std::move(leaf));
      return;
    }
    case Operation::OfficerAdd:
      leaves.push_back(person_leaf(*person(*after, std::get<OfficerAddPlan>(plan.detail).number), "enrolled"));
      return;
    case Operation::OfficerReplace:
      leaves.push_back(person_leaf(*person(*after, std::get<OfficerReplacePlan>(plan.detail).number), "replaced"));
      return;
    case Operation::OfficerDisable:
      leaves.push_back(person_leaf(*person(*after, std::get<OfficerDisablePlan>(plan.detail).number), "disabled"));
      return;
    case Operation::PolicyChange:
    case Operation::FamilyEnable:
      leaves.push_back(policy_leaf(after->policy()));
      return;
    case Operation::BatchSuspend:
      leaves.push_back(suspend_leaf(std::get<BatchSuspendPlan>(plan.detail).batch, true));
      return;
    case Operation::BatchResume:
      leaves.push_back(suspend_leaf(std::get<BatchResumePlan>(plan.detail).batch, false));
      return;
    case Operation::BatchCertify:
      leaves.push_back(certified_leaf(std::get<BatchCertifyPlan>(plan.detail)));
      return;
    case Operation::CaInstall:
    case Operation::CaImport:
    case Operation::SourceAdd:
    case Operation::SePrepare:
    case Operation::Batch:
    case Operation::BatchReexport:
    case Operation::HsmBackup:
    case Operation::HsmAdoptState:
    case Operation::HsmPinChange:
    case Operation::BatchClose:
    case Operation::TokenLost:
    case Operation::QuarantineRelease:
    case Operation::CrlIssue:
    case Operation::StationRetire:
    case Operation::CaRetire:
    case Operation::CaRevoke:
    case Operation::CrlImport:
    case Operation::HsmDestroyKey:
    case Operation::DeviceRevoke:
    case Operation::DeviceScrap:
    case Operation::DeviceRework:
    case Operation::DeviceRma:
    case Operation::ClockSet:
    case Operation::InsecureAllow:
      return;
  }
}

}  // namespace

v1::LogLeaf plan_leaf(const Plan& plan, const std::vector<KeyId>& officers) {
  v1::LogLeaf leaf;
  v1::PlanLeaf& said = *leaf.mutable_plan();
  said.set_plan_digest(plan.digest.str());
  said.set_plan_number(plan.number);
  said.set_operation(std::string{operation_name(plan.operation)});
  for (const KeyId& officer : officers) said.add_officer_key_ids(officer.str());
  said.set_subject(plan_subject(plan));
  return leaf;
}

asio::awaitable<void> Gate::Impl::run_plan(FrontLink& front, std::uint64_t id, const v1::RunPlanRequest& request) {
  const auto guard = co_await lock_opened(front);
  const Plan plan = parsed_plan(request.plan());
  // Approved, spent and in the log; its order was lost on the way: the same one is signed again.
  if (plan.operation == Operation::SePrepare && order_was_given(state->hsm, plan.digest)) {
    co_return co_await hand_out_order(front, id, request.plan());
  }
  std::vector<token::SignedBytes> approvals;
  for (const v1::SignedBytes& approval : request.approvals()) approvals.push_back(signed_from_message(approval));
  const auto checked = check_approvals(plan, approvals, ApprovalContext{*state, *log_key, clock.now()});
  if (const auto* refusal = std::get_if<Refusal>(&checked)) throw_refusal(*refusal);
  const auto station = station_request(plan, request);
  const std::optional<token::EnrolmentRequest> asked =
      station ? std::optional{station->request} : std::optional<token::EnrolmentRequest>{};
  const std::optional<Digest> asked_sha256 = station ? std::optional{station->sha256} : std::optional<Digest>{};
  if (const auto refusal = check_operation(plan, *state, asked, asked_sha256)) throw_refusal(*refusal);
  if (const auto* detail = std::get_if<ClockSetPlan>(&plan.detail)) {
    if (const auto refusal = check_clock_floor(clock.now(), detail->floor)) throw_refusal(*refusal);
  }
  if (const auto refusal = check_authority_times(plan, clock.now())) throw_refusal(*refusal);
  if (const auto* detail = std::get_if<CrlImportPlan>(&plan.detail)) {
    if (const auto refusal = check_outside_crl(*detail, *state, as_bytes(request.outside_crl()), clock.now()))
      throw_refusal(*refusal);
  }
  if (const auto* detail = std::get_if<InsecureAllowPlan>(&plan.detail)) {
    if (const auto refusal = check_permit_time(clock.now(), detail->until)) throw_refusal(*refusal);
  }

  // One worker at least has tried what the module can do before the plan is spent.
  if (plan.operation == Operation::Batch) co_await key_worker(0);
  v1::KeyMade made;
  if (auto make_key = key_request(plan, *state)) {
    std::vector<SecretBytes> secrets;
    if (make_key->make_key().import()) secrets.push_back(take_imported_key(plan));
    const WorkerLink::OnPiece no_pieces;
    WorkerLink* worker = co_await key_worker(1);
    v1::WorkerReply reply = co_await worker->call(std::move(*make_key), no_pieces, std::move(secrets));
    made = std::move(*reply.mutable_key_made());
  }
  if (plan.operation == Operation::HsmPinChange) co_await change_pins(plan);
  KF_CUT("gate.plan.key-made");
  const ClockBeingSet clock_being_set{clock_was_set, plan.operation == Operation::ClockSet};
  std::optional<v1::Registry> registry = registry_after(plan, *state, asked, made);
  std::vector<v1::LogLeaf> typed{plan_leaf(plan, std::get<std::vector<KeyId>>(checked))};
  add_operation_leaves(plan, station, made, registry, typed);
  add_end_leaves(plan, *state, typed);
  add_device_leaves(plan, typed);
  add_revocation_leaves(plan, typed);
  if (plan.operation == Operation::HsmPinChange) typed.push_back(pin_changed_leaf());
  std::optional<IssuedCrl> crl;
  if (plan.operation == Operation::CrlIssue) {
    crl = co_await make_crl(plan, request);
    typed.push_back(crl->leaf);
  }
  std::vector<Bytes> leaves;
  for (v1::LogLeaf& leaf : typed) leaves.push_back(leaf_octets(std::move(leaf), v1::LEAF_ORIGIN_DONE, leaf_now()));
  const std::function<void(GateState&)> change = [&, now = clock.now()](GateState& next) {
    apply_plan(next, plan, now);
    apply_end_operation(next, plan, crl ? std::optional{crl->frontier} : std::nullopt);
    apply_revocation(next, plan);
    if (plan.operation == Operation::HsmPinChange) put_new_sharing(next);
  };
  co_await commit(front, id, std::move(leaves), change, std::move(registry), crl ? ByteView{crl->der} : ByteView{});
  if (plan.operation == Operation::InsecureAllow) note_permits();
  if (plan.operation == Operation::HsmPinChange) finish_pin_change();
  if (const auto* detail = std::get_if<HsmDestroyKeyPlan>(&plan.detail))
    co_await destroy_given_up(front, id, detail->label);

  v1::GateReply reply;
  if (plan.operation == Operation::StationEnroll) {
    // Signing is issuing and comes last: the station is in the registry before it gets its certificate.
    v1::WorkerRequest answer;
    *answer.mutable_make_answer()->mutable_request() = request.enrolment_request();
    *answer.mutable_make_answer()->mutable_card() = card;
    answer.mutable_make_answer()->set_checkpoint(state->hsm.checkpoint());
    answer.mutable_make_answer()->set_now_ms(clock.now().value);
    WorkerLink* worker = co_await key_worker(0);
    v1::WorkerReply made_answer = co_await worker->call(std::move(answer));
    *reply.mutable_enrolled()->mutable_answer() = std::move(*made_answer.mutable_signed_bytes());
    reply.mutable_enrolled()->set_checkpoint(state->hsm.checkpoint());
    reply.mutable_enrolled()->set_state(state->hsm.SerializeAsString());
  } else if (plan.operation == Operation::SePrepare) {
    // As above: the plan is spent and in the log before its order can be carried out.
    KF_CUT("gate.se-order.committed");
    co_return co_await hand_out_order(front, id, request.plan());
  } else {
    fill_done(*reply.mutable_done());
    reply.mutable_done()->set_made(crl ? to_string(crl->der) : made.certificate());
  }
  front.reply(id, std::move(reply));
}

asio::awaitable<void> Gate::Impl::hand_out_order(FrontLink& front, std::uint64_t id, std::string plan) {
  v1::WorkerRequest make;
  make.mutable_make_preparation_order()->set_plan(std::move(plan));
  make.mutable_make_preparation_order()->set_registry(to_string(state->registry_octets));
  *make.mutable_make_preparation_order()->mutable_card() = card;
  WorkerLink* worker = co_await key_worker(0);
  v1::WorkerReply made = co_await worker->call(std::move(make));
  v1::GateReply reply;
  fill_done(*reply.mutable_done());
  reply.mutable_done()->set_made(made.signed_bytes().SerializeAsString());
  front.reply(id, std::move(reply));
}

SecretBytes Gate::Impl::take_imported_key(const Plan& plan) {
  if (!arguments.imported_key) {
    throw Error{Code::Usage, "this gate was given no key to import",
                "start it for the import: --key-fd, or --ask-key at a terminal"};
  }
  const std::vector<Bytes>& wanted = components_of(plan);
  if (arguments.component_check_values != wanted) {
    throw Error{Code::Refused,
                fmt::format("the plan wants the key in {}, and the gate was given it in {}",
                            wanted.empty() ? "one piece" : fmt::format("{} parts of certain check values", wanted.size()),
                            arguments.component_check_values.empty()
                                ? "one piece"
                                : fmt::format("{} parts", arguments.component_check_values.size())),
                "give --component-check-value for each part as the plan names it, in its order"};
  }
  SecretBytes key = std::move(*arguments.imported_key);
  arguments.imported_key.reset();
  return key;
}

asio::awaitable<void> Gate::Impl::export_token(FrontLink& front, std::uint64_t id, const v1::ExportRequest& request) {
  const auto guard = co_await lock_opened(front);
  const Plan plan = parsed_plan(request.plan());
  v1::OpenPlan* open = state->open_plan(plan.digest);
  if (plan.operation != Operation::Batch || open == nullptr) throw Error{Code::Refused, "the HSM knows no such batch"};
  if (const auto refusal = check_not_suspended(*open, plan.batch_id())) throw to_error(*refusal);
  if (open->closed()) throw Error{Code::Refused, fmt::format("batch {} was closed by officers", plan.batch_id().hex())};
  if (!open->sealed() && !open->has_manifest()) {
    throw Error{Code::Refused, "the batch is not sealed yet", "finish it first: keyferry-appliance plan run FILE"};
  }
  if (request.token_id().size() != TokenId::kSizeBytes) throw Error{Code::Refused, "the token id is not 16 octets"};
  const auto& tokens = open->exported_to();
  if (std::find(tokens.begin(), tokens.end(), request.token_id()) == tokens.end()) {
    if (static_cast<std::uint32_t>(open->exported_to_size()) >= open->exports_allowed()) {
      throw Error{Code::Refused, fmt::format("batch {} was exported already, to another token", plan.batch_id().hex()),
                  "a second token needs officers: keyferry-appliance batch reexport ID --reason TEXT"};
    }
    v1::LogLeaf leaf;
    leaf.mutable_exported()->set_batch_id(plan.batch_id().str());
    leaf.mutable_exported()->set_token_id(request.token_id());
    const std::function<void(GateState&)> change = [&](GateState& next) {
      next.open_plan(plan.digest)->add_exported_to(request.token_id());
    };
    co_await commit(front, id, one_leaf(std::move(leaf), leaf_now()), change, std::nullopt);
  }
  const std::string seen_back =
      own_checkpoint(request.checkpoint_seen_back(), *log_key, *appliance) ? request.checkpoint_seen_back() : std::string{};
  v1::WorkerRequest make;
  v1::MakeTokenCard& token_card = *make.mutable_make_token_card();
  token_card.set_token_id(request.token_id());
  token_card.set_appliance_id(appliance->str());
  token_card.set_environment(state->hsm.environment());
  token_card.set_batch_id(plan.batch_id().str());
  token_card.set_station_id(plan.batch().station.str());
  token_card.set_checkpoint(state->hsm.checkpoint());
  token_card.set_checkpoint_seen_back(seen_back);
  token_card.set_now_ms(clock.now().value);
  token_card.set_revocation_number(state->hsm.revocation_number());
  WorkerLink* worker = co_await key_worker(0);
  v1::WorkerReply made = co_await worker->call(std::move(make));
  v1::GateReply reply;
  *reply.mutable_ticket()->mutable_token_card() = std::move(*made.mutable_signed_bytes());
  reply.mutable_ticket()->set_checkpoint(state->hsm.checkpoint());
  reply.mutable_ticket()->set_state(state->hsm.SerializeAsString());
  front.reply(id, std::move(reply));
}

asio::awaitable<void> Gate::Impl::open_inbox(FrontLink& front, std::uint64_t id, const v1::InboxRequest& request) {
  const auto guard = co_await lock_opened(front);
  v1::WorkerRequest ask;
  v1::OpenInbox& inbox = *ask.mutable_open_inbox();
  inbox.set_header(request.header());
  inbox.set_trailer(request.trailer());
  *inbox.mutable_chunk_hashes() = request.chunk_hashes();
  *inbox.mutable_stations() = state->registry.stations();
  WorkerLink* worker = co_await key_worker(0);
  v1::WorkerReply opened = co_await worker->call(std::move(ask));
  const auto header = token::parse_header(as_bytes(request.header()));
  v1::LogLeaf leaf;
  leaf.mutable_inbox_opened()->set_container_id(std::get<token::Header>(header).container_id.str());
  leaf.mutable_inbox_opened()->set_digest(crypto::sha256(as_bytes(request.trailer())).str());
  leaf.mutable_inbox_opened()->set_station_id(opened.inbox_key().station_id());
  co_await commit(front, id, one_leaf(std::move(leaf), leaf_now()), nullptr, std::nullopt);
  v1::GateReply reply;
  *reply.mutable_inbox_key() = std::move(*opened.mutable_inbox_key());
  reply.mutable_inbox_key()->set_checkpoint(state->hsm.checkpoint());
  front.reply(id, std::move(reply));
}

asio::awaitable<void> Gate::Impl::report(FrontLink& front, std::uint64_t id, const v1::ReportRequest& request) {
  const auto guard = co_await lock_opened(front);
  if (request.leaves_size() == 0 || request.leaves_size() > kMaxReportedLeaves) {
    throw Error{Code::Refused, "a report has 1 to 4,096 leaves"};
  }
  std::vector<Bytes> leaves;
  for (const v1::LogLeaf& leaf : request.leaves()) {
    if (!may_be_reported(leaf) || leaf.ByteSizeLong() > kMaxReportedLeafBytes) {
      throw Error{Code::Refused, "a leaf of that kind or size is not the front end's to report"};
    }
    if (leaf.has_ceremony() && !fits(leaf.ceremony(), state->hsm.environment())) {
      throw Error{Code::Refused, "the report of a ceremony is malformed, or of another environment than this HSM's"};
    }
    leaves.push_back(leaf_octets(leaf, v1::LEAF_ORIGIN_REPORTED, leaf_now()));
  }
  co_await commit(front, id, std::move(leaves), nullptr, std::nullopt);
  v1::GateReply reply;
  fill_done(*reply.mutable_done());
  front.reply(id, std::move(reply));
}

asio::awaitable<void> Gate::Impl::close_batch(FrontLink& front, std::uint64_t id, const v1::CloseBatchRequest& request) {
  const auto guard = co_await lock_opened(front);
  const auto digest = Digest::from_bytes(as_bytes(request.plan_digest()));
  v1::OpenPlan* open = digest ? state->open_plan(*digest) : nullptr;
  if (open == nullptr) throw Error{Code::Refused, "the HSM knows no such batch"};
  if (request.waiting()) {
    co_await close_requests(front, id, *open);
  } else if (!open->sealed()) {
    if (!open->has_manifest()) throw Error{Code::Refused, "the batch has no manifest yet"};
    v1::LogLeaf leaf;
    leaf.mutable_note()->set_event("batch.sealed");
    leaf.mutable_note()->set_subject(digest->hex().substr(0, 2 * BatchId::kSizeBytes));
    const std::function<void(GateState&)> change = [&](GateState& next) {
      v1::OpenPlan& sealed = *next.open_plan(*digest);
      sealed.clear_trailers();
      sealed.clear_manifest();
      sealed.clear_waiting();
      sealed.set_next_segment(sealed.segment_count());
      sealed.set_sealed(true);
    };
    co_await commit(front, id, one_leaf(std::move(leaf), leaf_now()), change, std::nullopt);
  }
  v1::GateReply reply;
  fill_done(*reply.mutable_done());
  front.reply(id, std::move(reply));
}

/// Of the waiting containers kf-state keeps what they are known by: trailers are in the ledger now.
asio::awaitable<void> Gate::Impl::close_requests(FrontLink& front, std::uint64_t id, const v1::OpenPlan& open) {
  if (!open.outside() || open.closed()) throw Error{Code::Refused, "no batch that waits for an outside CA's certificates"};
  if (open.requested()) co_return;
  if (static_cast<std::uint32_t>(open.waiting_size()) != open.segment_count()) {
    throw Error{Code::Refused, fmt::format("{} of {} segments wait: not all keys are made yet", open.waiting_size(),
                                           open.segment_count())};
  }
  const std::string digest = open.plan_digest();
  v1::LogLeaf leaf;
  leaf.mutable_note()->set_event("batch.waiting");
  leaf.mutable_note()->set_subject(to_hex(as_bytes(digest).first(BatchId::kSizeBytes)));
  const std::function<void(GateState&)> change = [&](GateState& next) {
    v1::OpenPlan& waiting = *next.open_plan(*Digest::from_bytes(as_bytes(digest)));
    for (v1::StoredTrailer& one : *waiting.mutable_waiting()) {
      one.clear_trailer();
      one.clear_certificates_key();
      one.clear_first_se_serial();
      one.clear_last_se_serial();
    }
    waiting.set_requested(true);
  };
  co_await commit(front, id, one_leaf(std::move(leaf), leaf_now()), change, std::nullopt);
}

}  // namespace keyferry::appliance
