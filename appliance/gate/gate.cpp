#include "appliance/gate/gate.h"

#include <fmt/format.h>

#include <boost/asio/co_spawn.hpp>

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
constexpr std::uint64_t kLeavesPerQuestion = 65'536;

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
    case Case::REQUEST_NOT_SET: return "unknown";
  }
  return "unknown";
}

v1::LogLeaf refused_leaf(v1::RefusedLeaf refused) {
  v1::LogLeaf leaf;
  *leaf.mutable_refused() = std::move(refused);
  return leaf;
}

v1::LogLeaf key_leaf(const v1::HsmObject& key) {
  v1::LogLeaf leaf;
  v1::KeyMadeLeaf& made = *leaf.mutable_key_made();
  made.set_role(key.role());
  made.set_label(key.label());
  made.set_public_key(key.public_key());
  made.set_check_value(key.check_value());
  made.set_origin("generated");
  made.set_attributes(key.attributes());
  return leaf;
}

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
      workers_mutex{io_context.get_executor()} {
  if (arguments.settings.kind == Environment::Production && kTestHooks) {
    throw Error{Code::Refused, "this program was built with test hooks and refuses a production store",
                "use the release build: cmake --preset release"};
  }
  gap = check_air_gap(look_around(arguments.pin), arguments.settings, arguments.insecure_allow);
  if (!gap.problems.empty()) {
    throw Error{Code::Refused,
                fmt::format("this machine is no place for an HSM login: {}", fmt::join(gap.problems, "; ")),
                "mend it, or for development and rehearsal name it: --insecure-allow network,swap,memlock"};
  }
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
  front->closed = true;
  std::vector<SegmentKey> orphans;
  for (const auto& [key, one] : in_progress) {
    if (one.front == front.get() && one.prepared) orphans.push_back(key);
  }
  for (const SegmentKey& key : orphans) co_await drop(key);
}

/// The border of a request: whatever went wrong is its answer, and refusals are leaves.
asio::awaitable<void> Gate::Impl::handle(std::shared_ptr<FrontLink> front, v1::GateRequest request) {
  std::optional<Error> failed;
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
  const std::int64_t now = clock.now().value;
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
  co_await commit(front, id, one_leaf(refused_leaf(refused), clock.now()), nullptr, std::nullopt);
}

void Gate::Impl::need_open(const FrontLink& front) const {
  if (!front.opened || !state) {
    throw Error{Code::Refused, "the appliance is not initialised, or this connection has not opened it",
                "run keyferry-appliance init first"};
  }
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
  if (broken) throw Error{Code::Channel, "the HSM worker has ended: start again"};
  if (const auto refusal = check_request(request)) throw to_error(*refusal);
  if (request.request_case() == Case::kOpen) co_return co_await open(front, id, request.open());
  if (request.request_case() == Case::kInitialize) co_return co_await initialize(front, id, request.initialize());
  if (request.request_case() == Case::kRestore) co_return co_await restore(front, id, request.restore());
  if (front.backup_only) throw Error{Code::Refused, "this connection was for a backup or a restore and does nothing else"};
  if (request.request_case() == Case::kAdopt) co_return co_await adopt(front, id, request.adopt());
  if (request.request_case() == Case::kProbe) co_return co_await probe(front, id);
  if (request.request_case() == Case::kInventory) co_return co_await inventory(front, id);
  need_open(front);
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
    case Case::kCheckDelivered: co_return co_await check_delivered(front, id, request.check_delivered());
    case Case::kBackup: co_return co_await backup(front, id, request.backup());
    case Case::kRestore:
    case Case::kAdopt:
    case Case::kProbe:
    case Case::kInventory:
    case Case::kOpen:
    case Case::kInitialize:
    case Case::kStored:
    case Case::kLeafHashes:
    case Case::REQUEST_NOT_SET:
      break;
  }
  throw Error{Code::Refused, "a request that this gate does not know"};
}

asio::awaitable<std::unique_ptr<WorkerLink>> Gate::Impl::start_worker(v1::WorkerRole role, bool may_initialize,
                                                                      v1::Started& started, WithShares with_shares) {
  if (login_failed) throw *login_failed;
  auto worker = std::make_unique<WorkerLink>(context.get_executor(), arguments.settings, arguments.settings_file, arguments.pin);
  v1::WorkerRequest request;
  request.mutable_start()->set_role(role);
  request.mutable_start()->set_may_initialize(may_initialize);
  std::vector<SecretBytes> secrets;
  if (with_shares == WithShares::Yes && arguments.backup) {
    secrets = arguments.backup->copies();
    request.mutable_start()->set_backup_shares(static_cast<std::uint32_t>(secrets.size()));
    request.mutable_start()->set_backup_key_check(to_string(arguments.backup->check_value));
    request.mutable_start()->set_so_pin(arguments.so_pin.has_value());
    if (arguments.so_pin) secrets.push_back(SecretBytes::copy_of(arguments.so_pin->expose()));
  }
  const WorkerLink::OnPiece no_pieces;
  v1::WorkerReply reply = co_await worker->call(std::move(request), no_pieces, std::move(secrets));
  started = std::move(*reply.mutable_started());
  if (!started.wrong_pin().empty()) {
    login_failed = Error{Code::Refused, "the HSM refused the login: " + started.wrong_pin(),
                         "give the right PIN; it is tried once per start, and after two wrong ones in a row no more, so that no token is locked"};
    throw *login_failed;
  }
  if (started.drift_size() != 0 && role != v1::WORKER_ROLE_UNSPECIFIED) {
    throw Error{Code::Hsm, fmt::format("objects in the HSM are not what their roles demand: {}", fmt::join(started.drift(), "; ")),
                "somebody changed the HSM's objects: find out who before anything is signed"};
  }
  co_return worker;
}

/// The sentences of the worker that was started last, and the gate's own.
void Gate::Impl::take_facts(const v1::HsmFacts& of_worker) {
  *facts.mutable_facts() = of_worker.facts();
  for (const std::string& sentence : arguments.hardening) facts.add_facts(sentence);
}

asio::awaitable<void> Gate::Impl::start_state_worker(bool may_initialize) {
  if (state_worker) co_return;
  v1::Started started;
  const WithShares with_shares = may_initialize ? WithShares::Yes : WithShares::No;
  auto worker = co_await start_worker(v1::WORKER_ROLE_STATE, may_initialize, started, with_shares);
  facts = started.facts();
  take_facts(started.facts());
  facts.set_workers(arguments.settings.workers);
  facts.set_memlock(gap.memlock);
  for (const std::string& name : gap.overridden) facts.add_insecure(name);
  if (!started.blank()) {
    v1::WorkerRequest request;
    request.mutable_read_state();
    const v1::WorkerReply reply = co_await worker->call(std::move(request));
    state = GateState::from_octets(as_bytes(reply.state_read().state()));
    log_key = crypto::PublicKey::from_point(as_bytes(started.log_key()));
    appliance = ApplianceId::from_bytes(as_bytes(state->hsm.appliance_id()));
    if (!log_key || !appliance) throw Error{Code::Hsm, "kf-log's public key or the appliance id is malformed"};
  }
  state_worker = std::move(worker);
}

asio::awaitable<void> Gate::Impl::refresh_card() {
  v1::WorkerRequest request;
  request.mutable_make_card()->set_environment(state->hsm.environment());
  request.mutable_make_card()->set_name(state->registry.appliance_name());
  v1::WorkerReply reply = co_await state_worker->call(std::move(request));
  card = std::move(*reply.mutable_signed_bytes());
}

asio::awaitable<void> Gate::Impl::make_card(v1::Environment environment, const std::string& name) {
  v1::WorkerRequest request;
  request.mutable_make_card()->set_environment(environment);
  request.mutable_make_card()->set_name(name);
  v1::WorkerReply made = co_await state_worker->call(std::move(request));
  card = std::move(*made.mutable_signed_bytes());
  const auto opened_card = token::open_appliance_card(signed_from_message(card));
  const auto* facts_of_card = std::get_if<token::ApplianceCard>(&opened_card);
  if (facts_of_card == nullptr) throw Error{Code::Internal, "the appliance's own card does not verify"};
  log_key = facts_of_card->log_key;
  appliance = facts_of_card->appliance_id;
}

asio::awaitable<void> Gate::Impl::open(FrontLink& front, std::uint64_t id, const v1::OpenRequest& request) {
  const auto guard = co_await mutex.lock();
  v1::GateReply reply;
  v1::Opened& opened = *reply.mutable_opened();
  // Leaves that never became final are no history: `init` was cut off between storing its leaf and kf-state.
  const bool has_history = !request.checkpoint().empty();
  bool no_token = false;
  try {
    co_await start_state_worker(false);
  } catch (const Error& error) {
    if (error.code() != Code::NotFound || has_history) throw;
    no_token = true;  // nothing was ever made here: init will make it
  }
  if (no_token || !state) {
    if (has_history) {
      throw Error{Code::Rollback, "the ledger has a history and the HSM has none",
                  "the HSM's store was replaced or restored from an empty copy: restore the newest one"};
    }
    *opened.mutable_facts() = facts;
    front.reply(id, std::move(reply));
    co_return;
  }
  if (state->hsm.has_restored()) {  // it has no log yet, and the ledger still has the lost HSM's
    opened.set_state(state->hsm.SerializeAsString());
    *opened.mutable_facts() = facts;
    opened.set_checkpoint(state->hsm.checkpoint());
    front.reply(id, std::move(reply));
    co_return;
  }
  if (arguments.backup && to_string(arguments.backup->check_value) != state->hsm.backup_key_check()) {
    throw Error{Code::Refused, "this HSM was set up with another kf-backup, or with none: the shares just written open nothing",
                "destroy them, and give the command again without --backup-shares"};
  }
  if (!ledger_agrees) {
    std::vector<Bytes> candidates;
    for (const std::string& octets : request.registries()) candidates.push_back(to_bytes(as_bytes(octets)));
    co_await compare_with_ledger(front, id, request);
    state->take_registry(candidates);
    ledger_agrees = true;
    co_await refresh_card();
    if (arguments.start_workers) {
      asio::co_spawn(context, start_key_workers(), [](std::exception_ptr failed) {
        if (failed) std::rethrow_exception(failed);  // it handles what a worker can cause
      });
    } else {
      co_await key_worker(0);
    }
  }
  front.opened = true;
  opened.set_initialized(true);
  opened.set_state(state->hsm.SerializeAsString());
  opened.set_registry(to_string(state->registry_octets));
  *opened.mutable_card() = card;
  *opened.mutable_facts() = facts;
  opened.set_checkpoint(state->hsm.checkpoint());
  front.reply(id, std::move(reply));
}

/// A ledger behind the HSM is a rollback; one beside it a fork. One beyond it is caught up only as far as a kf-log
/// checkpoint that extends kf-state, and only over leaves that changed nothing which kf-state keeps.
asio::awaitable<void> Gate::Impl::compare_with_ledger(FrontLink& front, std::uint64_t id, const v1::OpenRequest& request) {
  const std::uint64_t size = state->hsm.log_size();
  co_await refuse_if_replaced(front, id, request);
  if (request.log_size() < size) {
    throw Error{Code::Rollback, fmt::format("the ledger holds {} leaves, the HSM signed {}", request.log_size(), size),
                "the ledger was restored from an older copy: restore the newest one"};
  }
  std::optional<KnownCheckpoint> known;
  if (!request.checkpoint().empty()) {
    known = own_checkpoint(request.checkpoint(), *log_key, *appliance);
    if (!known) throw Error{Code::Rollback, "the ledger's checkpoint was not signed by this HSM"};
  }
  if (known && known->size == size && known->root == state->frontier.root()) co_return;
  audit::Frontier ledger;
  for (std::uint64_t from = 0; from < size; from += kLeavesPerQuestion) {
    const auto leaves = co_await front.ask_leaves(id, from, std::min(size, from + kLeavesPerQuestion), false);
    for (const std::string& hash : leaves.hashes()) {
      const auto digest = Digest::from_bytes(as_bytes(hash));
      if (!digest) throw Error{Code::Refused, "a leaf hash is not 32 octets"};
      ledger.append(*digest);
    }
  }
  if (!(ledger == state->frontier)) {
    throw Error{Code::Rollback, "the ledger's log is not the one that the HSM signed",
                "the ledger was edited: restore the newest copy that agrees with the HSM"};
  }
  if (!known || known->size <= size) co_return;
  std::vector<Digest> hashes;
  for (std::uint64_t from = size; from < known->size; from += kLeavesPerQuestion) {
    const auto leaves = co_await front.ask_leaves(id, from, std::min(known->size, from + kLeavesPerQuestion), true);
    for (const std::string& octets : leaves.leaves()) {
      v1::LogLeaf leaf;
      if (!leaf.ParseFromString(octets) || !may_be_reported(leaf)) {
        throw Error{Code::Rollback, "the HSM is older than an act that its own log proves",
                    "the HSM's store was restored from an older copy: restore the newest one"};
      }
      hashes.push_back(audit::leaf_hash(as_bytes(octets)));
    }
  }
  audit::Frontier extended = state->frontier;
  extended.append(hashes);
  if (extended.root() != known->root) throw Error{Code::Rollback, "the ledger's checkpoint does not extend the HSM's log"};
  v1::LogLeaf note;
  note.mutable_note()->set_event("log.caught-up");
  note.mutable_note()->set_subject(fmt::format("from {} to {}", size, known->size));
  co_await write_state(*state, hashes);
  const std::vector<Bytes> leaves = one_leaf(note, clock.now());
  const std::vector<Digest> note_hash(1, audit::leaf_hash(leaves.front()));
  co_await front.store(id, state->hsm.log_size(), leaves, ByteView{});
  co_await write_state(*state, note_hash);
}

asio::awaitable<void> Gate::Impl::initialize(FrontLink& front, std::uint64_t id, const v1::InitializeRequest& request) {
  const auto guard = co_await mutex.lock();
  if (arguments.settings.kind == Environment::Production) {
    throw Error{Code::Refused, "a production appliance is initialised by several officers, which this version cannot do",
                "use --environment development"};
  }
  if (static_cast<int>(request.environment()) != static_cast<int>(arguments.settings.kind) + 1) {
    throw Error{Code::Refused, "the gate's settings name another environment"};
  }
  const auto officer_key = crypto::PublicKey::from_point(as_bytes(request.officer_key()));
  if (!is_name(request.name()) || !officer_key || request.officer_name_hash().size() != 32) {
    throw Error{Code::Refused, "name, officer key or name hash are malformed"};
  }
  if (arguments.backup && !state) state_worker.reset();  // it was started without the shares
  co_await start_state_worker(true);
  if (state) throw Error{Code::Refused, "this HSM is initialised already"};
  v1::WorkerRequest make_keys;
  make_keys.mutable_make_appliance_keys();
  const v1::WorkerReply made_keys = co_await state_worker->call(std::move(make_keys));
  co_await make_card(request.environment(), request.name());
  const auto opened_card = token::open_appliance_card(signed_from_message(card));
  const auto* facts_of_card = std::get_if<token::ApplianceCard>(&opened_card);
  if (facts_of_card == nullptr) throw Error{Code::Internal, "the appliance's own card does not verify"};

  v1::Officer officer;
  officer.set_number(1);
  officer.set_name_hash(request.officer_name_hash());
  officer.set_role(v1::OFFICER_ROLE_OFFICER);
  officer.set_public_key(request.officer_key());
  v1::LogLeaf leaf;
  v1::InitializedLeaf& initialized = *leaf.mutable_initialized();
  initialized.set_appliance_id(appliance->str());
  initialized.set_environment(request.environment());
  initialized.set_name(request.name());
  initialized.set_log_key(to_string(facts_of_card->log_key.point()));
  initialized.set_export_key(to_string(facts_of_card->export_key.point()));
  initialized.set_inbox_key(to_string(facts_of_card->inbox_key.point()));
  initialized.set_first_officer(1);
  initialized.set_first_officer_key(request.officer_key());
  initialized.set_approved_by("the person who typed the PIN");
  initialized.set_module(facts.module());
  initialized.set_so_pin_discarded(true);

  std::vector<Bytes> leaves = one_leaf(leaf, clock.now());
  for (const v1::HsmObject& key : made_keys.inventory().objects()) {
    leaves.push_back(leaf_octets(key_leaf(key), v1::LEAF_ORIGIN_DONE, clock.now()));
  }
  GateState first;
  if (arguments.backup) {
    v1::HsmObject backup_key;
    backup_key.set_role("backup");
    backup_key.set_label("kf-backup");
    backup_key.set_check_value(to_string(arguments.backup->check_value));
    leaves.push_back(leaf_octets(key_leaf(backup_key), v1::LEAF_ORIGIN_DONE, clock.now()));
    first.hsm.set_backup_key_check(to_string(arguments.backup->check_value));
    first.hsm.set_backup_shares_needed(arguments.backup->counts.needed);
    first.hsm.set_backup_shares(arguments.backup->counts.shares);
  }
  first.hsm.set_hsm_epoch(1);
  first.hsm.set_environment(request.environment());
  first.hsm.set_policy_epoch(1);
  first.hsm.set_registry_epoch(1);
  state = std::move(first);
  std::optional<Error> failed;
  try {
    co_await commit(front, id, std::move(leaves), nullptr, first_registry(request.name(), officer));
  } catch (const Error& error) {
    failed = error;
  }
  if (failed) {
    state.reset();
    throw *failed;
  }
  ledger_agrees = true;
  front.opened = true;
  co_await key_worker(0);
  v1::GateReply reply;
  v1::Opened& opened = *reply.mutable_opened();
  opened.set_initialized(true);
  opened.set_state(state->hsm.SerializeAsString());
  opened.set_registry(to_string(state->registry_octets));
  *opened.mutable_card() = card;
  *opened.mutable_facts() = facts;
  opened.set_checkpoint(state->hsm.checkpoint());
  front.reply(id, std::move(reply));
}

asio::awaitable<void> Gate::Impl::commit(FrontLink& front, std::uint64_t id, std::vector<Bytes> leaves,
                                         std::function<void(GateState&)> change, std::optional<v1::Registry> registry) {
  if (front.refusals_left_over.count() != 0) {
    leaves.insert(leaves.begin(), leaf_octets(refused_leaf(front.refusals_left_over), v1::LEAF_ORIGIN_DONE, clock.now()));
  }
  GateState next = *state;
  if (registry) {
    next.registry = *registry;
    next.registry_octets = to_bytes(as_bytes(registry->SerializeAsString()));
    next.hsm.set_registry_digest(crypto::sha256(next.registry_octets).str());
    next.hsm.set_registry_epoch(registry->epoch());
    next.hsm.set_policy_epoch(registry->policy().epoch());
  }
  if (change) change(next);
  KF_CUT("gate.commit.before-store");
  const ByteView registry_octets = registry ? ByteView{next.registry_octets} : ByteView{};
  co_await front.store(id, state->hsm.log_size(), leaves, registry_octets);
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
  next.hsm.set_last_leaf_ms(clock.now().value);
  v1::WorkerRequest request;
  request.mutable_write_state()->set_expected_counter(state->hsm.counter());
  *request.mutable_write_state()->mutable_state() = next.hsm;
  const v1::WorkerReply reply = co_await state_worker->call(std::move(request));
  if (!next.hsm.ParseFromString(reply.state_written().state())) {
    throw Error{Code::Internal, "the state worker answered with what is no state"};
  }
  state = std::move(next);
}

Gate::Gate(asio::io_context& context, GateArguments arguments, const Clock& clock)
    : impl_{std::make_unique<Impl>(context, std::move(arguments), clock)} {}

Gate::~Gate() = default;

asio::awaitable<void> Gate::serve(LocalSocket socket) { co_await impl_->serve(std::move(socket)); }

bool Gate::broken() const { return impl_->broken; }

}  // namespace keyferry::appliance
