#include "appliance/front/hsm_backup.h"

#include <fmt/format.h>

#include <algorithm>

#include "appliance/front/init.h"
#include "appliance/front/internal/wire_environment.h"
#include "appliance/front/officer.h"
#include "appliance/front/operation.h"
#include "appliance/front/own_card.h"
#include "appliance/gate/settings.h"
#include "appliance/ledger/crl_store.h"
#include "appliance/ledger/hsm_epochs.h"
#include "appliance/ledger/plan_store.h"
#include "keyferry/v1/gate.pb.h"
#include "keyferry/v1/governance.pb.h"
#include "token/audit/checkpoint.h"
#include "wrap/base/cut.h"
#include "wrap/base/error.h"
#include "wrap/base/text.h"
#include "wrap/base/words.h"
#include "wrap/crypto/hash.h"
#include "wrap/p11/uri.h"

namespace keyferry::appliance {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMaxBackupFileBytes = 8U << 20;
constexpr std::uint64_t kMaxSettingsBytes = 64 * 1024;
// Proved by the custodians' key at the restore; the gate compares its digest with what the HSM knows.
constexpr const char* kRestoredRegistry = "restored_registry";
// Of the restored HSM: what approvals of hsm-adopt-state say.
constexpr const char* kRestoredAppliance = "restored_appliance";
constexpr const char* kRestoredCheckpoint = "restored_checkpoint";
constexpr const char* kKeptTarget = "backup-file.txt";  // the path that the backup is written to

// --- restore -------------------------------------------------------------------------------------

/// Where the gate's settings are, were, and will be.
struct SettingsFiles {
  fs::path in_use, kept, next;

  SettingsFiles(const fs::path& gate_settings, std::uint32_t old_epoch)
      : in_use{gate_settings},
        kept{gate_settings.string() + fmt::format(".epoch-{}", old_epoch)},
        next{gate_settings.string() + ".restore"} {}

  [[nodiscard]] bool switched() const { return fs::exists(kept) && !fs::exists(next); }
};

/// The old settings with another HSM in them. They may be gone with the machine.
GateSettings settings_for(Context& context, const RestoreOptions& options, const SettingsFiles& files,
                          std::uint32_t epoch) {
  const fs::path& known = fs::exists(files.kept) ? files.kept : files.in_use;
  GateSettings settings;
  settings.insecure_allow = context.settings().insecure_allow;
  if (const auto octets = read_file_if_exists(known, kMaxSettingsBytes)) {
    settings = parse_settings(*octets, known.string());
  }
  settings.kind = context.settings().environment;
  settings.environment.clear();
  settings.store.reset();
  if (options.hsm_uri) {
    settings.uri = *options.hsm_uri;
    if (options.hsm_store) settings.store = fs::absolute(*options.hsm_store);
  } else {
    if (settings.kind == Environment::Production) {
      throw Error{Code::Usage, "environment production needs a hardware HSM: name it with --hsm"};
    }
    const fs::path folder = files.in_use.parent_path() / fmt::format("epoch-{}", epoch);
    make_embedded_hsm(folder, context.settings().name, settings);
  }
  for (const auto& [name, value] : options.hsm_environment) settings.environment[name] = value;
  if (context.options().pin_shares) {
    settings.pin = PinSource::Shares;
  } else if (settings.pin == PinSource::Shares) {
    throw Error{Code::Usage, "the lost HSM's PIN was held as shares: the new one's is as well, in new shares",
                "give --pin-shares M/N, and where they go"};
  }
  if (options.pin_file) {
    p11::Uri uri = p11::uri_or_throw(settings.uri);
    uri.pin_source = "file:" + fs::absolute(*options.pin_file).string();
    settings.uri = p11::to_string(uri);
  }
  return settings;
}

void write_next(const GateSettings& settings, const SettingsFiles& files) {
  const std::string text = settings_text(settings);
  static_cast<void>(parse_settings(as_bytes(text), "options of hsm restore"));
  make_private_directory(files.in_use.parent_path());
  write_file_durably(files.next, as_bytes(text), Overwrite::Replace);
  KF_CUT("front.restore.settings");
}

/// A cut between the two renames is seen as: kept is there, next is there, in_use is not.
void switch_settings(const SettingsFiles& files) {
  if (files.switched()) return;
  // Which shares open it goes with it: copied before, so that a cut at any line leaves it beside the settings in use.
  const auto copy_sharing = [](const fs::path& from, const fs::path& to) {
    if (const auto octets = read_file_if_exists(pin_sharing_file(from), kMaxSettingsBytes)) {
      write_file_durably(pin_sharing_file(to), *octets, Overwrite::Replace);
    }
  };
  if (!fs::exists(files.kept)) copy_sharing(files.in_use, files.kept);
  if (fs::exists(files.in_use) && !fs::exists(files.kept)) fs::rename(files.in_use, files.kept);
  KF_CUT("front.restore.old-kept");
  copy_sharing(files.next, files.in_use);
  fs::rename(files.next, files.in_use);
  sync_directory(files.in_use.parent_path());
  std::error_code left_over;
  fs::remove(pin_sharing_file(files.next), left_over);
  KF_CUT("front.restore.switched");
}

Json objects_json(const v1::Restored& restored) {
  Json list = Json::array();
  for (const v1::HsmObject& object : restored.objects()) {
    list.push_back(Json{{"label", printable(object.label())},
                        {"check_value", to_hex(as_bytes(object.check_value()))},
                        {"public_key_sha256",
                         object.public_key().empty() ? "" : crypto::sha256(as_bytes(object.public_key())).hex()}});
  }
  return list;
}

// --- adopt-state ---------------------------------------------------------------------------------

void keep_card(Context& context, const std::string& octets) {
  write_file_durably(context.paths().card(), as_bytes(octets), Overwrite::Replace);
  KF_CUT("front.adopt.card");
}

int print_adopted(Context& context, const Json& lost, bool done_before) {
  const ApplianceId id = context.appliance_id();
  const v1::HsmState& state = context.gate_of_any_hsm().state();
  const std::string words = key_words(id.bytes());
  const std::string old = to_hex(as_bytes(state.predecessor()));
  context.out().result("hsm-adopt-state",
                       Json{{"appliance_id", id.hex()},
                            {"fingerprint", words},
                            {"old_appliance_id", old},
                            {"hsm_epoch", state.hsm_epoch()},
                            {"last_plan_number", state.last_plan_number()},
                            {"closed_batches", lost},
                            {"done_before", done_before}},
                       {fmt::format("this HSM {} over from appliance {} (epoch {})",
                                    done_before ? "has already taken" : "has taken",
                                    old.substr(0, 16),
                                    state.hsm_epoch()),
                        "id           " + id.hex(),
                        "fingerprint  " + words,
                        "every station has to be enrolled again: it has pinned the keys of the HSM that is gone",
                        "take a new backup: this one does not hold what is made from now on"});
  return 0;
}

/// The old HSM's last word, as far as the ledger has it.
audit::Checkpoint last_checkpoint(Context& context, const OldHsm& old) {
  const token::ApplianceCard card = own_card(context);
  auto verified = audit::verify_checkpoint(old.checkpoint, "keyferry/" + old.appliance.hex().substr(0, 32), card.log_key);
  if (const auto* refusal = std::get_if<Refusal>(&verified)) throw to_error(*refusal);
  return std::get<audit::Checkpoint>(std::move(verified));
}

/// A backup has no CRL numbers: the ledger's go into the plan that officers approve.
std::vector<HsmAdoptStatePlan::Crl> last_crls(Context& context) {
  CrlStore store{context.ledger()};
  std::vector<HsmAdoptStatePlan::Crl> crls;
  for (const CrlRow& crl : store.newest_of_all()) {
    crls.push_back({crl.authority, crl.number, crl_record_set(store.entries_of(crl))});
  }
  return crls;
}

Plan adoption_plan(Context& context, const v1::HsmState& state, const OldHsm& old, const Bytes& registry) {
  const audit::Checkpoint checkpoint = last_checkpoint(context, old);
  const std::uint64_t last = std::max({PlanStore{context.ledger()}.highest_run_number(),
                                       state.last_plan_number(),
                                       state.restored().last_plan_number()});
  Plan draft;
  draft.operation = Operation::HsmAdoptState;
  draft.number = last + 1;
  draft.environment = context.settings().environment;
  draft.appliance = ApplianceId::from_bytes(as_bytes(state.appliance_id())).value();
  draft.expires = UtcMillis{context.clock().now().value + kOperationExpiryMs};
  draft.detail = HsmAdoptStatePlan{.old_appliance = old.appliance,
                                   .last_checkpoint_size = checkpoint.size,
                                   .last_checkpoint_root = checkpoint.root,
                                   .last_plan_number = last,
                                   .registry_digest = crypto::sha256(registry),
                                   .backup_id = to_bytes(as_bytes(state.restored().backup_id())),
                                   .crls = last_crls(context)};
  return sealed_plan(draft);
}

Json note_lost_batches(Context& context) {
  Json list = Json::array();
  for (const HsmEpochs::LostBatch& batch : HsmEpochs{context.ledger()}.lost_batches()) {
    context.out().note(fmt::format(
        "Batch {} ({}) is closed: {} records were sealed and are revoked, {} never left.", batch.id.hex(), batch.state,
        batch.sealed, batch.unsealed));
    list.push_back(Json{{"batch", batch.id.hex()}, {"revoked", batch.sealed}, {"never_left", batch.unsealed}});
  }
  context.out().note("Every station has to be enrolled again.");
  return list;
}

void need_free(const fs::path& file) {
  if (!fs::exists(file)) return;
  throw Error{Code::Usage, file.string() + " is there already", "name a new file: a backup is never overwritten"};
}

int write_backup(Context& context, const ApprovedPlan& approved, const fs::path& file) {
  const auto& detail = std::get<HsmBackupPlan>(approved.plan.detail);
  v1::GateRequest request;
  v1::BackupRequest& ask = *request.mutable_backup();
  ask.set_plan(to_string(approved.plan.octets));
  for (const Bytes& approval : approved.approvals) set_signed(*ask.add_approvals(), approval);
  const v1::GateReply reply = context.gate().call(std::move(request), plan_run_action(approved.plan.digest));
  const ByteView octets = as_bytes(reply.backup().backup());
  write_file_durably(file, octets, Overwrite::Refuse);
  KF_CUT("front.backup.written");
  if (!equal(read_file(file, kMaxBackupFileBytes), octets)) {
    throw Error{Code::Storage, "what was read back from " + file.string() + " is not what was written",
                "use another medium, and make another backup"};
  }
  const std::string digest = crypto::sha256(octets).hex();
  context.out().result("hsm-backup",
                       Json{{"file", file.string()},
                            {"sha256", digest},
                            {"plan_number", approved.plan.number},
                            {"shares_needed", detail.shares_needed},
                            {"shares", detail.shares}},
                       {fmt::format("backup written: {}", file.string()),
                        "sha256       " + digest,
                        fmt::format("any {} of {} shares open it", detail.shares_needed, detail.shares)});
  return 0;
}

/// At the gate of the restored HSM.
int adopt(Context& context, GateSession& session, const ApprovedPlan& approved, const Json& lost) {
  const auto deciding = context.ledger().value(kRestoredRegistry);
  const auto registry = context.ledger().registry_octets();
  const auto card = read_file_if_exists(context.paths().card(), token::kMaxSignedBytes);
  if (!deciding || !registry || !card) {
    throw Error{Code::NotFound, "what the restore left here is gone", "give keyferry-appliance hsm restore again"};
  }
  v1::GateRequest request;
  v1::AdoptRequest& adopt = *request.mutable_adopt();
  adopt.set_plan(to_string(approved.plan.octets));
  for (const Bytes& approval : approved.approvals) set_signed(*adopt.add_approvals(), approval);
  adopt.set_registry(to_string(*registry));
  adopt.set_backup_registry(to_string(*deciding));
  adopt.set_last_checkpoint(HsmEpochs{context.ledger()}.to_adopt().checkpoint);
  set_signed(*adopt.mutable_old_card(), *card);
  const v1::GateReply reply = session.call_for_new_log(
      std::move(request),
      plan_run_action(approved.plan.digest, hsm_adopted_action(approved.plan.appliance, context.clock().now())));
  KF_CUT("front.adopt.done");
  keep_card(context, reply.done().made());
  return print_adopted(context, lost, false);
}

}  // namespace

int hsm_backup(Context& context, const fs::path& file, const std::string& reason) {
  need_free(file);
  const v1::HsmState& state = context.gate().state();
  if (state.backup_key_check().empty()) {
    throw Error{Code::Refused,
                "this HSM has no kf-backup, so no key in it can leave",
                "only init --backup-shares M/N --backup-share-dir DIR makes one"};
  }
  HsmBackupPlan detail;
  detail.shares_needed = state.backup_shares_needed();
  detail.shares = state.backup_shares();
  detail.reason = reason;
  const std::vector<KeptInput> keep{{kKeptTarget, {}, to_bytes(as_bytes(fs::absolute(file).string()))}};
  return write_backup(context, approve_operation(context, Operation::HsmBackup, detail, keep), file);
}

int run_hsm_backup(Context& context, const Plan& plan, const std::vector<Bytes>& approvals) {
  constexpr std::uint64_t kMaxPathBytes = 4096;
  const fs::path file{to_string(read_file(kept_input(context, plan, kKeptTarget), kMaxPathBytes))};
  need_free(file);
  return write_backup(context, {plan, approvals}, file);
}

int hsm_restore(Context& context, const RestoreOptions& options) {
  const auto backup = read_file_if_exists(options.file, kMaxBackupFileBytes);
  if (!backup) throw Error{Code::NotFound, "no backup file at " + options.file.string()};
  if (context.options().shares.empty() && context.options().share_fds.empty()) {
    throw Error{Code::Usage, "a restore needs shares of kf-backup", "name each custodian's file: --share FILE"};
  }
  HsmEpochs epochs{context.ledger()};
  const std::uint32_t epoch = epochs.to_adopt().epoch;
  const SettingsFiles files{context.settings().gate_settings, epoch};
  const bool switched = files.switched();
  if (!switched) write_next(settings_for(context, options, files, epoch + 1), files);
  Settings settings = context.settings();
  settings.gate_settings = switched ? files.in_use : files.next;
  GateOptions gate = gate_options(settings, context.options());
  gate.new_pin = !options.hsm_uri;
  gate.so_pin_fd = options.so_pin_fd;
  GateSession session{gate, context.ledger()};  // not opened: the ledger is still the lost HSM's
  v1::GateRequest request;
  request.mutable_restore()->set_backup(to_string(*backup));
  request.mutable_restore()->set_environment(wire_environment(settings.environment));
  const v1::GateReply reply = session.client().call(std::move(request));
  const v1::Restored& restored = reply.restored();
  KF_CUT("front.restore.done");
  v1::HsmState restored_state;
  if (!restored_state.ParseFromString(restored.state()))
    throw Error{Code::Channel, "the gate answered with no HSM state"};
  context.ledger().set_value(kRestoredAppliance, as_bytes(restored_state.appliance_id()));
  context.ledger().set_value(kRestoredCheckpoint, as_bytes(restored_state.checkpoint()));
  context.ledger().set_value(kRestoredRegistry, as_bytes(restored.registry()));
  switch_settings(files);
  std::vector<std::string> lines{fmt::format("{} keys are in the new HSM, each proved", restored.objects_size())};
  for (const v1::HsmObject& object : restored.objects()) {
    lines.push_back(fmt::format("  {}", printable(object.label())));
  }
  lines.push_back(fmt::format("gate settings {} (the old ones: {})", files.in_use.string(), files.kept.string()));
  lines.emplace_back("next: keyferry-appliance hsm adopt-state");
  context.out().result("hsm-restore",
                       Json{{"backup_id", to_hex(as_bytes(restored.backup_id()))},
                            {"objects", objects_json(restored)},
                            {"gate_settings", files.in_use.string()},
                            {"hsm_epoch", epoch + 1}},
                       lines);
  return 0;
}

int hsm_adopt_state(Context& context) {
  GateSession& session = context.gate_of_any_hsm();
  if (session.initialized()) {
    if (session.state().predecessor().empty()) {
      throw Error{Code::Refused, "this HSM was not restored from a backup: there is nothing to take over"};
    }
    keep_card(context, session.card().SerializeAsString());
    return print_adopted(context, Json::array(), true);
  }
  const v1::HsmState& state = session.state();
  const auto registry = context.ledger().registry_octets();
  if (!state.has_restored() || !registry) {
    throw Error{Code::NotFound, "this HSM does not wait to take over a lost one's state",
                "restore a backup into it first: keyferry-appliance hsm restore FILE --share FILE ..."};
  }
  const OldHsm old = HsmEpochs{context.ledger()}.to_adopt();
  const Plan plan = adoption_plan(context, state, old, *registry);
  for (const std::string& sentence : plan_sentences(plan)) context.out().note(sentence);
  const Json lost = note_lost_batches(context);

  const DecidingFacts decides = adoption_facts(context);
  const bool at_once = decides.registry.officers_needed(Operation::HsmAdoptState).value_or(1) == 1 &&
                       way_of(context, Operation::HsmAdoptState) == Way::AtOnce;
  if (!at_once) write_plan_file(context, plan, {});
  const std::unique_ptr<crypto::Signer> officer = officer_key(context);
  Bytes approval = approve_plan(context, plan, *officer);
  const UtcMillis now = context.clock().now();
  PlanStore plans{context.ledger()};
  plans.keep(plan, std::nullopt, now);
  plans.approve(plan.digest, officer->public_key().key_id(), approval, now);
  KF_CUT("front.adopt.approved");
  ApprovedPlan approved{plan, {}};
  approved.approvals.push_back(std::move(approval));
  return adopt(context, session, approved, lost);
}

int run_adopt_state(Context& context, const Plan& plan, const std::vector<Bytes>& approvals) {
  GateSession& session = context.gate_of_any_hsm();
  if (session.initialized()) return hsm_adopt_state(context);
  return adopt(context, session, {plan, approvals}, note_lost_batches(context));
}

DecidingFacts adoption_facts(Context& context) {
  const auto registry = context.ledger().value(kRestoredRegistry);
  const auto checkpoint = context.ledger().text_value(kRestoredCheckpoint);
  const auto octets = context.ledger().value(kRestoredAppliance);
  const auto appliance = octets ? ApplianceId::from_bytes(*octets) : std::nullopt;
  if (!registry || !checkpoint || !appliance) {
    throw Error{Code::NotFound, "no HSM was restored here", "give keyferry-appliance hsm restore first"};
  }
  DecidingFacts deciding{parse_registry(*registry), {}, *appliance};
  deciding.facts = {deciding.registry.policy_epoch, deciding.registry.epoch, *checkpoint};
  return deciding;
}

}  // namespace keyferry::appliance
