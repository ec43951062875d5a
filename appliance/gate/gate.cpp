#include "appliance/gate/gate.h"

#include <fmt/format.h>

#include <boost/asio/co_spawn.hpp>

#include "appliance/gate/clock_rules.h"
#include "appliance/gate/internal/gate_impl.h"
#include "appliance/gate/request_check.h"
#include "appliance/gate/seccomp.h"
#include "wrap/base/cut.h"
#include "wrap/base/text.h"
#include "wrap/crypto/hash.h"

namespace keyferry::appliance {
namespace {

constexpr std::size_t kMaxRequestsUnderWay = 16;
constexpr unsigned kMaxRefusalLeaves = 16;

bool is_refusal(Code code) { return code == Code::Refused || code == Code::Rollback || code == Code::Quorum; }

std::string request_name(const v1::GateRequest& request) {
  using Case = v1::GateRequest::RequestCase;
  switch (request.request_case()) {
    case Case::kOpen: return "open";
    case Case::kInitialize: return "initialize";
    case Case::kRunPlan: return "run-plan";
    case Case::kSegment: return "segment";
    case Case::kSegmentCommit: return "segment-commit";
    case Case::kSegmentAbandon: return "segment-abandon";
    case Case::kManifest: return "manifest";
    case Case::kExportToken: return "export";
    case Case::kInbox: return "inbox";
    case Case::kReport: return "report";
    case Case::kStored: return "stored";
    case Case::kCloseBatch: return "close-batch";
    case Case::kLeafHashes: return "leaf-hashes";
    case Case::kCheckDelivered: return "check-delivered";
    case Case::kInventory: return "inventory";
    case Case::kBackup: return "backup";
    case Case::kRestore: return "restore";
    case Case::kAdopt: return "adopt";
    case Case::kProbe: return "probe";
    case Case::kRest: return "rest";
    case Case::kLock: return "lock";
    case Case::kRevocations: return "revocations";
    case Case::kFinishDestroy: return "finish-destroy";
    case Case::REQUEST_NOT_SET: return "unknown";
  }
  return "unknown";
}

v1::LogLeaf refused_leaf(v1::RefusedLeaf refused) {
  v1::LogLeaf leaf;
  *leaf.mutable_refused() = std::move(refused);
  return leaf;
}

/// A request, as long as it is answered; its end is when idleness begins.
class UnderWay {
 public:
  UnderWay(std::size_t& count, std::chrono::steady_clock::time_point& last) : count_{count}, last_{last} { ++count_; }

  ~UnderWay() {
    --count_;
    last_ = std::chrono::steady_clock::now();
  }

  UnderWay(const UnderWay&) = delete;
  UnderWay& operator=(const UnderWay&) = delete;

 private:
  std::size_t& count_;
  std::chrono::steady_clock::time_point& last_;
};

}  // namespace

std::vector<Bytes> one_leaf(v1::LogLeaf leaf, UtcMillis now) {
  std::vector<Bytes> leaves;
  leaves.push_back(leaf_octets(std::move(leaf), v1::LEAF_ORIGIN_DONE, now));
  return leaves;
}

token::SignedBytes signed_from_message(const v1::SignedBytes& message) {
  Bytes octets(message.ByteSizeLong());
  message.SerializeToArray(octets.data(), static_cast<int>(octets.size()));
  auto parsed = token::parse_signed_bytes(octets);
  if (const auto* refusal = std::get_if<Refusal>(&parsed)) throw to_error(*refusal);
  return std::get<token::SignedBytes>(std::move(parsed));
}

Gate::Impl::Impl(asio::io_context& io_context, GateArguments gate_arguments, const Clock& system_clock)
    : context{io_context}, arguments{std::move(gate_arguments)}, clock{system_clock}, mutex{io_context.get_executor()},
      workers_mutex{io_context.get_executor()},
      worker_nearly_done{io_context.get_executor(), asio::steady_timer::time_point::max()} {
  refuse_test_hooks(arguments.settings.kind);
  gap = check_air_gap(look_around(arguments.pin), arguments.settings, arguments.insecure_allow,
                      read_permits(arguments.settings_file), clock.now());
  if (!gap.problems.empty()) throw unfit_machine(gap, arguments.settings.kind);
  if (const auto missing = filter_missing(arguments.settings.filter)) {
    if (arguments.settings.kind == Environment::Production) throw Error{Code::Refused, "not in production: " + *missing};
    gap.overridden.push_back(*missing);
  }
}

asio::awaitable<void> Gate::Impl::serve(LocalSocket socket) {
  const auto front = std::make_shared<FrontLink>(std::move(socket));
  const auto under_way = std::make_shared<std::size_t>(0);
  for (;;) {
    std::optional<v1::GateRequest> request;
    try {
      request = co_await front->next_request();
    } catch (const Error&) {  // the border to a front end: what is no request ends its connection, nothing else
      request.reset();
    }
    if (!request || broken || *under_way >= kMaxRequestsUnderWay) break;
    ++*under_way;
    asio::co_spawn(context, handle(front, std::move(*request)), [under_way](std::exception_ptr failed) {
      --*under_way;
      if (failed) std::rethrow_exception(failed);  // handle() answers for everything but bugs
    });
  }
  front->end();  // whoever holds the mutex and waits for its answer lets go
  std::vector<SegmentKey> orphans;
  for (const auto& [key, one] : in_progress) {
    if (one.front == front.get() && one.prepared) orphans.push_back(key);
  }
  for (const SegmentKey& key : orphans) co_await drop(key);
}

/// The border of a request: whatever went wrong is its answer, and refusals are leaves.
asio::awaitable<void> Gate::Impl::handle(std::shared_ptr<FrontLink> front, v1::GateRequest request) {
  std::optional<Error> failed;
  const UnderWay under_way{requests_under_way, last_request};
  try {
    co_await answer(*front, request);
  } catch (const Error& error) {
    failed = error;
  }
  if (!failed) co_return;
  if (state_worker && !state_worker->alive()) broken = true;
  if (is_refusal(failed->code()) && front->opened && state && !broken) {
    std::optional<Error> not_logged;
    try {
      co_await log_refusal(*front, request.id(), request_name(request), *failed);
    } catch (const Error& error) {
      not_logged = error;
    }
    if (not_logged && not_logged->code() == Code::Channel) co_return;
  }
  front->reply_error(request.id(), *failed);
}

asio::awaitable<void> Gate::Impl::log_refusal(FrontLink& front, std::uint64_t id, std::string what, const Error& error) {
  const auto guard = co_await mutex.lock();
  if (!state) co_return;  // it rests by now: nobody is logged in who could sign a leaf
  const std::int64_t now = leaf_now().value;
  v1::RefusedLeaf refused;
  refused.set_what(what);
  refused.set_reason(std::string{code_name(error.code())});
  refused.set_subject(printable(error.what()).substr(0, 128));
  refused.set_sample_sha256(crypto::sha256(as_bytes(error.what())).str());
  refused.set_count(1);
  refused.set_first_ms(now);
  refused.set_last_ms(now);
  if (front.refusals_logged >= kMaxRefusalLeaves) {
    // Nobody can flood the log: the rest of a session's refusals is one leaf, written with the next act.
    v1::RefusedLeaf& rest = front.refusals_left_over;
    if (rest.count() == 0) {
      rest = refused;
    } else {
      rest.set_count(rest.count() + 1);
      rest.set_last_ms(now);
    }
    co_return;
  }
  ++front.refusals_logged;
  co_await commit(front, id, one_leaf(refused_leaf(refused), leaf_now()), nullptr, std::nullopt);
}

asio::awaitable<AsyncMutex::Guard> Gate::Impl::lock_opened(const FrontLink& front) {
  auto guard = co_await mutex.lock();
  need_open(front);
  co_return guard;
}

void Gate::Impl::need_open(const FrontLink& front) const {
  if (!front.opened || !state) {
    throw Error{Code::Refused, "the appliance is not initialised, or this connection has not opened it",
                "run keyferry-appliance init first"};
  }
}

UtcMillis Gate::Impl::leaf_now() const {
  if (clock_was_set) return clock.now();
  return state ? leaf_time(clock.now(), UtcMillis{state->hsm.last_leaf_ms()}) : clock.now();
}

/// All that signs waits for a right clock, but for the plan that sets it.
void Gate::Impl::refuse_wrong_clock(const v1::GateRequest& request) const {
  const auto refusal = check_clock(clock.now(), UtcMillis{state->hsm.last_leaf_ms()});
  if (!refusal || request.has_segment_abandon()) return;
  // What officers approved before is finished, with the time of the last leaf.
  if (request.has_revocations() || request.has_finish_destroy()) return;
  if (request.has_run_plan() && parsed_plan(request.run_plan().plan()).operation == Operation::ClockSet) return;
  throw to_error(*refusal);
}

Plan Gate::Impl::parsed_plan(const std::string& octets) const {
  auto parsed = parse_plan(as_bytes(octets));
  if (const auto* refusal = std::get_if<Refusal>(&parsed)) throw to_error(*refusal);
  return std::get<Plan>(std::move(parsed));
}

void Gate::Impl::fill_done(v1::Done& done) const {
  done.set_checkpoint(state->hsm.checkpoint());
  done.set_state(state->hsm.SerializeAsString());
}

asio::awaitable<void> Gate::Impl::answer(FrontLink& front, const v1::GateRequest& request) {
  using Case = v1::GateRequest::RequestCase;
  const std::uint64_t id = request.id();
  if (locked) {
    throw Error{Code::Refused, "the HSM login has ended: the gate was locked", "start the gate anew, with its PIN or custodians"};
  }
  if (broken) throw Error{Code::Channel, "the HSM worker has ended: start again"};
  if (const auto refusal = check_request(request)) throw to_error(*refusal);
  if (request.request_case() == Case::kOpen) co_return co_await open(front, id, request.open());
  if (request.request_case() == Case::kInitialize) co_return co_await initialize(front, id, request.initialize());
  if (request.request_case() == Case::kRest) co_return co_await rest(front, id);
  if (request.request_case() == Case::kRestore) co_return co_await restore(front, id, request.restore());
  if (request.request_case() == Case::kLock) {
    v1::GateReply done;
    done.mutable_done();
    lock_now();  // whatever else is under way: it ends where a cut would have ended it
    co_await front.reply_last(id, std::move(done));
    co_return;
  }
  if (front.backup_only) throw Error{Code::Refused, "this connection was for a backup or a restore and does nothing else"};
  if (request.request_case() == Case::kAdopt) co_return co_await adopt(front, id, request.adopt());
  if (request.request_case() == Case::kProbe) co_return co_await probe(front, id, request.probe());
  if (request.request_case() == Case::kInventory) co_return co_await inventory(front, id);
  need_open(front);
  refuse_wrong_clock(request);
  switch (request.request_case()) {
    case Case::kRunPlan: co_return co_await run_plan(front, id, request.run_plan());
    case Case::kSegment: co_return co_await segment(front, id, request.segment());
    case Case::kSegmentCommit: co_return co_await commit_segment(front, id, request.segment_commit());
    case Case::kSegmentAbandon: co_return co_await abandon_segment(front, id, request.segment_abandon());
    case Case::kManifest: co_return co_await manifest(front, id, request.manifest());
    case Case::kExportToken: co_return co_await export_token(front, id, request.export_token());
    case Case::kInbox: co_return co_await open_inbox(front, id, request.inbox());
    case Case::kReport: co_return co_await report(front, id, request.report());
    case Case::kCloseBatch: co_return co_await close_batch(front, id, request.close_batch());
    case Case::kRevocations: co_return co_await revocations(front, id);
    case Case::kFinishDestroy: co_return co_await finish_destroy(front, id, request.finish_destroy());
    case Case::kCheckDelivered: co_return co_await check_delivered(front, id, request.check_delivered());
    case Case::kBackup: co_return co_await backup(front, id, request.backup());
    case Case::kRestore:
    case Case::kAdopt:
    case Case::kProbe:
    case Case::kRest:
    case Case::kInventory:
    case Case::kOpen:
    case Case::kInitialize:
    case Case::kStored:
    case Case::kLeafHashes:
    case Case::kLock:
    case Case::REQUEST_NOT_SET:
      break;
  }
  throw Error{Code::Refused, "a request that this gate does not know"};
}

/// A stick is mounted: nobody is logged in meanwhile. PIN and settings stay; `open` begins anew.
asio::awaitable<void> Gate::Impl::rest(FrontLink& front, std::uint64_t id) {
  const auto guard = co_await mutex.lock();
  if (!in_progress.empty()) {
    throw Error{Code::Refused, "a batch is being made: the HSM stays logged in", "let it finish, or end the other command first"};
  }
  state_worker.reset();  // first of all: from here on need_open() refuses, and no key worker is started any more
  state.reset();
  ledger_agrees = false;
  co_await end_key_workers();
  v1::GateReply reply;
  reply.mutable_done();
  front.reply(id, std::move(reply));
}

asio::awaitable<void> Gate::Impl::commit(FrontLink& front, std::uint64_t id, std::vector<Bytes> leaves,
                                         std::function<void(GateState&)> change, std::optional<v1::Registry> registry,
                                         ByteView made) {
  if (front.refusals_left_over.count() != 0) {
    leaves.insert(leaves.begin(), leaf_octets(refused_leaf(front.refusals_left_over), v1::LEAF_ORIGIN_DONE, leaf_now()));
  }
  GateState next = *state;
  if (registry) {
    next.registry = *registry;
    next.registry_octets = to_bytes(as_bytes(registry->SerializeAsString()));
    if (next.registry_octets.size() > kMaxRegistryBytes) {
      throw Error{Code::Refused,
                  fmt::format("the registry would have {} octets, at most {} can be opened again",
                              next.registry_octets.size(), kMaxRegistryBytes),
                  "use fewer or shorter CA chains"};
    }
    next.hsm.set_registry_digest(crypto::sha256(next.registry_octets).str());
    next.hsm.set_registry_epoch(registry->epoch());
    next.hsm.set_policy_epoch(registry->policy().epoch());
  }
  if (change) change(next);
  KF_CUT("gate.commit.before-store");
  const ByteView registry_octets = registry ? ByteView{next.registry_octets} : ByteView{};
  co_await front.store(id, state->hsm.log_size(), leaves, registry_octets, made);
  KF_CUT("gate.commit.stored");
  std::vector<Digest> hashes;
  hashes.reserve(leaves.size());
  for (const Bytes& leaf : leaves) hashes.push_back(audit::leaf_hash(leaf));
  co_await write_state(std::move(next), hashes);
  front.refusals_left_over.Clear();
  KF_CUT("gate.commit.written");
}

asio::awaitable<void> Gate::Impl::write_state(GateState next, const std::vector<Digest>& leaf_hashes) {
  next.frontier.append(leaf_hashes);
  next.hsm.set_log_size(next.frontier.size());
  next.hsm.clear_frontier();
  for (const Digest& hash : next.frontier.hashes()) next.hsm.add_frontier(hash.str());
  next.hsm.set_last_leaf_ms(leaf_now().value);
  v1::WorkerRequest request;
  request.mutable_write_state()->set_expected_counter(state->hsm.counter());
  *request.mutable_write_state()->mutable_state() = next.hsm;
  const v1::WorkerReply reply = co_await state_worker->call(std::move(request));
  if (!next.hsm.ParseFromString(reply.state_written().state())) {
    throw Error{Code::Internal, "the state worker answered with what is no state"};
  }
  state = std::move(next);
}

void Gate::Impl::lock_now() {
  locked = true;
  for (auto* workers : {&key_workers, &worn_workers}) {
    for (const auto& worker : *workers) worker->log_out();
  }
  if (state_worker) state_worker->log_out();
  arguments.pin = SecretBytes{};
  arguments.so_pin.reset();
  arguments.new_pins.reset();
  arguments.imported_key.reset();
  arguments.backup.reset();
}

Gate::Gate(asio::io_context& context, GateArguments arguments, const Clock& clock)
    : impl_{std::make_unique<Impl>(context, std::move(arguments), clock)} {}

Gate::~Gate() = default;

asio::awaitable<void> Gate::serve(LocalSocket socket) { co_await impl_->serve(std::move(socket)); }

bool Gate::broken() const { return impl_->broken; }

void Gate::lock() { impl_->lock_now(); }

bool Gate::locked() const { return impl_->locked; }

std::chrono::steady_clock::duration Gate::idle() const {
  if (impl_->requests_under_way != 0) return {};
  return std::chrono::steady_clock::now() - impl_->last_request;
}

}  // namespace keyferry::appliance
