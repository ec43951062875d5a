// Login, comparison with the ledger, initialization: how a gate comes to know its HSM.
#include <fmt/format.h>

#include <boost/asio/co_spawn.hpp>

#include <algorithm>

#include "appliance/gate/buses.h"
#include "appliance/gate/internal/gate_impl.h"
#include "appliance/gate/internal/people.h"
#include "wrap/base/cut.h"
#include "wrap/base/text.h"
#include "wrap/crypto/hash.h"

namespace keyferry::appliance {
namespace {

constexpr std::uint64_t kLeavesPerQuestion = 65'536;

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

std::vector<Permit> permits_of(const v1::HsmState& hsm) {
  std::vector<Permit> permits;
  for (const v1::InsecurePermit& permit : hsm.permits()) permits.push_back({permit.what(), UtcMillis{permit.until_ms()}});
  return permits;
}

/// By their cards; or, with one officer, by a key that the front end names.
std::vector<CardPerson> first_persons(const v1::InitializeRequest& request) {
  if (request.officer_cards_size() > 0) {
    if (!request.officer_key().empty() || !request.officer_name_hash().empty()) {
      throw Error{Code::Refused, "an appliance begins with officer cards or with one officer's key, not with both"};
    }
    return persons_of_cards(request.officer_cards(), request.environment());
  }
  const auto key = crypto::PublicKey::from_point(as_bytes(request.officer_key()));
  if (!key || request.officer_name_hash().size() != Digest::kSizeBytes) {
    throw Error{Code::Refused, "officer key or name hash are malformed"};
  }
  CardPerson one;
  one.person.set_number(1);
  one.person.set_name_hash(request.officer_name_hash());
  one.person.set_role(v1::OFFICER_ROLE_OFFICER);
  one.person.set_public_key(request.officer_key());
  return {one};
}

}  // namespace

asio::awaitable<std::unique_ptr<WorkerLink>> Gate::Impl::start_worker(v1::WorkerRole role, bool may_initialize,
                                                                      v1::Started& started, WithShares with_shares) {
  if (login_failed) throw *login_failed;
  auto worker = std::make_unique<WorkerLink>(context.get_executor(), arguments.settings, arguments.settings_file, arguments.pin);
  v1::WorkerRequest request;
  request.mutable_start()->set_role(role);
  request.mutable_start()->set_may_initialize(may_initialize);
  std::vector<SecretBytes> secrets;
  if (with_shares == WithShares::Yes) {
    if (arguments.backup) {
      secrets = arguments.backup->copies();
      request.mutable_start()->set_backup_shares(static_cast<std::uint32_t>(secrets.size()));
      request.mutable_start()->set_backup_key_check(to_string(arguments.backup->check_value));
    }
    request.mutable_start()->set_so_pin(arguments.so_pin.has_value());
    if (arguments.so_pin) secrets.push_back(SecretBytes::copy_of(arguments.so_pin->expose()));
  }
  const WorkerLink::OnPiece no_pieces;
  v1::WorkerReply reply = co_await worker->call(std::move(request), no_pieces, std::move(secrets));
  started = std::move(*reply.mutable_started());
  if (!started.wrong_pin().empty()) {
    const bool changing = arguments.pin_sharing && read_pin_sharing(arguments.settings_file).next;
    login_failed = Error{Code::Refused, "the HSM refused the login: " + started.wrong_pin(),
                         changing ? "a change of the PINs was cut off: the user PIN is new already; bring the new shares of it, and the old ones "
                                    "of the SO PIN"
                                  : "give the right PIN; it is tried once per start, and after two wrong ones in a row no more, so that no token is locked"};
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

void Gate::Impl::note_permits() const {
  std::vector<Permit> permits = still_good(permits_of(state->hsm), clock.now());
  if (permits != read_permits(arguments.settings_file)) write_permits(arguments.settings_file, permits);
}

void Gate::Impl::refuse_unfit_machine() {
  const std::vector<Permit> permits = permits_of(state->hsm);
  const UtcMillis now = clock.now();
  for (const Permit& used : gap.used) {
    if (permit_for(permits, used.what, now) != nullptr) continue;
    state_worker.reset();
    throw Error{Code::Refused, fmt::format("this machine is no place for an HSM login: {} was not allowed by officers", used.what),
                "somebody wrote gate.permits by hand: mend the machine, and find out who"};
  }
  note_permits();
  if (arguments.settings.kind != Environment::Production || permit_for(permits, "usb", now) != nullptr) return;
  const std::vector<std::string> approved{state->registry.bus_devices().begin(), state->registry.bus_devices().end()};
  const std::vector<std::string> strangers = bus_strangers(approved, bus_devices());
  if (strangers.empty()) return;
  state_worker.reset();
  throw Error{Code::Refused, fmt::format("devices that were not there when the appliance was set up: {}", fmt::join(strangers, "; ")),
              "take them off; officers can allow it for a time: keyferry-appliance insecure allow --what usb"};
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
  check_pin_sharing();
  if (!ledger_agrees) {
    std::vector<Bytes> candidates;
    for (const std::string& octets : request.registries()) candidates.push_back(to_bytes(as_bytes(octets)));
    co_await compare_with_ledger(front, id, request);
    state->take_registry(candidates);
    refuse_unfit_machine();
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
  const std::vector<Bytes> leaves = one_leaf(note, leaf_now());
  const std::vector<Digest> note_hash(1, audit::leaf_hash(leaves.front()));
  co_await front.store(id, state->hsm.log_size(), leaves, ByteView{});
  co_await write_state(*state, note_hash);
}

asio::awaitable<void> Gate::Impl::initialize(FrontLink& front, std::uint64_t id, const v1::InitializeRequest& request) {
  const auto guard = co_await mutex.lock();
  if (static_cast<int>(request.environment()) != static_cast<int>(arguments.settings.kind) + 1) {
    throw Error{Code::Refused, "the gate's settings name another environment"};
  }
  if (!is_name(request.name())) throw Error{Code::Refused, "the appliance's name is malformed"};
  const std::vector<CardPerson> persons = first_persons(request);
  const std::uint32_t needed = std::max<std::uint32_t>(request.officers_needed(), 1);
  std::vector<v1::Officer> registered;
  for (const CardPerson& one : persons) registered.push_back(one.person);
  v1::Registry registry = first_registry(request.name(), registered, needed);
  registry.mutable_policy()->set_rehearsal_required(request.rehearsal_required());
  if (const auto refusal = check_first_persons(enabled_officers(registry), needed, arguments.settings.kind,
                                                 arguments.pin_sharing.has_value())) {
    throw to_error(*refusal);
  }
  if ((arguments.backup || arguments.so_pin) && !state) state_worker.reset();  // it was started without the shares
  co_await start_state_worker(true);
  if (state) throw Error{Code::Refused, "this HSM is initialised already"};
  v1::WorkerRequest make_keys;
  make_keys.mutable_make_appliance_keys();
  const v1::WorkerReply made_keys = co_await state_worker->call(std::move(make_keys));
  co_await make_card(request.environment(), request.name());
  const auto opened_card = token::open_appliance_card(signed_from_message(card));
  const auto* facts_of_card = std::get_if<token::ApplianceCard>(&opened_card);
  if (facts_of_card == nullptr) throw Error{Code::Internal, "the appliance's own card does not verify"};

  v1::LogLeaf leaf;
  v1::InitializedLeaf& initialized = *leaf.mutable_initialized();
  initialized.set_appliance_id(appliance->str());
  initialized.set_environment(request.environment());
  initialized.set_name(request.name());
  initialized.set_log_key(to_string(facts_of_card->log_key.point()));
  initialized.set_export_key(to_string(facts_of_card->export_key.point()));
  initialized.set_inbox_key(to_string(facts_of_card->inbox_key.point()));
  const auto first_officer = std::ranges::find(registered, v1::OFFICER_ROLE_OFFICER, &v1::Officer::role);
  initialized.set_first_officer(first_officer->number());
  initialized.set_first_officer_key(first_officer->public_key());
  initialized.set_approved_by("the person who typed the PIN");
  initialized.set_module(facts.module());
  initialized.set_so_pin_discarded(true);
  GateState first;
  tell_pin_sharing(initialized, first);

  std::vector<Bytes> leaves = one_leaf(leaf, leaf_now());
  for (const CardPerson& one : persons) {
    v1::LogLeaf enrolled = person_leaf(one.person, "enrolled");
    if (one.card_sha256 != Digest{}) enrolled.mutable_person()->set_card_sha256(one.card_sha256.str());
    leaves.push_back(leaf_octets(std::move(enrolled), v1::LEAF_ORIGIN_DONE, leaf_now()));
  }
  leaves.push_back(leaf_octets(policy_leaf(registry.policy()), v1::LEAF_ORIGIN_DONE, leaf_now()));
  for (const v1::HsmObject& key : made_keys.inventory().objects()) {
    leaves.push_back(leaf_octets(key_leaf(key), v1::LEAF_ORIGIN_DONE, leaf_now()));
  }
  if (arguments.backup) {
    v1::HsmObject backup_key;
    backup_key.set_role("backup");
    backup_key.set_label("kf-backup");
    backup_key.set_check_value(to_string(arguments.backup->check_value));
    leaves.push_back(leaf_octets(key_leaf(backup_key), v1::LEAF_ORIGIN_DONE, leaf_now()));
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
    for (const std::string& device : bus_devices()) registry.add_bus_devices(device);
    co_await commit(front, id, std::move(leaves), nullptr, registry);
  } catch (const Error& error) {
    failed = error;
  }
  if (failed) {
    state.reset();
    throw *failed;
  }
  ledger_agrees = true;
  front.opened = true;
  arguments.so_pin.reset();
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

}  // namespace keyferry::appliance
