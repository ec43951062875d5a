#include "appliance/front/machine_commands.h"

#include <fmt/format.h>

#include "appliance/front/context.h"
#include "appliance/front/dates.h"
#include "appliance/front/operation.h"
#include "appliance/gate/clock_rules.h"
#include "keyferry/v1/gate.pb.h"
#include "keyferry/v1/governance.pb.h"

namespace keyferry::appliance {
namespace {

UtcMillis whole_seconds(UtcMillis time) { return UtcMillis{time.value - time.value % 1000}; }

int print(Context& context, UtcMillis last_leaf) {
  const UtcMillis now = context.clock().now();
  const auto refusal = check_clock(now, last_leaf);
  const std::string verdict = refusal ? refusal->text : "good: leaves are signed with it";
  Json json{{"clock", to_rfc3339(now)}, {"last_leaf", to_rfc3339(last_leaf)}, {"good", !refusal}, {"text", verdict}};
  context.out().result("clock",
                       json,
                       {fmt::format("clock      {}", to_rfc3339(now)),
                        fmt::format("last leaf  {}", to_rfc3339(last_leaf)),
                        fmt::format("verdict    {}", verdict)});
  return refusal ? 1 : 0;
}

}  // namespace

int clock_show(Context& context) { return print(context, UtcMillis{context.gate().state().last_leaf_ms()}); }

int clock_set(Context& context, const std::string& reason) {
  const v1::GateReply reply =
      run_operation(context, Operation::ClockSet, ClockSetPlan{whole_seconds(context.clock().now()), reason}, {});
  v1::HsmState state;
  if (!state.ParseFromString(reply.done().state())) {
    throw Error{Code::Channel, "the gate's answer to clock-set holds no state", "look with: keyferry-appliance clock show"};
  }
  return print(context, UtcMillis{state.last_leaf_ms()});
}

int insecure_allow(Context& context,
                   const std::vector<std::string>& what,
                   const std::string& until,
                   const std::string& reason) {
  const UtcMillis end = read_time("--until", until);
  run_operation(context, Operation::InsecureAllow, InsecureAllowPlan{what, end, reason}, {});
  context.out().result("insecure",
                       Json{{"what", what}, {"until", to_rfc3339(end)}},
                       {fmt::format("allowed until {}: {}", to_rfc3339(end), fmt::join(what, ", "))});
  return 0;
}

}  // namespace keyferry::appliance
