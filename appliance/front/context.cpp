#include "appliance/front/context.h"

#include <algorithm>
#include <utility>

#include "appliance/front/batch_hooks.h"
#include "appliance/ledger/inventory_store.h"
#include "appliance/ledger/plan_store.h"
#include "keyferry/v1/gate.pb.h"
#include "wrap/base/error.h"
#include "wrap/base/process.h"
#include "wrap/base/text.h"

namespace keyferry::appliance {

GateOptions gate_options(const Settings& settings, const CommonOptions& options) {
  GateOptions gate;
  gate.settings = settings.gate_settings;
  gate.pin_fd = options.pin_fd;
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
}

Context::~Context() = default;

GateSession& Context::gate_of_any_hsm() {
  if (!writes_) throw Error{Code::Internal, "a reading command asked for the gate"};
  if (!gate_) {
    GateOptions options = gate_options(settings_, options_);
    options.new_pin = !ledger_->value("appliance_id").has_value();
    gate_ = std::make_unique<GateSession>(options, *ledger_);
  }
  return *gate_;
}

GateSession& Context::gate() {
  if (gate_) return *gate_;
  GateSession& session = gate_of_any_hsm();
  if (!session.initialized()) {
    gate_.reset();
    throw Error{Code::NotFound,
                "the HSM holds no keys of this appliance",
                "give the same keyferry-appliance init command again"};
  }
  for (const std::string& name : session.facts().insecure())
    out_.note("insecure: " + printable(name));
  finish_prepared(*this, session, session.state());
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

const SecretBytes& Context::officer_passphrase() {
  if (!passphrase_) {
    passphrase_ = options_.officer_passphrase_fd
                      ? read_secret_line(*options_.officer_passphrase_fd)
                      : prompt_secret("passphrase of the officer's key: ");
  }
  return *passphrase_;
}

}  // namespace keyferry::appliance
