#include "appliance/front/hsm_entropy.h"

#include <fmt/format.h>

#include "appliance/front/context.h"
#include "keyferry/v1/gate.pb.h"
#include "wrap/base/error.h"
#include "wrap/crypto/random_health.h"

namespace keyferry::appliance {
namespace {

constexpr std::size_t kDrawBytes = 1024 * 1024;
constexpr const char* kCaveat =
    "these tests find sources that are stuck or far from even; they prove nothing more";

Json as_json(std::string_view source, const crypto::RandomHealth& health) {
  return Json{{"source", source},
              {"octets", health.octets},
              {"longest_run", health.longest_run},
              {"run_cutoff", health.run_cutoff},
              {"most_in_window", health.most_in_window},
              {"window_cutoff", health.window_cutoff},
              {"passed", health.passed()}};
}

std::string as_line(std::string_view source, const crypto::RandomHealth& health) {
  return fmt::format("{:<5} {:<10} {} octets: longest run {} (fails at {}), most of one value in {} octets {} (fails at {})",
                     health.passed() ? "ok" : "FAIL", source, health.octets, health.longest_run, health.run_cutoff,
                     crypto::kHealthWindow, health.most_in_window, health.window_cutoff);
}

crypto::RandomHealth of_hsm(Context& context) {
  v1::GateRequest request;
  request.mutable_probe()->set_entropy(true);
  const v1::GateReply reply = context.gate_unopened().call(std::move(request));
  if (!reply.inventory().facts().has_random()) throw Error{Code::Channel, "the gate did not test the HSM's generator"};
  const v1::RandomTested& tested = reply.inventory().facts().random();
  return {tested.octets(), tested.longest_run(), tested.run_cutoff(), tested.most_in_window(), tested.window_cutoff()};
}

}  // namespace

int hsm_entropy(Context& context) {
  const crypto::RandomHealth hsm = of_hsm(context);
  const crypto::RandomHealth system = crypto::test_random(context.random().bytes(kDrawBytes));
  const bool passed = hsm.passed() && system.passed();
  context.out().result("entropy",
                       Json{{"passed", passed},
                            {"sources", Json::array({as_json("hsm", hsm), as_json("getrandom", system)})},
                            {"says", kCaveat}},
                       {as_line("hsm", hsm), as_line("getrandom", system), kCaveat});
  return passed ? 0 : 1;
}

}  // namespace keyferry::appliance
