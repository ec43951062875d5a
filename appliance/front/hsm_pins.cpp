#include "appliance/front/hsm_pins.h"

#include <fmt/format.h>

#include "appliance/front/context.h"
#include "appliance/front/operation.h"
#include "keyferry/v1/gate.pb.h"
#include "keyferry/v1/governance.pb.h"
#include "wrap/base/error.h"

namespace keyferry::appliance {
namespace {

/// For a connection on which nothing is stored and no leaf is asked for.
class NoLedger final : public GateStore {
 public:
  void store_pending(const v1::StorePending&) override { refuse(); }
  std::vector<Bytes> leaf_hashes(std::uint64_t, std::uint64_t) override { refuse(); }
  std::vector<Bytes> leaves(std::uint64_t, std::uint64_t) override { refuse(); }

 private:
  [[noreturn]] static void refuse() { throw Error{Code::Channel, "the gate asked for the ledger to lock itself"}; }
};

}  // namespace

int hsm_pin_change(Context& context, std::uint32_t shares_needed, const std::string& reason) {
  const std::vector<std::uint32_t>& custodians = context.options().custodians;
  if (custodians.size() < 2) throw Error{Code::Usage, "--custodian: two persons at least, each with a share of their own"};
  if (shares_needed < 2 || shares_needed > custodians.size()) {
    throw Error{Code::Usage, fmt::format("--needed: from 2 to the number of custodians, {}", custodians.size())};
  }
  const HsmPinChangePlan detail{custodians, shares_needed, reason};
  if (way_of(context, Operation::HsmPinChange) == Way::AtOnce) context.expect_pin_change(detail);
  run_operation(context, Operation::HsmPinChange, detail);
  const v1::PinSharing& sharing = context.gate().state().pin_sharing();
  const std::string set = to_hex(as_bytes(sharing.set_id()));
  context.out().result("hsm-pin-change",
                       Json{{"needed", sharing.needed()}, {"shares", sharing.total()}, {"set", set}, {"custodians", custodians}},
                       {fmt::format("user PIN and SO PIN are new; {} of {} shares open each (set {})", sharing.needed(),
                                    sharing.total(), set.substr(0, 8)),
                        "the shares of before open nothing any more: destroy them, in front of a witness"});
  return 0;
}

int hsm_lock(Context& context) {
  const bool listens = context.settings().gate_socket.has_value();
  if (listens) {
    v1::GateRequest request;
    request.mutable_lock();
    NoLedger none;
    GateClient gate{gate_options(context.settings(), context.options()), none};  // beside a command that is running
    static_cast<void>(gate.call(std::move(request)));
  }
  context.out().result("hsm-lock", Json{{"locked", listens}},
                       {listens ? "the gate has logged out and ended: its PIN or custodians start it again"
                                : "nothing to lock: each command starts a gate of its own, which ends with it"});
  return 0;
}

}  // namespace keyferry::appliance
