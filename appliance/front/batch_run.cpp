#include "appliance/front/batch_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <memory>
#include <utility>

#include "appliance/front/batch_files.h"
#include "appliance/front/context.h"
#include "appliance/front/declarations.h"
#include "appliance/front/export.h"
#include "appliance/front/part_maker.h"
#include "appliance/ledger/batch_store.h"
#include "appliance/ledger/outside_store.h"
#include "appliance/ledger/plan_store.h"
#include "appliance/ledger/receipt_store.h"
#include "keyferry/v1/gate.pb.h"
#include "keyferry/v1/governance.pb.h"
#include "token/audit/merkle.h"
#include "wrap/base/cut.h"
#include "wrap/base/error.h"
#include "wrap/se/entry.h"

namespace keyferry::appliance {
namespace {

/// Records of segments under way stay in memory, about 600 octets each.
constexpr std::size_t kRecordsInFlight = 262'144;
constexpr std::uint64_t kMaxWaitingBytes = 8U * 1024 * 1024;  // as the gate takes it
constexpr const char* kBatchStarted = "batch-started";  // data: batch id, u64be time
constexpr const char* kBatchCertified = "batch-certified";  // the same

const v1::OpenPlan* open_plan(const v1::HsmState& state, const Digest& plan_digest) {
  for (const v1::OpenPlan& plan : state.open_plans()) {
    if (equal(as_bytes(plan.plan_digest()), plan_digest.bytes())) return &plan;
  }
  return nullptr;
}

const v1::StoredTrailer* stored_trailer(const v1::OpenPlan& plan, const SealedPart& part) {
  const auto is_it = [&](const v1::StoredTrailer& trailer) {
    return equal(as_bytes(trailer.container_id()), part.container.bytes()) &&
           equal(as_bytes(trailer.digest()), part.digest.bytes());
  };
  if (part.waiting) {
    for (const v1::StoredTrailer& trailer : plan.waiting()) {
      if (trailer.index() == part.index->value && is_it(trailer)) return &trailer;
    }
    return nullptr;
  }
  if (!part.index)
    return plan.has_manifest() && is_it(plan.manifest()) ? &plan.manifest() : nullptr;
  for (const v1::StoredTrailer& trailer : plan.trailers()) {
    if (trailer.index() == part.index->value && is_it(trailer)) return &trailer;
  }
  return nullptr;
}

Action timed_action(const char* kind, const BatchId& batch, UtcMillis now) {
  Action action{kind, to_bytes(batch.bytes())};
  append_u64be(action.data, static_cast<std::uint64_t>(now.value));
  return action;
}

/// Without an outside CA everything is made in one go; under one, keys and requests first.
enum class Stage { AtOnce, Requests, Certificates };

Stage stage_of(const BatchRow& batch, const BatchPlan& plan) {
  if (!plan.outside) return Stage::AtOnce;
  return batch.state == BatchState::Certifying ? Stage::Certificates : Stage::Requests;
}

/// One run of one batch, from wherever the last run stopped.
class BatchRun {
 public:
  BatchRun(Context& context,
           const Plan& plan,
           const std::vector<Bytes>& approvals,
           const BatchRow& batch,
           std::vector<Digest> roots)
      : context_{context},
        plan_{plan},
        approvals_{approvals},
        batch_{batch},
        stage_{stage_of(batch, plan.batch())},
        store_{context.ledger()},
        outside_{context.ledger()},
        inventory_{context.ledger()},
        folder_{context.paths().batch(batch.id)},
        octets_{to_string(plan.octets)},
        roots_{std::move(roots)},
        just_checked_{roots_.size() == batch.segment_count} {}

  void run() {
    if (!just_checked_) read_list();
    make_private_directory(folder_);
    sync_directory(folder_.parent_path());
    check_room();
    start();
    if (stage_ == Stage::Certificates) hash_certificates();
    make_segments();
    if (stage_ != Stage::Requests) make_manifest();
    KF_CUT("front.batch.parts-sealed");
    store_.advance(batch_.id,
                   stage_ == Stage::Requests ? BatchEvent::AllRequested : BatchEvent::AllSealed,
                   context_.clock().now());
    KF_CUT("front.batch.sealed");
  }

 private:
  // Hashes the list as it is now, one segment at a time: 32 octets a segment stay.
  void read_list() {
    roots_.clear();
    for (std::uint32_t index = 0; index < batch_.segment_count; ++index) {
      std::vector<Digest> leaves;
      for (const auto& row : entries(index))
        leaves.push_back(se::entry_leaf_hash(se::canonical_entry(row.entry)));
      roots_.push_back(audit::tree_root(leaves));
    }
    const auto path = audit::subtree_path(roots_, 0, batch_.segment_size, batch_.se_count);
    if (!audit::verify_subtree(roots_.front(),
                               0,
                               batch_.segment_size,
                               batch_.se_count,
                               path,
                               plan_.batch().se_list_root)) {
      throw Error{Code::Refused,
                  "the inventory's rows are not those that the officers approved",
                  "a row was changed after approval: make a new plan, or put the ledger back"};
    }
  }

  [[nodiscard]] std::vector<InventoryStore::SegmentEntry> entries(std::uint32_t index) {
    const auto first = std::uint64_t{index} * batch_.segment_size;
    const std::uint64_t count = audit::block_length(index, batch_.segment_size, batch_.se_count);
    return inventory_.entries(
        batch_.list, static_cast<std::uint32_t>(first), static_cast<std::uint32_t>(count));
  }

  // Roots of the certificates' segments: the worker holds each against what officers approved.
  void hash_certificates() {
    for (std::uint32_t index = 0; index < batch_.segment_count; ++index) {
      std::vector<Digest> leaves;
      for (const Bytes& certificate : outside_.certificates(batch_.id, SegmentIndex{index}))
        leaves.push_back(audit::leaf_hash(certificate));
      certificate_roots_.push_back(audit::tree_root(leaves));
    }
  }

  [[nodiscard]] std::uint64_t records_done() {
    return stage_ == Stage::Requests ? outside_.counts(batch_.id).requests : store_.sealed_records(batch_.id);
  }

  void check_room() {
    const std::uint64_t left = batch_.se_count - records_done();
    const std::uint64_t needed = left * kRoomPerRecordBytes + kRoomToSpareBytes;
    std::error_code problem;
    const auto space = std::filesystem::space(folder_, problem);
    if (problem)
      throw system_error(
          Code::Storage, "ask for free room at " + folder_.string(), problem.value());
    if (space.available < needed) {
      throw Error{Code::Storage,
                  fmt::format("batch {}: {} records may take {} MiB, {} has {} MiB free",
                              batch_.id.hex(),
                              left,
                              needed >> 20,
                              context_.paths().home.string(),
                              space.available >> 20),
                  "make room, then run the same command again"};
    }
  }

  // Opens the plan at the gate unless it is open: that is what spends the plan's number and the
  // approvals.
  void start() {
    GateSession& gate = context_.gate();
    batch_ = *store_.find(batch_.id);  // opening the gate may have settled a start that was cut
    if (batch_.state != BatchState::Approved) return;
    // The home is locked: nothing can have come between check_plan and this.
    if (const auto clash = just_checked_ ? std::nullopt : store_.conflict(batch_)) {
      throw Error{Code::Refused,
                  "a key for this list exists or is being made: " + *clash,
                  "make a plan without these SEs, or finish that batch"};
    }
    v1::GateRequest request;
    request.mutable_run_plan()->set_plan(octets_);
    for (const Bytes& approval : approvals_) {
      if (!request.mutable_run_plan()->add_approvals()->ParseFromArray(
              approval.data(), static_cast<int>(approval.size()))) {
        throw Error{
            Code::Storage, "an approval in the ledger is damaged", "approve the plan again"};
      }
    }
    KF_CUT("front.batch.before-start");
    gate.call(std::move(request),
              plan_run_action(plan_.digest,
                              timed_action(kBatchStarted, batch_.id, context_.clock().now())));
    KF_CUT("front.batch.started");
  }

  // While one segment is committed at least one more is being made; segments become final in order.
  void make_segments() {
    std::uint32_t next = 0;
    const auto parts =
        stage_ == Stage::Requests ? outside_.segments(batch_.id) : store_.segments(batch_.id);
    for (const SealedPart& part : parts) {
      if (part.state == SealState::Sealed && part.index->value == next) ++next;
    }
    // Each worker has its next segment waiting before its last one is acknowledged.
    const std::size_t in_flight =
        std::clamp(2 * std::size_t{context_.gate().facts().workers()} + 1,
                   std::size_t{2},
                   std::max(std::size_t{2}, kRecordsInFlight / batch_.segment_size));
    std::deque<std::unique_ptr<PartMaker>> making;
    Progress progress{fmt::format("batch {}", batch_.id.hex().substr(0, 8)), batch_.se_count};
    std::uint64_t sealed = records_done();
    const std::uint64_t sealed_before = sealed;
    const auto began = std::chrono::steady_clock::now();
    progress.at(sealed);
    while (next < batch_.segment_count || !making.empty()) {
      while (next < batch_.segment_count && making.size() < in_flight)
        making.push_back(begin_segment(next++));
      while (!making.front()->prepared()) context_.gate().client().pump();
      const SealedPart part = stage_ == Stage::Requests
                                  ? making.front()->store_prepared(outside_, batch_.id)
                                  : making.front()->store_prepared(store_, batch_.id);
      commit(part);
      making.pop_front();
      sealed += part.count;
      progress.at(sealed);
    }
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
    if (sealed > sealed_before && took.count() > 0 && stage_ != Stage::Certificates) {
      const std::string rate = fmt::format("{:.1f}", static_cast<double>(sealed - sealed_before) / took.count());
      context_.ledger().set_value(kBatchRate, as_bytes(rate));
    }
  }

  std::unique_ptr<PartMaker> begin_segment(std::uint32_t index) {
    auto rows = entries(index);
    v1::GateRequest request;
    v1::SegmentRequest& segment = *request.mutable_segment();
    segment.set_plan(octets_);
    segment.set_index(index);
    for (const auto& row : rows) segment.add_entries(to_string(se::canonical_entry(row.entry)));
    for (const Digest& hash :
         audit::subtree_path(roots_, index, batch_.segment_size, batch_.se_count)) {
      segment.add_path(hash.str());
    }
    if (stage_ == Stage::Certificates) add_certificates(segment, index);
    const auto first = static_cast<std::uint32_t>(std::uint64_t{index} * batch_.segment_size);
    auto maker = std::make_unique<PartMaker>(
        folder_,
        SegmentIndex{index},
        RecordNo{first},
        std::move(rows),
        stage_ == Stage::Requests ? PartKind::Waiting : PartKind::Final);
    context_.gate().client().start(
        std::move(request),
        [part = maker.get()](const v1::GateReply& reply) { part->take(reply); });
    return maker;
  }

  void add_certificates(v1::SegmentRequest& segment, std::uint32_t index) {
    const PartFiles files = waiting_files(folder_, SegmentIndex{index});
    segment.set_waiting(to_string(read_file(files.container, kMaxWaitingBytes)));
    for (const Bytes& certificate : outside_.certificates(batch_.id, SegmentIndex{index}))
      segment.add_certificates(to_string(certificate));
    for (const Digest& hash :
         audit::subtree_path(certificate_roots_, index, batch_.segment_size, batch_.se_count)) {
      segment.add_certificates_path(hash.str());
    }
  }

  void commit(const SealedPart& part) {
    v1::GateRequest request;
    v1::SegmentCommit& commit = *request.mutable_segment_commit();
    commit.set_plan_digest(plan_.digest.str());
    commit.set_index(part.index ? part.index->value : 0);
    commit.set_manifest(!part.index);
    commit.set_first_leaf(part.first_leaf);
    KF_CUT("front.commit.before");
    const v1::GateReply reply = context_.gate().client().call(std::move(request));
    KF_CUT("front.commit.issued");
    if (!reply.has_issued())
      throw Error{Code::Channel, "the gate did not answer a commit with a trailer"};
    complete_part(context_,
                  batch_,
                  part,
                  as_bytes(reply.issued().trailer()),
                  as_bytes(reply.issued().certificates_key()),
                  reply.issued().checkpoint());
  }

  void make_manifest() {
    if (const auto there = store_.manifest(batch_.id); there && there->state == SealState::Sealed)
      return;
    v1::GateRequest request;
    v1::ManifestRequest& asked = *request.mutable_manifest();
    asked.set_plan(octets_);
    if (const auto log = ReceiptStore{context_.ledger()}.station_log(batch_.station)) {
      asked.set_station_log_generation(log->generation);
      asked.set_station_log_size(log->frontier.size());
      asked.set_station_log_root(log->frontier.root().str());
    }
    const ProductDeclaration declaration = declaration_of(context_, plan_.batch().device_template());
    asked.set_certification_declaration(to_string(declaration.cms));
    asked.set_declaration_signer(to_string(declaration.signer));
    PartMaker maker{folder_, std::nullopt, RecordNo{0}, {}};
    GateClient& client = context_.gate().client();
    client.start(std::move(request), [&maker](const v1::GateReply& reply) { maker.take(reply); });
    while (!maker.prepared()) client.pump();
    commit(maker.store_prepared(store_, batch_.id));
  }

  Context& context_;
  const Plan& plan_;
  const std::vector<Bytes>& approvals_;
  BatchRow batch_;
  Stage stage_;
  BatchStore store_;
  OutsideStore outside_;
  InventoryStore inventory_;
  std::filesystem::path folder_;
  std::string octets_;
  std::vector<Digest> roots_;
  std::vector<Digest> certificate_roots_;
  bool just_checked_;
};

// kf-state keeps trailers until the front end says that all of them are safe.
void close_at_gate(Context& context, const BatchRow& batch, bool waiting = false) {
  v1::GateRequest request;
  request.mutable_close_batch()->set_plan_digest(batch.plan_digest.str());
  request.mutable_close_batch()->set_waiting(waiting);
  KF_CUT("front.close.before");
  context.gate().call(std::move(request));
  KF_CUT("front.close.done");
}

void print_waiting(Context& context, const BatchRow& batch) {
  const OutsideStore::Counts counts = OutsideStore{context.ledger()}.counts(batch.id);
  const std::string id = batch.id.hex();
  const bool all = counts.certificates == counts.requests;
  context.out().result(
      "batch",
      Json{{"batch", id},
           {"state", std::string{state_name(batch.state)}},
           {"requests", counts.requests},
           {"certificates", counts.certificates}},
      {fmt::format("batch {}: {} keys wait for certificates of outside CA \"{}\", {} are in",
                   id, counts.requests, batch.authority, counts.certificates),
       all ? fmt::format("next: keyferry-appliance batch certify {}", id.substr(0, 8))
           : fmt::format("requests out: keyferry-appliance batch requests {} --to DIR; certificates "
                         "in: keyferry-appliance batch certificates {} --from PATH",
                         id.substr(0, 8), id.substr(0, 8))});
}

void print(Context& context, const BatchRow& batch) {
  if (batch.state == BatchState::Waiting) return print_waiting(context, batch);
  const std::uint64_t records = BatchStore{context.ledger()}.sealed_records(batch.id);
  const std::string folder = context.paths().batch(batch.id).string();
  const Json object{{"batch", batch.id.hex()},
                    {"state", std::string{state_name(batch.state)}},
                    {"issued", records},
                    {"segments", batch.segment_count},
                    {"target_count", batch.target_count},
                    {"folder", folder}};
  context.out().result("batch",
                       object,
                       {fmt::format("batch {}: {} keys in {} segments, {}",
                                    batch.id.hex(),
                                    records,
                                    batch.segment_count,
                                    state_name(batch.state)),
                        "files: " + folder});
}

}  // namespace

void settle_waiting(Context& context, const BatchRow& batch) {
  const v1::OpenPlan* open = open_plan(context.gate().state(), batch.plan_digest);
  if (open != nullptr && !open->requested()) close_at_gate(context, batch, true);
}

int run_batch(Context& context,
              const Plan& plan,
              const std::vector<Bytes>& approvals,
              std::vector<Digest> segment_roots) {
  BatchStore store{context.ledger()};
  auto batch = store.find(plan.batch_id());
  if (!batch || batch->state == BatchState::Planned) {
    throw Error{Code::Refused,
                fmt::format("batch {} is not approved", plan.batch_id().hex()),
                "`keyferry-appliance plan approve FILE`"};
  }
  const bool outside = plan.batch().outside;
  if (batch->state == BatchState::Approved || batch->state == BatchState::Generating) {
    BatchRun{context, plan, approvals, *batch, std::move(segment_roots)}.run();
    close_at_gate(context, *batch, outside);
  } else if (batch->state == BatchState::Waiting) {
    settle_waiting(context, *batch);
  } else if (batch->state == BatchState::Certifying) {
    BatchRun{context, plan, approvals, *batch, {}}.run();
    close_at_gate(context, *batch);
    remove_waiting_files(context, *batch);
  } else if (batch->state == BatchState::Sealed) {
    const v1::OpenPlan* open = open_plan(context.gate().state(), batch->plan_digest);
    if (open != nullptr && (open->trailers_size() > 0 || open->has_manifest()))
      close_at_gate(context, *batch);
    if (outside) remove_waiting_files(context, *batch);
  }
  print(context, *store.find(plan.batch_id()));
  return 0;
}

Action certified_action(const BatchId& batch, UtcMillis now) {
  return timed_action(kBatchCertified, batch, now);
}

void finish_prepared(Context& context, GateSession&, const v1::HsmState& state) {
  BatchStore store{context.ledger()};
  for (const BatchStore::PreparedPart& found : store.prepared()) {
    const BatchRow batch = *store.find(found.batch);
    const v1::OpenPlan* plan = open_plan(state, batch.plan_digest);
    const v1::StoredTrailer* trailer =
        plan == nullptr ? nullptr : stored_trailer(*plan, found.part);
    KF_CUT("front.finish-prepared");
    if (trailer == nullptr) {
      drop_part(context, batch, found.part);
    } else {
      complete_part(context,
                    batch,
                    found.part,
                    as_bytes(trailer->trailer()),
                    as_bytes(trailer->certificates_key()),
                    {});
    }
  }
}

void register_batch_actions(Ledger& ledger) {
  ledger.on_action(kBatchCertified, [](store::Database& database, ByteView data) {
    const auto batch = BatchId::from_bytes(data.first(BatchId::kSizeBytes));
    const UtcMillis now{static_cast<std::int64_t>(read_u64be(data.subspan(BatchId::kSizeBytes)))};
    BatchStore::advance_in(database, *batch, BatchEvent::Certified, now);
  });
  ledger.on_action(kBatchStarted, [](store::Database& database, ByteView data) {
    const auto batch = BatchId::from_bytes(data.first(BatchId::kSizeBytes));
    const UtcMillis now{static_cast<std::int64_t>(read_u64be(data.subspan(BatchId::kSizeBytes)))};
    BatchStore::advance_in(database, *batch, BatchEvent::Started, now);
  });
  register_export_actions(ledger);
}

}  // namespace keyferry::appliance
