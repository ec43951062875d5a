#include "appliance/front/context.h"

#include <algorithm>
#include <utility>

#include "appliance/front/batch_hooks.h"
#include "appliance/front/ends.h"
#include "appliance/ledger/hsm_epochs.h"
#include "appliance/ledger/inventory_store.h"
#include "appliance/ledger/person_store.h"
#include "appliance/ledger/plan_store.h"
#include "keyferry/v1/gate.pb.h"
#include "keyferry/v1/governance.pb.h"
#include "wrap/base/error.h"
#include "wrap/base/process.h"
#include "wrap/base/text.h"

namespace keyferry::appliance {

GateOptions gate_options(const Settings& settings, const CommonOptions& options) {
  GateOptions gate;
  gate.settings = settings.gate_settings;
  gate.socket = settings.gate_socket;
  gate.pin_fd = options.pin_fd;
  gate.key_fd = options.key_fd;
  gate.ask_key = options.imports_key && !options.key_fd && options.component_check_values.empty();
  gate.component_check_values = options.component_check_values;
  gate.component_fds = options.component_fds;
  gate.start_workers = options.start_workers;
  gate.appliance = settings.name;
  gate.share_files = options.shares;
  gate.share_fds = options.share_fds;
  gate.share_tokens = options.share_tokens;
  gate.pin_shares = options.pin_shares;
  gate.new_pin_shares = options.new_pin_shares;
  gate.pin_share_folders = options.pin_share_folders;
  gate.pin_share_fds = options.pin_share_fds;
  gate.pin_share_tokens = options.pin_share_tokens;
  gate.custodians = options.custodians;
  gate.insecure_allow = settings.insecure_allow;
  for (const std::string& name : options.insecure_allow) {
    if (std::ranges::find(gate.insecure_allow, name) == gate.insecure_allow.end()) {
      gate.insecure_allow.push_back(name);
    }
  }
  return gate;
}

Context::Context(
    CommonOptions options, Access access, const Clock& clock, RandomSource& random, Output& out)
    : options_{std::move(options)},
      paths_{options_.home},
      clock_{clock},
      random_{random},
      out_{out},
      settings_{read_home_settings(paths_.settings())} {
  if (access == Access::Write) lock_.emplace(paths_.lock());
  writes_ = access == Access::Write;
  ledger_ = std::make_unique<Ledger>(paths_.ledger(),
                                     writes_ ? store::Role::Writer : store::Role::Reader);
  register_inventory_actions(*ledger_);
  register_plan_actions(*ledger_);
  register_batch_actions(*ledger_);
  register_receipt_actions(*ledger_);
  register_epoch_actions(*ledger_);
  register_person_actions(*ledger_);
  register_all_end_actions(*ledger_);
}

Context::~Context() = default;

GateSession& Context::gate_of_any_hsm() {
  GateSession& session = gate_unopened();
  session.open();
  return session;
}

void Context::expect_pin_change(const HsmPinChangePlan& plan) {
  options_.new_pin_shares = std::to_string(plan.shares_needed) + "/" + std::to_string(plan.custodians.size());
  options_.custodians = plan.custodians;
}

void Context::expect_plan(const Plan& plan) {
  const std::vector<Bytes>* components = nullptr;
  if (const auto* detail = std::get_if<HsmPinChangePlan>(&plan.detail)) expect_pin_change(*detail);
  if (const auto* detail = std::get_if<TransportMasterImportPlan>(&plan.detail)) components = &detail->components;
  if (const auto* detail = std::get_if<VendorKeyImportPlan>(&plan.detail)) components = &detail->components;
  if (components == nullptr) return;
  options_.imports_key = true;
  options_.component_check_values.clear();
  for (const Bytes& value : *components) options_.component_check_values.push_back(to_hex(value));
}

GateSession& Context::gate_unopened() {
  if (!writes_) throw Error{Code::Internal, "a reading command asked for the gate"};
  if (!gate_) {
    GateOptions options = gate_options(settings_, options_);
    if (plan_file_only_) {
      options.ask_key = false;
      options.key_fd.reset();
      options.component_check_values.clear();
      options.component_fds.clear();
    }
    options.new_pin = !ledger_->value("appliance_id").has_value();
    if (options.new_pin) {  // init has not ended yet: then the gate may make kf-backup
      options.backup_shares = options_.backup_shares;
      options.backup_share_folders = options_.backup_share_folders;
      options.backup_name = settings_.name;
      options.so_pin_fd = options_.so_pin_fd;
    }
    gate_ = std::make_unique<GateSession>(options, *ledger_);
  }
  return *gate_;
}

void Context::rest_gate() {
  if (gate_) throw Error{Code::Internal, "a stick is looked at while this command's gate is open"};
  if (!settings_.gate_socket) return;
  GateSession session{gate_options(settings_, options_), *ledger_};
  v1::GateRequest request;
  request.mutable_rest();
  static_cast<void>(session.client().call(std::move(request)));
}

void Context::leave_gate() {
  gate_.reset();
  opened_ = false;
  rest_gate();
}

GateSession& Context::gate() {
  if (opened_) return *gate_;
  GateSession& session = gate_of_any_hsm();
  if (!session.initialized()) {
    const bool restored = session.state().has_restored();
    gate_.reset();
    if (restored) {
      throw Error{Code::Refused,
                  "this HSM was restored from a backup and has not taken over the lost one's state yet",
                  "have it approved: keyferry-appliance hsm adopt-state"};
    }
    throw Error{Code::NotFound,
                "the HSM holds no keys of this appliance",
                "give the same keyferry-appliance init command again"};
  }
  for (const std::string& name : session.facts().insecure())
    out_.note("insecure: " + printable(name));
  opened_ = true;
  finish_prepared(*this, session, session.state());
  finish_ends(*this, session);
  return session;
}

ApplianceId Context::appliance_id() {
  const auto octets = ledger_->value("appliance_id");
  const auto id = octets ? ApplianceId::from_bytes(*octets) : std::nullopt;
  if (!id) {
    throw Error{Code::NotFound,
                "the appliance at " + paths_.home.string() + " is not complete",
                "give the same keyferry-appliance init command again"};
  }
  return *id;
}

const SecretBytes& Context::officer_passphrase(const char* prompt) {
  if (!passphrase_) {
    passphrase_ = options_.officer_passphrase_fd
                      ? read_secret_line(*options_.officer_passphrase_fd)
                      : prompt_secret(prompt);
  }
  return *passphrase_;
}

}  // namespace keyferry::appliance
