// Segment = grant: an aligned part of the plan's SE list is made once. Prepared at the front end, then signed, then in
// kf-state, and only then out (design.md section 6). A cut before kf-state: nobody can open that body; a cut after: the
// same trailer is handed out again, octet for octet.
#include <fmt/format.h>

#include "appliance/gate/internal/gate_impl.h"
#include "appliance/gate/internal/revocation_operations.h"
#include "appliance/gate/operations.h"
#include "wrap/base/cut.h"

namespace keyferry::appliance {
namespace {

/// Segments and manifests between request and commit, beside those that the workers can have.
constexpr std::size_t kMaxInProgressBeside = 8;

std::string segment_name(const SegmentKey& key) {
  return key.index == kManifestIndex ? std::string{"the manifest"} : fmt::format("segment {}", key.index);
}

v1::LogLeaf summary_leaf(const SegmentKey& key, const BatchId& batch, const v1::SegmentMade& made, bool waiting) {
  v1::LogLeaf leaf;
  if (waiting) {
    leaf.mutable_segment_waiting()->set_batch_id(batch.str());
    leaf.mutable_segment_waiting()->set_index(key.index);
    leaf.mutable_segment_waiting()->set_container_id(made.container_id());
    leaf.mutable_segment_waiting()->set_digest(made.digest());
    leaf.mutable_segment_waiting()->set_count(made.count());
    leaf.mutable_segment_waiting()->set_plaintext(made.plaintext());
    return leaf;
  }
  if (key.index == kManifestIndex) {
    leaf.mutable_manifest_issued()->set_batch_id(batch.str());
    leaf.mutable_manifest_issued()->set_container_id(made.container_id());
    leaf.mutable_manifest_issued()->set_digest(made.digest());
    leaf.mutable_manifest_issued()->set_segments(made.count());
    return leaf;
  }
  leaf.mutable_segment_issued()->set_batch_id(batch.str());
  leaf.mutable_segment_issued()->set_index(key.index);
  leaf.mutable_segment_issued()->set_container_id(made.container_id());
  leaf.mutable_segment_issued()->set_digest(made.digest());
  leaf.mutable_segment_issued()->set_count(made.count());
  leaf.mutable_segment_issued()->set_plaintext(made.plaintext());
  return leaf;
}

std::uint32_t lowest_unsealed(const v1::OpenPlan& plan) {
  for (std::uint32_t index = 0; index < plan.segment_count(); ++index) {
    if (GateState::trailer(plan, index) == nullptr) return index;
  }
  return plan.segment_count();
}

void add_by_index(google::protobuf::RepeatedPtrField<v1::StoredTrailer>& trailers, const v1::StoredTrailer& stored) {
  *trailers.Add() = stored;
  for (int i = trailers.size() - 1; i > 0 && trailers[i - 1].index() > trailers[i].index(); --i) {
    trailers.SwapElements(i - 1, i);
  }
}

void store_trailer(v1::OpenPlan& plan, const v1::StoredTrailer& stored, bool manifest, bool waiting) {
  if (manifest) {
    *plan.mutable_manifest() = stored;
  } else if (waiting) {
    add_by_index(*plan.mutable_waiting(), stored);
  } else {
    add_by_index(*plan.mutable_trailers(), stored);
    plan.set_next_segment(lowest_unsealed(plan));
  }
}

/// What a batch under an outside CA is at: keys and requests, or, once officers have approved the certificates, segments.
void add_outside(const v1::OpenPlan& open, const v1::SegmentRequest& request, v1::MakeSegment& make) {
  make.set_outside(true);
  if (!open.requested()) return;
  const v1::StoredTrailer* waiting = GateState::waiting(open, request.index());
  if (waiting == nullptr) throw Error{Code::Internal, "kf-state names no waiting container for a segment"};
  make.set_waiting(request.waiting());
  make.set_waiting_digest(waiting->digest());
  *make.mutable_certificates() = request.certificates();
  *make.mutable_certificates_path() = request.certificates_path();
  make.set_certificates_root(open.certificates_root());
}

/// Its container was made already, or it cannot be made yet.
const v1::StoredTrailer* stored_of(const v1::OpenPlan& open, const v1::SegmentRequest& request, const BatchId& batch) {
  if (!open.outside()) return GateState::trailer(open, request.index());
  if (!open.requested()) return GateState::waiting(open, request.index());
  if (open.certificates_root().empty()) {
    throw Error{Code::Refused,
                fmt::format("batch {} waits for its outside CA's certificates: nothing of it is opened before officers "
                            "approve them",
                            batch.hex()),
                "keyferry-appliance batch certify ID"};
  }
  const v1::StoredTrailer* stored = GateState::trailer(open, request.index());
  if (stored == nullptr && request.waiting().empty()) {
    throw Error{Code::Refused, fmt::format("the waiting container of segment {} was not given", request.index())};
  }
  return stored;
}

/// May what was made still be signed? Reasons: segment-issued (kf-state has this one already), certificates-replaced.
std::optional<Refusal> check_wanted(const v1::OpenPlan& open, const InProgress& made, const v1::SegmentCommit& asked) {
  const bool issued = asked.manifest() ? open.has_manifest()
                      : made.waiting   ? open.requested() || GateState::waiting(open, asked.index()) != nullptr
                                       : GateState::trailer(open, asked.index()) != nullptr;
  if (issued) return Refusal{"segment-issued", "it was issued before", "give the same command again"};
  if (made.certificates_root == open.certificates_root() || asked.manifest()) return std::nullopt;
  return Refusal{"certificates-replaced", "officers have approved other certificates since it was made",
                 "give the same command again: it is made with those"};
}

}  // namespace

v1::OpenPlan& Gate::Impl::open_batch(const Plan& plan) {
  v1::OpenPlan* open = state->open_plan(plan.digest);
  if (plan.operation != Operation::Batch || open == nullptr) {
    throw Error{Code::Refused, "no approved batch with this plan is open", "run it first: keyferry-appliance plan run FILE"};
  }
  if (open->closed()) throw Error{Code::Refused, "this batch was closed by officers: nothing more is made for it"};
  if (open->sealed()) throw Error{Code::Refused, "this batch is sealed: nothing more is made for it"};
  if (const auto refusal = check_not_suspended(*open, plan.batch_id())) throw to_error(*refusal);
  return *open;
}

void Gate::Impl::reply_issued(FrontLink& front, std::uint64_t id, const v1::StoredTrailer& stored) {
  v1::GateReply reply;
  v1::SegmentIssued& issued = *reply.mutable_issued();
  issued.set_trailer(stored.trailer());
  issued.set_certificates_key(stored.certificates_key());
  issued.set_container_id(stored.container_id());
  issued.set_digest(stored.digest());
  issued.set_first_leaf(stored.first_leaf());
  issued.set_checkpoint(state->hsm.checkpoint());
  front.reply(id, std::move(reply));
}

asio::awaitable<void> Gate::Impl::segment(FrontLink& front, std::uint64_t id, const v1::SegmentRequest& request) {
  const Plan plan = parsed_plan(request.plan());
  const v1::OpenPlan& open = open_batch(plan);
  if (request.index() >= open.segment_count()) {
    throw Error{Code::Refused, fmt::format("the plan has {} segments, segment {} was asked for", open.segment_count(), request.index())};
  }
  if (const v1::StoredTrailer* stored = stored_of(open, request, plan.batch_id())) co_return reply_issued(front, id, *stored);
  const BatchPlan& batch = plan.batch();
  const v1::Station* station = state->station(batch.station);
  const v1::CertificateAuthority* authority = state->authority(batch.certificate_authority);
  const bool in_force = station != nullptr && !station->retired() && authority != nullptr && !authority->retired() &&
                        !authority->pending() && authority->outside() == open.outside() &&
                        !check_not_revoked(*authority, state->registry);
  if (!in_force) {
    throw Error{Code::Refused, "the plan's station or certificate authority is not in force any more"};
  }
  v1::WorkerRequest make_request;
  v1::MakeSegment& make_segment = *make_request.mutable_make_segment();
  make_segment.set_plan(request.plan());
  make_segment.set_index(request.index());
  *make_segment.mutable_entries() = request.entries();
  *make_segment.mutable_path() = request.path();
  make_segment.set_station_agreement_key(station->agreement_key());
  make_segment.set_station_id(station->station_id());
  make_segment.set_ca_certificate(authority->certificate());
  *make_segment.mutable_ca_issuers() = authority->issuers();
  make_segment.set_now_ms(clock.now().value);
  *make_segment.mutable_transport_masters() = state->registry.transport_masters();
  *make_segment.mutable_vendor_keys() = state->registry.vendor_keys();
  if (open.outside()) add_outside(open, request, make_segment);
  const SegmentKey key{plan.digest, request.index()};
  if (in_progress.contains(key)) throw Error{Code::Refused, segment_name(key) + " is being made already"};
  if (in_progress.size() >= kMaxInProgressBeside + 3 * arguments.settings.workers) throw Error{Code::Refused, "too many segments are under way: commit some first"};
  in_progress[key].front = &front;  // before the first wait: two connections cannot both get it
  in_progress[key].waiting = open.outside() && !open.requested();
  in_progress[key].certificates_root = open.certificates_root();
  std::optional<Error> failed;
  try {
    WorkerLink* worker = co_await key_worker(static_cast<std::uint64_t>(request.entries_size()));
    co_await make(front, id, key, worker, std::move(make_request));
  } catch (const Error& error) {
    failed = error;
  }
  if (failed) {
    in_progress.erase(key);
    throw *failed;
  }
}

asio::awaitable<void> Gate::Impl::manifest(FrontLink& front, std::uint64_t id, const v1::ManifestRequest& request) {
  const Plan plan = parsed_plan(request.plan());
  const v1::OpenPlan& open = open_batch(plan);
  if (open.has_manifest()) co_return reply_issued(front, id, open.manifest());
  const BatchPlan& batch = plan.batch();
  const v1::Station* station = state->station(batch.station);
  const v1::CertificateAuthority* authority = state->authority(batch.certificate_authority);
  if (station == nullptr || authority == nullptr) throw Error{Code::Refused, "the plan's station or authority is unknown"};
  v1::WorkerRequest make_request;
  v1::MakeManifest& make_manifest = *make_request.mutable_make_manifest();
  make_manifest.set_plan(request.plan());
  *make_manifest.mutable_trailers() = open.trailers();
  make_manifest.set_station_agreement_key(station->agreement_key());
  make_manifest.set_station_id(station->station_id());
  make_manifest.set_appliance_id(appliance->str());
  make_manifest.add_anchors(authority->issuers().empty() ? authority->certificate() : *authority->issuers().rbegin());
  make_manifest.set_checkpoint(state->hsm.checkpoint());
  make_manifest.set_station_log_generation(request.station_log_generation());
  make_manifest.set_station_log_size(request.station_log_size());
  make_manifest.set_station_log_root(request.station_log_root());
  make_manifest.set_now_ms(clock.now().value);
  make_manifest.set_certification_declaration(request.certification_declaration());
  make_manifest.set_declaration_signer(request.declaration_signer());
  const SegmentKey key{plan.digest, kManifestIndex};
  if (in_progress.contains(key)) throw Error{Code::Refused, "the manifest is being made already"};
  in_progress[key].front = &front;
  std::optional<Error> failed;
  try {
    WorkerLink* worker = co_await key_worker(0);
    co_await make(front, id, key, worker, std::move(make_request));
  } catch (const Error& error) {
    failed = error;
  }
  if (failed) {
    in_progress.erase(key);
    throw *failed;
  }
}

asio::awaitable<void> Gate::Impl::make(FrontLink& front, std::uint64_t id, SegmentKey key, WorkerLink* worker,
                                       v1::WorkerRequest request) {
  const auto batch = *BatchId::from_bytes(key.plan.bytes().first(BatchId::kSizeBytes));
  std::vector<Digest> hashes;
  std::uint64_t to_come = static_cast<std::uint64_t>(request.make_segment().entries_size());
  const auto on_piece = [this, &front, &hashes, &to_come, worker, id](const v1::WorkerReply& piece) -> asio::awaitable<void> {
    v1::GateReply reply;
    if (piece.has_body()) *reply.mutable_body() = piece.body();
    if (piece.has_sealed_certificates()) *reply.mutable_sealed_certificates() = piece.sealed_certificates();
    if (piece.has_records()) {
      for (const v1::IssuedRecord& record : piece.records().records()) {
        hashes.push_back(audit::leaf_hash(as_bytes(record.leaf())));
      }
      *reply.mutable_records() = piece.records();
      const auto came = std::min(to_come, static_cast<std::uint64_t>(piece.records().records_size()));
      to_come -= came;
      arrived(*worker, came);
    }
    co_await front.reply_piece(id, std::move(reply));
  };
  ++worker->segments_pending;
  std::optional<Error> failed;
  v1::WorkerReply reply;
  try {
    reply = co_await worker->call(std::move(request), on_piece);
  } catch (const Error& error) {
    failed = error;
  }
  arrived(*worker, to_come);
  if (failed) {
    --worker->segments_pending;
    throw *failed;
  }
  const v1::SegmentMade& made = reply.segment_made();
  InProgress& one = in_progress.at(key);
  const Bytes summary = leaf_octets(summary_leaf(key, batch, made, one.waiting), v1::LEAF_ORIGIN_DONE, leaf_now());
  hashes.push_back(audit::leaf_hash(summary));

  one.worker = worker;
  one.container = *ContainerId::from_bytes(as_bytes(made.container_id()));
  one.stored.set_index(key.index);
  one.stored.set_container_id(made.container_id());
  one.stored.set_digest(made.digest());
  one.stored.set_count(made.count());
  one.stored.set_leaf_count(static_cast<std::uint32_t>(hashes.size()));
  one.stored.set_first_se_serial(made.first_se_serial());
  one.stored.set_last_se_serial(made.last_se_serial());
  one.leaf_hashes = std::move(hashes);
  one.prepared = true;
  if (front.closed) co_return co_await drop(key);
  v1::GateReply answer;
  v1::SegmentPrepared& prepared = *answer.mutable_prepared();
  prepared.set_container_id(made.container_id());
  prepared.set_digest(made.digest());
  prepared.set_chunk_count(made.chunk_count());
  prepared.set_summary_leaf(to_string(summary));
  front.reply(id, std::move(answer));
}

asio::awaitable<void> Gate::Impl::commit_segment(FrontLink& front, std::uint64_t id, const v1::SegmentCommit& request) {
  const auto guard = co_await lock_opened(front);
  const auto digest = Digest::from_bytes(as_bytes(request.plan_digest()));
  const SegmentKey key{digest.value_or(Digest{}), request.manifest() ? kManifestIndex : request.index()};
  const auto found = in_progress.find(key);
  const bool here = digest && found != in_progress.end() && found->second.prepared && !found->second.committing &&
                    found->second.front == &front;
  if (!here) throw Error{Code::Refused, segment_name(key) + " was not prepared on this connection"};
  if (request.first_leaf() != state->hsm.log_size()) {
    throw Error{Code::Refused, fmt::format("the log stands at {}, the ledger put {} at {}", state->hsm.log_size(),
                                           segment_name(key), request.first_leaf()),
                "give the same command again"};
  }
  // Suspended since it was asked for: it stays unsigned, and who made it abandons it.
  const v1::OpenPlan* still_open = state->open_plan(key.plan);
  if (still_open != nullptr) {
    const auto batch = *BatchId::from_bytes(key.plan.bytes().first(BatchId::kSizeBytes));
    if (const auto refusal = check_not_suspended(*still_open, batch)) throw to_error(*refusal);
    if (const auto refusal = check_wanted(*still_open, found->second, request)) throw to_error(*refusal);
  }
  // Its place stays taken until kf-state has it: a request for the same segment finds the one or the other (I7).
  found->second.committing = true;
  std::optional<Error> failed;
  try {
    co_await issue(front, id, key, InProgress{found->second});
  } catch (const Error& error) {
    failed = error;
  }
  in_progress.erase(key);
  if (failed) throw *failed;
}

/// With the mutex. Signing is issuing: nothing of it is out before kf-state has the trailer.
asio::awaitable<void> Gate::Impl::issue(FrontLink& front, std::uint64_t id, SegmentKey key, InProgress one) {
  v1::WorkerRequest sign;
  sign.mutable_sign_trailer()->set_container_id(one.container.str());
  KF_CUT("gate.segment.before-sign");
  const v1::WorkerReply reply = co_await one.worker->call(std::move(sign));
  --one.worker->segments_pending;
  KF_CUT("gate.segment.signed");
  one.stored.set_trailer(reply.trailer_signed().trailer());
  one.stored.set_certificates_key(reply.trailer_signed().certificates_key());
  one.stored.set_first_leaf(state->hsm.log_size());
  GateState next = *state;
  v1::OpenPlan* open = next.open_plan(key.plan);
  if (open == nullptr || open->sealed() || open->closed()) throw Error{Code::Refused, "the plan is not open any more"};
  store_trailer(*open, one.stored, key.index == kManifestIndex, one.waiting);
  co_await write_state(std::move(next), one.leaf_hashes);
  KF_CUT("gate.segment.written");
  reply_issued(front, id, one.stored);
}

asio::awaitable<void> Gate::Impl::abandon_segment(FrontLink& front, std::uint64_t id, const v1::SegmentAbandon& request) {
  const auto digest = Digest::from_bytes(as_bytes(request.plan_digest()));
  const SegmentKey key{digest.value_or(Digest{}), request.manifest() ? kManifestIndex : request.index()};
  const auto found = in_progress.find(key);
  if (found == in_progress.end() || !found->second.prepared || found->second.committing ||
      found->second.front != &front) {
    throw Error{Code::Refused, segment_name(key) + " was not prepared on this connection"};
  }
  co_await drop(key);
  need_open(front);  // it may rest by now
  v1::GateReply reply;
  fill_done(*reply.mutable_done());
  front.reply(id, std::move(reply));
}

/// With the mutex: no worker is ended while it is told.
asio::awaitable<void> Gate::Impl::drop(SegmentKey key) {
  const auto guard = co_await mutex.lock();
  const auto found = in_progress.find(key);
  if (found == in_progress.end()) co_return;
  const InProgress one = std::move(found->second);
  in_progress.erase(found);
  v1::WorkerRequest request;
  request.mutable_drop_segment()->set_container_id(one.container.str());
  --one.worker->segments_pending;
  co_await one.worker->call(std::move(request));
}

}  // namespace keyferry::appliance
