// Which shares open the HSM: in the log, in kf-state, beside gate.toml.
#include <fmt/format.h>

#include <algorithm>

#include "appliance/gate/internal/gate_impl.h"
#include "wrap/base/cut.h"

namespace keyferry::appliance {
namespace {

PinSharing sharing_in(const v1::PinSharing& message) {
  return {message.needed(), message.total(), to_bytes(as_bytes(message.set_id()))};
}

}  // namespace

void set_pin_sharing(v1::PinSharing& message, const PinSharing& sharing) {
  message.set_needed(sharing.needed);
  message.set_total(sharing.total);
  message.set_set_id(to_string(sharing.set_id));
}

void Gate::Impl::tell_pin_sharing(v1::InitializedLeaf& leaf, GateState& first) const {
  if (!arguments.pin_sharing) return;
  set_pin_sharing(*leaf.mutable_pin_sharing(), *arguments.pin_sharing);
  set_pin_sharing(*first.hsm.mutable_pin_sharing(), *arguments.pin_sharing);
  leaf.set_so_pin_discarded(false);
  leaf.set_approved_by(fmt::format("the custodians of the PIN's shares, {}", sharing_text(*arguments.pin_sharing)));
}

void Gate::Impl::check_pin_sharing() {
  const bool shared = state->hsm.has_pin_sharing();
  if (!arguments.pin_sharing) {
    if (!shared) return;
    throw Error{Code::Refused, "this HSM's PIN is held as shares, and gate.toml says that it is typed",
                "put pin = \"shares\" below [hsm] in gate.toml"};
  }
  PinSharingRecord record = read_pin_sharing(arguments.settings_file);
  const std::optional<PinSharing> named = shared ? std::optional{sharing_in(state->hsm.pin_sharing())} : std::nullopt;
  if (named == arguments.pin_sharing) {
    if (record.current == named && (!record.next || record.stage == PinChangeStage::HandedOut)) return;
    if (record.next == named) {  // cut between kf-state and the file: the change is whole
      write_pin_sharing(arguments.settings_file, {named, std::nullopt, PinChangeStage::HandedOut});
      return;
    }
  }
  const bool unfinished = record.next && record.current == named &&
                          (arguments.pin_sharing == record.current || arguments.pin_sharing == record.next);
  if (!unfinished) {
    throw Error{Code::Refused, fmt::format("the shares that opened this HSM are of set {}, kf-state names {}",
                                           short_set_id(arguments.pin_sharing->set_id), named ? short_set_id(named->set_id) : "none"),
                "the HSM's store or the file gate.pin-sharing was replaced: restore the newest ones"};
  }
  if (std::ranges::any_of(facts.insecure(), [](const std::string& one) { return one.starts_with("pin-change "); })) return;
  facts.add_insecure(fmt::format("pin-change (cut off: shares of set {} open the HSM; finish it with the same hsm pin-change command)",
                                 short_set_id(arguments.pin_sharing->set_id)));
}

asio::awaitable<void> Gate::Impl::change_pins(const Plan& plan) {
  const auto& detail = std::get<HsmPinChangePlan>(plan.detail);
  if (!arguments.new_pins || !arguments.pin_sharing) {
    throw Error{Code::Usage, "this gate was given no new shares", "use the command for it: keyferry-appliance hsm pin-change"};
  }
  NewPins& next = *arguments.new_pins;
  if (next.custodians != detail.custodians || next.pins.sharing.needed != detail.shares_needed ||
      next.pins.sharing.total != detail.custodians.size()) {
    throw Error{Code::Refused, fmt::format("the new shares were handed out as {}, to persons {}; the plan says {} of {}, to persons {}",
                                           sharing_text(next.pins.sharing), fmt::join(next.custodians, ", "), detail.shares_needed,
                                           detail.custodians.size(), fmt::join(detail.custodians, ", ")),
                "start the gate with what the plan says"};
  }
  PinSharingRecord record = read_pin_sharing(arguments.settings_file);
  if (record.next != next.pins.sharing) throw Error{Code::Refused, "another change of the PINs was begun meanwhile"};
  if (record.stage < PinChangeStage::SoDone && !arguments.so_pin) {
    throw Error{Code::Usage, "this gate was not given the SO PIN's shares", "use the command for it: keyferry-appliance hsm pin-change"};
  }
  co_await end_key_workers();  // they hold the PIN of before
  state_worker.reset();        // modules let the security officer in only when nobody else is
  std::optional<Error> failed;
  try {
    co_await change_pins_in_hsm(next, record);
  } catch (const Error& error) {
    failed = error;
  }
  if (failed && failed->code() == Code::Channel) {  // which PIN holds is not known here: it is not tried on a guess
    broken = true;
    throw *failed;
  }
  try {
    v1::Started started;
    state_worker = co_await start_worker(v1::WORKER_ROLE_STATE, false, started);
    take_facts(started.facts());
  } catch (const Error& error) {
    broken = true;
    if (!failed) failed = error;
  }
  if (failed) throw *failed;
}

/// Intent, act, ask (the worker logs in with the new PIN), note. A cut at any line: the next start reads the stage, and where
/// it leaves two possibilities the HSM is asked.
asio::awaitable<void> Gate::Impl::change_pins_in_hsm(const NewPins& next, PinSharingRecord& record) {
  const auto note = [this, &record](PinChangeStage stage) {
    record.stage = stage;
    write_pin_sharing(arguments.settings_file, record);
  };
  if (record.stage == PinChangeStage::HandedOut) note(PinChangeStage::Begun);
  KF_CUT("gate.pin-change.begun");
  v1::Started started;
  const std::unique_ptr<WorkerLink> worker = co_await start_worker(v1::WORKER_ROLE_PINS, false, started);
  const WorkerLink::OnPiece no_pieces;
  if (record.stage < PinChangeStage::SoDone) {
    v1::WorkerRequest change;
    change.mutable_change_pin()->set_so_pin(true);
    std::vector<SecretBytes> pins;
    pins.push_back(SecretBytes::copy_of(arguments.so_pin->expose()));
    pins.push_back(SecretBytes::copy_of(next.pins.so_pin.expose()));
    std::optional<Error> refused;
    try {
      static_cast<void>(co_await worker->call(std::move(change), no_pieces, std::move(pins)));
    } catch (const Error& error) {
      if (error.code() != Code::Refused) throw;
      refused = error;
    }
    if (refused) {
      note(PinChangeStage::HandedOut);  // the HSM took neither: nothing was changed
      throw *refused;
    }
    note(PinChangeStage::SoDone);
    KF_CUT("gate.pin-change.so-done");
  }
  v1::WorkerRequest change;
  change.mutable_change_pin();
  std::vector<SecretBytes> pins;
  pins.push_back(SecretBytes::copy_of(next.pins.user_pin.expose()));
  static_cast<void>(co_await worker->call(std::move(change), no_pieces, std::move(pins)));
  arguments.pin = SecretBytes::copy_of(next.pins.user_pin.expose());
  note(PinChangeStage::UserDone);
  KF_CUT("gate.pin-change.user-done");
}

v1::LogLeaf Gate::Impl::pin_changed_leaf() const {
  v1::LogLeaf leaf;
  v1::PinChangedLeaf& changed = *leaf.mutable_pin_changed();
  set_pin_sharing(*changed.mutable_sharing(), arguments.new_pins->pins.sharing);
  changed.set_set_before(state->hsm.pin_sharing().set_id());
  for (const std::uint32_t number : arguments.new_pins->custodians) changed.add_custodians(number);
  return leaf;
}

void Gate::Impl::put_new_sharing(GateState& next) const {
  set_pin_sharing(*next.hsm.mutable_pin_sharing(), arguments.new_pins->pins.sharing);
}

void Gate::Impl::finish_pin_change() {
  KF_CUT("gate.pin-change.logged");
  arguments.pin_sharing = arguments.new_pins->pins.sharing;
  write_pin_sharing(arguments.settings_file, {arguments.pin_sharing, std::nullopt, PinChangeStage::HandedOut});
  arguments.new_pins.reset();
  arguments.so_pin.reset();
}

}  // namespace keyferry::appliance
