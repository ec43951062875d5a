// Backup, restore, and the take-over of a lost HSM's state. The mode in which this is done makes no device key: key
// workers are ended first, the one worker that is started has role BACKUP, and nothing else is answered.
#include <fmt/format.h>

#include "appliance/gate/approvals.h"
#include "appliance/gate/internal/backup_file.h"
#include "appliance/gate/internal/gate_impl.h"
#include "wrap/base/cut.h"
#include "wrap/crypto/hash.h"

namespace keyferry::appliance {
namespace {

constexpr std::uint64_t kLeavesPerQuestion = 65'536;

/// For as long as it lives, this gate makes backups and nothing else.
class BackupMode {
 public:
  explicit BackupMode(bool& flag) : flag_{flag} { flag_ = true; }
  ~BackupMode() { flag_ = false; }
  BackupMode(const BackupMode&) = delete;
  BackupMode& operator=(const BackupMode&) = delete;

 private:
  bool& flag_;
};

[[noreturn]] void refuse(std::string text, std::string hint = {}) { throw Error{Code::Refused, std::move(text), std::move(hint)}; }

[[noreturn]] void throw_refusal(const Refusal& refusal) {
  throw Error{refusal.reason == "quorum" ? Code::Quorum : Code::Refused, refusal.text, refusal.hint};
}

std::vector<token::SignedBytes> approvals_of(const google::protobuf::RepeatedPtrField<v1::SignedBytes>& messages) {
  std::vector<token::SignedBytes> approvals;
  for (const v1::SignedBytes& approval : messages) approvals.push_back(signed_from_message(approval));
  return approvals;
}

BackupFile parsed_backup(const std::string& octets) {
  auto parsed = parse_backup(as_bytes(octets));
  if (const auto* refusal = std::get_if<Refusal>(&parsed)) throw to_error(*refusal);
  return std::get<BackupFile>(std::move(parsed));
}

v1::LogLeaf backup_leaf(const BackupFile& file, const std::string& octets) {
  v1::LogLeaf leaf;
  v1::BackupLeaf& said = *leaf.mutable_backup();
  said.set_backup_id(file.content.backup_id());
  said.set_file_sha256(crypto::sha256(as_bytes(octets)).str());
  said.set_shares_needed(file.content.shares_needed());
  said.set_shares(file.content.shares());
  for (const v1::BackedUpKey& key : file.content.keys()) said.add_labels(key.label());
  return leaf;
}

v1::KeyMadeLeaf key_leaf(const v1::HsmObject& object, const BackupFile& file) {
  v1::KeyMadeLeaf leaf;
  leaf.set_role(object.role());
  leaf.set_label(object.label());
  leaf.set_public_key(object.public_key());
  leaf.set_check_value(object.check_value());
  leaf.set_attributes(object.attributes());
  leaf.set_origin(object.role() == "backup" ? "restored" : "generated");
  for (const v1::BackedUpKey& key : file.content.keys()) {
    if (key.label() != object.label()) continue;
    leaf.set_origin("restored");
    leaf.set_certificate(key.certificate());
  }
  return leaf;
}

/// kf-state of an HSM that holds restored keys and waits for hsm-adopt-state.
GateState waiting_state(const BackupFile& file, const v1::Restored& restored) {
  GateState state;
  v1::HsmState& hsm = state.hsm;
  hsm.set_environment(file.content.environment());
  hsm.set_policy_epoch(file.content.policy_epoch());
  hsm.set_registry_digest(file.registry_digest.str());
  hsm.set_last_plan_number(file.content.last_plan_number());
  hsm.set_hsm_epoch(file.content.hsm_epoch() + 1);
  hsm.set_predecessor(file.content.appliance_id());
  hsm.set_backup_key_check(file.content.backup_key_check());
  hsm.set_backup_shares_needed(file.content.shares_needed());
  hsm.set_backup_shares(file.content.shares());
  v1::RestoredState& waiting = *hsm.mutable_restored();
  waiting.set_backup_id(file.content.backup_id());
  waiting.set_checkpoint(file.content.checkpoint());
  waiting.set_registry_digest(file.registry_digest.str());
  waiting.set_last_plan_number(file.content.last_plan_number());
  for (const v1::HsmObject& object : restored.objects()) *waiting.add_keys() = key_leaf(object, file);
  static_cast<void>(state.registry.ParseFromString(file.content.registry()));
  hsm.set_registry_epoch(state.registry.epoch());
  return state;
}

/// What the officers approved, compared with what the HSM, the old card and the ledger say.
void check_adoption(const HsmAdoptStatePlan& plan, const Plan& whole, const v1::HsmState& hsm, const KnownCheckpoint& last,
                    const KnownCheckpoint& at_backup, ByteView ledger_registry) {
  if (plan.old_appliance.str() != hsm.predecessor() || plan.backup_id != to_bytes(as_bytes(hsm.restored().backup_id()))) {
    refuse("the plan names another HSM or another backup than this one was restored from");
  }
  if (plan.last_checkpoint_size != last.size || plan.last_checkpoint_root != last.root) {
    refuse("the plan names another last checkpoint of the old HSM than the ledger has");
  }
  if (last.size < at_backup.size) {
    throw Error{Code::Rollback, fmt::format("the ledger ends at {} leaves, the backup was made at {}", last.size, at_backup.size),
                "the ledger was restored from an older copy: restore the newest one"};
  }
  if (crypto::sha256(ledger_registry) != plan.registry_digest) refuse("the plan names another registry than the ledger has");
  if (plan.last_plan_number < hsm.restored().last_plan_number() || whole.number <= plan.last_plan_number) {
    refuse(fmt::format("plan numbers go on above {}", std::max(plan.last_plan_number, hsm.restored().last_plan_number())));
  }
}

/// Stations have pinned the keys of the HSM that is gone: each is enrolled again.
v1::Registry registry_of_new_epoch(const std::string& ledger_registry) {
  v1::Registry registry;
  if (!registry.ParseFromString(ledger_registry) || registry.version() != 1) refuse("the ledger's registry does not parse");
  registry.clear_stations();
  registry.set_epoch(registry.epoch() + 1);
  return registry;
}

}  // namespace

asio::awaitable<void> Gate::Impl::end_key_workers() {
  if (!in_progress.empty()) refuse("a batch is being made", "let it finish, or end the other command first");
  const auto guard = co_await workers_mutex.lock();
  key_workers.clear();
  worn_workers.clear();
}

asio::awaitable<void> Gate::Impl::backup(FrontLink& front, std::uint64_t id, const v1::BackupRequest& request) {
  const auto guard = co_await lock_opened(front);
  const Plan plan = parsed_plan(request.plan());
  const auto* detail = std::get_if<HsmBackupPlan>(&plan.detail);
  if (detail == nullptr) refuse("the plan is for no backup");
  const auto checked = check_approvals(plan, approvals_of(request.approvals()), ApprovalContext{*state, *log_key, clock.now()});
  if (const auto* refusal = std::get_if<Refusal>(&checked)) throw_refusal(*refusal);
  if (state->hsm.backup_key_check().empty()) {
    refuse("this HSM has no kf-backup, so no key in it can leave", "only init --backup-shares M/N --backup-share-dir DIR makes one");
  }
  if (detail->shares_needed != state->hsm.backup_shares_needed() || detail->shares != state->hsm.backup_shares()) {
    refuse(fmt::format("kf-backup was split {} of {}, the plan says {} of {}", state->hsm.backup_shares_needed(),
                       state->hsm.backup_shares(), detail->shares_needed, detail->shares));
  }
  front.backup_only = true;
  const BackupMode mode{backing_up};
  co_await end_key_workers();
  v1::WorkerRequest ask;
  v1::Backup& backup = *ask.mutable_backup();
  *backup.mutable_state() = state->hsm;
  backup.mutable_state()->set_last_plan_number(plan.number);
  backup.set_registry(to_string(state->registry_octets));
  *backup.mutable_card() = card;
  backup.set_plan_digest(plan.digest.str());
  backup.set_now_ms(clock.now().value);
  v1::Started started;
  std::unique_ptr<WorkerLink> worker = co_await start_worker(v1::WORKER_ROLE_BACKUP, false, started);
  v1::WorkerReply made = co_await worker->call(std::move(ask));
  worker.reset();
  const BackupFile file = parsed_backup(made.backup().backup());
  KF_CUT("gate.backup.made");
  // It leaves after it is in the log, never before: a cut here costs the plan's number, and the file is gone.
  std::vector<Bytes> leaves;
  leaves.push_back(leaf_octets(plan_leaf(plan, std::get<std::vector<KeyId>>(checked)), v1::LEAF_ORIGIN_DONE, leaf_now()));
  leaves.push_back(leaf_octets(backup_leaf(file, made.backup().backup()), v1::LEAF_ORIGIN_DONE, leaf_now()));
  const std::function<void(GateState&)> change = [&plan](GateState& next) { next.hsm.set_last_plan_number(plan.number); };
  co_await commit(front, id, std::move(leaves), change, std::nullopt);
  v1::GateReply reply;
  *reply.mutable_backup() = std::move(*made.mutable_backup());
  reply.mutable_backup()->set_checkpoint(state->hsm.checkpoint());
  reply.mutable_backup()->set_state(state->hsm.SerializeAsString());
  front.reply(id, std::move(reply));
}

asio::awaitable<void> Gate::Impl::restore(FrontLink& front, std::uint64_t id, const v1::RestoreRequest& request) {
  const auto guard = co_await mutex.lock();
  const BackupFile file = parsed_backup(request.backup());
  if (static_cast<int>(request.environment()) != static_cast<int>(arguments.settings.kind) + 1 ||
      request.environment() != file.content.environment()) {
    refuse("the backup is of another environment than this HSM's settings name");
  }
  if (!arguments.backup || to_string(arguments.backup->check_value) != file.content.backup_key_check()) {
    refuse("the shares are of another backup key than this file's", "compare the line \"check\" of each share");
  }
  front.backup_only = true;
  try {
    co_await start_state_worker(false);
  } catch (const Error& error) {  // a token that is still to be made: that is what a restore expects
    if (error.code() != Code::NotFound) throw;
  }
  v1::GateReply reply;
  v1::Restored& restored = *reply.mutable_restored();
  const bool done_before = state && state->hsm.restored().backup_id() == file.content.backup_id();
  if (state && !done_before) refuse("this HSM is in use: it holds kf-state", "restore into an HSM without keys");
  if (!done_before) {
    state_worker.reset();  // modules let the security officer in only when nobody else is
    v1::Started started;
    std::unique_ptr<WorkerLink> worker = co_await start_worker(v1::WORKER_ROLE_BACKUP, true, started, WithShares::Yes);
    v1::WorkerRequest ask;
    ask.mutable_restore()->set_backup(request.backup());
    ask.mutable_restore()->set_environment(request.environment());
    v1::WorkerReply made = co_await worker->call(std::move(ask));
    worker.reset();
    restored = std::move(*made.mutable_restored());
    KF_CUT("gate.restore.keys");
    co_await start_state_worker(false);
    GateState waiting = waiting_state(file, restored);
    if (arguments.pin_sharing) set_pin_sharing(*waiting.hsm.mutable_pin_sharing(), *arguments.pin_sharing);
    co_await make_card(file.content.environment(), file.card.name);
    state = waiting;
    const std::vector<Digest> no_leaves;
    std::optional<Error> failed;
    try {
      co_await write_state(std::move(waiting), no_leaves);
    } catch (const Error& error) {
      failed = error;
    }
    if (failed) {
      state.reset();
      throw *failed;
    }
  } else {
    co_await make_card(file.content.environment(), file.card.name);
    for (const v1::KeyMadeLeaf& key : state->hsm.restored().keys()) {
      v1::HsmObject& object = *restored.add_objects();
      object.set_label(key.label());
      object.set_role(key.role());
      object.set_public_key(key.public_key());
      object.set_check_value(key.check_value());
      object.set_attributes(key.attributes());
    }
    restored.set_backup_id(file.content.backup_id());
    restored.set_registry(file.content.registry());
    *restored.mutable_old_card() = file.content.card();
  }
  KF_CUT("gate.restore.state");
  *restored.mutable_card() = card;
  restored.set_state(state->hsm.SerializeAsString());
  front.reply(id, std::move(reply));
}

/// The ledger's old log is the one that the lost HSM signed, and goes on from where the backup was made.
asio::awaitable<void> Gate::Impl::check_old_log(FrontLink& front, std::uint64_t id, const KnownCheckpoint& at_backup,
                                                const KnownCheckpoint& last) {
  audit::Frontier old_log;
  std::uint64_t from = 0;
  for (const KnownCheckpoint& point : {at_backup, last}) {
    while (from < point.size) {
      const std::uint64_t to = std::min(point.size, from + kLeavesPerQuestion);
      const v1::LeafHashes leaves = co_await front.ask_leaves(id, from, to, false);
      for (const std::string& hash : leaves.hashes()) {
        const auto digest = Digest::from_bytes(as_bytes(hash));
        if (!digest) refuse("a leaf hash is not 32 octets");
        old_log.append(*digest);
      }
      from = to;
    }
    if (old_log.root() != point.root) {
      throw Error{Code::Rollback, fmt::format("the ledger's first {} leaves are not those that the old HSM signed", point.size),
                  "the ledger was edited or is another appliance's: restore the newest copy"};
    }
  }
}

asio::awaitable<void> Gate::Impl::adopt(FrontLink& front, std::uint64_t id, const v1::AdoptRequest& request) {
  const auto guard = co_await mutex.lock();
  if (!state || !state->hsm.has_restored()) refuse("this HSM does not wait to take over a lost one's state");
  const Plan plan = parsed_plan(request.plan());
  const auto* detail = std::get_if<HsmAdoptStatePlan>(&plan.detail);
  if (detail == nullptr) refuse("the plan adopts no state");
  const auto opened_card = token::open_appliance_card(signed_from_message(request.old_card()));
  if (const auto* refusal = std::get_if<Refusal>(&opened_card)) throw to_error(*refusal);
  const auto& old_card = std::get<token::ApplianceCard>(opened_card);
  if (old_card.appliance_id.str() != state->hsm.predecessor()) refuse("the old appliance's card is another appliance's");
  const auto last = own_checkpoint(request.last_checkpoint(), old_card.log_key, old_card.appliance_id);
  const auto at_backup = own_checkpoint(state->hsm.restored().checkpoint(), old_card.log_key, old_card.appliance_id);
  if (!last || !at_backup) refuse("the last checkpoint in the ledger was not signed by the old HSM");
  check_adoption(*detail, plan, state->hsm, *last, *at_backup, as_bytes(request.registry()));

  // The officers who decide are those of the registry that the custodians' key proved, by its policy; what they approve
  // may be a later registry, which nothing but the ledger vouches for.
  if (crypto::sha256(as_bytes(request.backup_registry())).str() != state->hsm.restored().registry_digest()) {
    refuse("the registry that decides is not the one in the backup", "restore again: the registry comes from the backup file");
  }
  GateState deciding;
  deciding.hsm = state->hsm;
  if (!deciding.registry.ParseFromString(request.backup_registry())) refuse("the backup's registry does not parse");
  const auto checked = check_approvals(plan, approvals_of(request.approvals()), ApprovalContext{deciding, *log_key, clock.now()});
  if (const auto* refusal = std::get_if<Refusal>(&checked)) throw_refusal(*refusal);
  co_await check_old_log(front, id, *at_backup, *last);

  v1::LogLeaf first;
  v1::AdoptedLeaf& adopted = *first.mutable_adopted();
  adopted.set_appliance_id(appliance->str());
  adopted.set_old_appliance_id(state->hsm.predecessor());
  adopted.set_last_checkpoint(request.last_checkpoint());
  adopted.set_hsm_epoch(state->hsm.hsm_epoch());
  adopted.set_last_plan_number(detail->last_plan_number);
  adopted.set_registry_digest(detail->registry_digest.str());
  adopted.set_backup_id(state->hsm.restored().backup_id());
  const auto& officers = std::get<std::vector<KeyId>>(checked);
  for (const KeyId& officer : officers) adopted.add_officer_key_ids(officer.str());
  adopted.set_log_key(to_string(log_key->point()));
  for (const v1::KeyMadeLeaf& key : state->hsm.restored().keys()) {
    if (key.role() == "export") adopted.set_export_key(key.public_key());
    if (key.role() == "inbox") adopted.set_inbox_key(key.public_key());
  }
  std::vector<Bytes> leaves = one_leaf(std::move(first), leaf_now());
  leaves.push_back(leaf_octets(plan_leaf(plan, officers), v1::LEAF_ORIGIN_DONE, leaf_now()));
  for (const v1::KeyMadeLeaf& key : state->hsm.restored().keys()) {
    v1::LogLeaf leaf;
    *leaf.mutable_key_made() = key;
    leaves.push_back(leaf_octets(std::move(leaf), v1::LEAF_ORIGIN_DONE, leaf_now()));
  }
  const std::function<void(GateState&)> change = [&plan, detail](GateState& next) {
    next.hsm.clear_restored();
    next.hsm.set_last_plan_number(plan.number);
    next.hsm.set_crl_numbers_adopted(true);
    for (const HsmAdoptStatePlan::Crl& crl : detail->crls) {
      v1::CrlNumber& number = *next.hsm.add_crl_numbers();
      number.set_authority(crl.authority);
      number.set_number(crl.number);
      number.set_entries(crl.entries.count);
      number.set_entries_root(crl.entries.root.str());
    }
  };
  std::optional<v1::Registry> registry = registry_of_new_epoch(request.registry());
  co_await commit(front, id, std::move(leaves), change, std::move(registry));
  KF_CUT("gate.adopt.done");
  ledger_agrees = true;
  front.opened = true;
  co_await refresh_card();
  v1::GateReply reply;
  fill_done(*reply.mutable_done());
  reply.mutable_done()->set_made(card.SerializeAsString());
  front.reply(id, std::move(reply));
}

/// The ledger went on with another HSM: then this one counts as dead, whatever its own log says.
asio::awaitable<void> Gate::Impl::refuse_if_replaced(FrontLink& front, std::uint64_t id, const v1::OpenRequest& request) {
  if (request.log_size() == 0 || own_checkpoint(request.checkpoint(), *log_key, *appliance)) co_return;
  const v1::LeafHashes leaves = co_await front.ask_leaves(id, 0, 1, true);
  v1::LogLeaf first;
  if (!first.ParseFromString(leaves.leaves(0)) || first.adopted().old_appliance_id() != appliance->str()) co_return;
  const auto successor = ApplianceId::from_bytes(as_bytes(first.adopted().appliance_id()));
  throw Error{Code::Rollback,
              fmt::format("this HSM was replaced: appliance {} took over from it in epoch {}",
                          successor ? successor->hex().substr(0, 16) : "?", first.adopted().hsm_epoch()),
              "it counts as dead: let gate.toml name the new HSM, and have this one's keys destroyed"};
}

}  // namespace keyferry::appliance
