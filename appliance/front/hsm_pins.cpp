#include "appliance/front/hsm_pins.h"

#include <fmt/format.h>

#include "appliance/front/context.h"
#include "appliance/front/operation.h"
#include "keyferry/v1/gate.pb.h"
#include "keyferry/v1/governance.pb.h"
#include "wrap/base/cut.h"
#include "wrap/base/error.h"

namespace keyferry::appliance {

int hsm_pin_change(Context& context, std::uint32_t shares_needed, const std::string& reason) {
  const std::vector<std::uint32_t>& custodians = context.options().custodians;
  if (custodians.size() < 2) throw Error{Code::Usage, "--custodian: two persons at least, each with a share of their own"};
  if (shares_needed < 2 || shares_needed > custodians.size()) {
    throw Error{Code::Usage, fmt::format("--needed: from 2 to the number of custodians, {}", custodians.size())};
  }
  const HsmPinChangePlan detail{custodians, shares_needed, reason};
  context.expect_pin_change(detail);
  run_operation(context, Operation::HsmPinChange, detail);
  KF_CUT("front.pin-change.done");
  const v1::PinSharing& sharing = context.gate().state().pin_sharing();
  const std::string set = to_hex(as_bytes(sharing.set_id()));
  context.out().result("hsm-pin-change",
                       Json{{"needed", sharing.needed()}, {"shares", sharing.total()}, {"set", set}, {"custodians", custodians}},
                       {fmt::format("user PIN and SO PIN are new; {} of {} shares open each (set {})", sharing.needed(),
                                    sharing.total(), set.substr(0, 8)),
                        "the shares of before open nothing any more: destroy them, in front of a witness"});
  return 0;
}

}  // namespace keyferry::appliance
